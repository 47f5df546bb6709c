"""A row for one of many callers: taken by one statement, whoever else asks."""

from collections import Counter

import pytest
from sqlalchemy import ColumnElement, MetaData, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Database, Repository, gather
from repo.testing import queries


class Base(DeclarativeBase):
    """A base of its own."""

    metadata = MetaData()


class Job(Base):
    """Work for one worker."""

    __tablename__ = "jobs"
    id: Mapped[int] = mapped_column(primary_key=True)
    worker: Mapped[str | None]


def is_next() -> ColumnElement[bool]:
    """The first job that nobody has, and that nobody is about to take."""
    free = select(Job.id).where(Job.worker.is_(None)).order_by(Job.id).limit(1).with_for_update(skip_locked=True)
    return Job.id == free.scalar_subquery()


class Jobs(Repository[Job]):
    """A queue."""

    async def claim(self, worker: str) -> Job | None:
        """The next job, which is the worker's from now on; None if there is none."""
        claimed = await self.update_where(is_next(), values={"worker": worker}, returning=True)
        return claimed[0] if claimed else None

    async def take(self) -> Job | None:
        """The next job, which is not in the queue any more; None if there is none."""
        taken = await self.delete_where(is_next(), returning=True)
        return taken[0] if taken else None


@pytest.fixture
async def jobs(db: Database) -> Jobs:
    """Twenty jobs."""
    await db.create_all(Base.metadata)
    await Jobs(db).add_many([{"worker": None}] * 20)
    return Jobs(db)


@pytest.mark.parametrize("verb", ["claim", "take"])
async def test_each_job_goes_to_one_worker(jobs: Jobs, verb: str) -> None:
    """Thirty workers who ask at once get each job once, and nobody waits for another's."""
    calls = (jobs.claim(f"{n}") if verb == "claim" else jobs.take() for n in range(30))
    taken = [job for job in await gather(*calls) if job is not None]
    counted = Counter(job.id for job in taken)
    assert max(counted.values()) == 1
    while (job := await jobs.claim("last") if verb == "claim" else await jobs.take()) is not None:
        taken.append(job)
    assert sorted(job.id for job in taken) == list(range(1, 21))
    if verb == "claim":
        assert {job.id: job.worker for job in taken} == {job.id: job.worker for job in await jobs.all()}
    else:
        assert await jobs.count() == 0


async def test_a_job_is_claimed_in_one_statement(jobs: Jobs, db: Database) -> None:
    """Looking for a job and taking it is one statement; entities that are gone still have their values."""
    with queries(db) as sent:
        job = await jobs.claim("me")
        gone = await jobs.take()
    assert len(sent) == 2
    assert job is not None
    assert gone is not None
    assert (job.id, job.worker, gone.id, gone.worker) == (1, "me", 2, None)
