"""The job queue: workers that share a table."""

import asyncio

import pytest

from examples.job_queue import Base, Jobs, do_one, main, run, work
from repo import Database, Transaction, gather


async def test_every_job_is_done_once(url: str) -> None:
    """Four workers empty the queue together; the example itself checks that each job was done once."""
    done = await run(url, workers=4, jobs=60)
    assert done.total() == 60


async def test_a_job_that_somebody_works_on_is_passed_by(url: str) -> None:
    """While a transaction has a job, others get the next one; on a database with one writer they wait for theirs."""
    async with Database(url) as db:
        await db.create_all(Base.metadata)
        await Jobs(db).add_many([{"number": 3}, {"number": 4}])
        claimed, go_on = asyncio.Event(), asyncio.Event()

        async def slow(tx: Transaction) -> int | None:
            job = await Jobs(tx).claim()
            claimed.set()
            await go_on.wait()
            return job.number if job is not None else None

        first = asyncio.create_task(db.transact(slow))
        await claimed.wait()
        if db.dialect.one_writer:
            go_on.set()
        assert await db.transact(do_one, "Ada")
        go_on.set()
        assert await first == 3
        assert {job.number: job.worker for job in await Jobs(db).all()} == (
            {3: "Ada", 4: None} if db.dialect.one_writer else {3: None, 4: "Ada"}
        )


async def test_a_job_of_a_worker_that_fails_is_free_again(url: str) -> None:
    """What a worker had claimed when it failed is done by another."""
    async with Database(url) as db:
        await db.create_all(Base.metadata)
        await Jobs(db).add_many([{"number": 3}])
        with pytest.raises(ValueError, match="mine"):
            async with db.transaction() as tx:
                await do_one(tx, "Ada")
                raise ValueError("mine")
        assert await gather(work(db, "Grace"), work(db, "Alan")) in ((1, 0), (0, 1))


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Without options it runs on a private SQLite; a wrong URL is one line and exit code 2."""
    assert main(["--jobs", "10", "--workers", "2"]) == 0
    assert "10 jobs were done, each once" in capsys.readouterr().out
    assert main(["--database", "nonsense"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
