"""Many who move money at once, each by reading balances and writing what came of them."""

import pytest

from repo import Database, gather
from repo.events import AttemptFailed, Event
from tests.scopes.models import Accounts, Base
from tests.scopes.transfers import ACCOUNTS, BALANCE, PATIENT, assert_done_once, careless_transfer

TASKS = 50


async def test_fifty_tasks_and_ten_accounts(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With `transact` at SERIALIZABLE every transfer is done exactly once and no money is lost; retries are counted."""
    told: list[Event] = []
    async with Database(url, hooks=[told.append]) as db:
        await db.create_all(Base.metadata)
        await Accounts(db).add_many(
            {"id": n, "owner": f"owner {n}", "balance": BALANCE} for n in range(1, ACCOUNTS + 1)
        )
        units = (
            db.transact(careless_transfer, number, isolation="SERIALIZABLE", retry=PATIENT) for number in range(TASKS)
        )
        assert list(await gather(*units)) == list(range(TASKS))
        await assert_done_once(db, set(range(TASKS)))
        retries = sum(isinstance(event, AttemptFailed) for event in told)
        with capsys.disabled():
            print(f" {TASKS} transfers, {retries} retries ", end="")
        assert (retries == 0) == db.dialect.one_writer
