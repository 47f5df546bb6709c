"""A small job queue: several workers share one table, and each job is done once.

    python -m examples.job_queue --database URL --workers 4 --jobs 100

A worker claims a job by locking its row, and does it in the same transaction: if it fails or dies, the job is free
again at once. SKIP LOCKED lets every worker pass by the jobs that others have. On SQLite, where one transaction writes
at a time, the transaction itself is the lock, and the workers take turns.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for those who run the file itself

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Database, Lock, RepoError, Repository, Transaction, gather


class Base(DeclarativeBase):
    """The tables of this example alone."""


class Job(Base):
    """A number to be squared."""

    __tablename__ = "jobs"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int]
    result: Mapped[int | None]
    worker: Mapped[str | None]
    times_done: Mapped[int] = mapped_column(default=0)


class Jobs(Repository[Job]):
    """The queue."""

    async def claim(self) -> Job | None:
        """The first job that nobody has done or works on; it is this transaction's until that ends."""
        waiting = Job.worker.is_(None)
        return await self.first(waiting, order_by=Job.id, lock=Lock("update", skip_locked=True))


async def work(db: Database, worker: str) -> int:
    """Do jobs until none is left to claim: how many."""
    done = 0
    while await db.transact(do_one, worker):
        done += 1
    return done


async def do_one(tx: Transaction, worker: str) -> bool:
    """Do one job: whether there was one."""
    jobs = Jobs(tx)
    job = await jobs.claim()
    if job is None:
        return False
    await jobs.update(job, result=job.number**2, worker=worker, times_done=job.times_done + 1)
    return True


async def run(database: str, workers: int, jobs: int) -> Counter[str]:
    """Fill the queue and let the workers empty it: how many jobs each has done."""
    async with Database(database, pool_size=workers + 1) as db:
        await db.create_all(Base.metadata)
        try:
            await Jobs(db).add_many({"number": number} for number in range(jobs))
            names = [f"worker {number}" for number in range(1, workers + 1)]
            done = await gather(*(work(db, name) for name in names))
            if wrong := await Jobs(db).count(Job.times_done != 1):
                raise RuntimeError(f"{wrong} jobs were not done exactly once")
        finally:
            await db.drop_all(Base.metadata)
    return Counter(dict(zip(names, done, strict=True)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, and print who has done how much."""
    parser = argparse.ArgumentParser(description="Workers that share a queue of jobs in a database.")
    parser.add_argument(
        "--database", default="sqlite+aiosqlite:///:memory:", help="its URL (default: a private SQLite)"
    )
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=100)
    options = parser.parse_args(arguments)
    try:
        done = asyncio.run(run(options.database, options.workers, options.jobs))
    except RepoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for worker, number in done.items():
        print(f"{worker}: {number} jobs")
    print(f"{done.total()} jobs were done, each once")
    return 0


if __name__ == "__main__":
    sys.exit(main())
