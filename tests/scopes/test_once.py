"""``transact(once=)``: work that happens exactly once, however often it is asked for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, inspect, select, update

from repo import Database, Once, Retry, Transaction, UsageError, gather
from repo.engine import tokens
from repo.engine.tokens import TOKENS
from repo.errors import InvalidStatement, KeyReused, SerializationFailure
from repo.events import Event, UnitEnded
from repo.scopes.once import Sweeper
from tests.scopes.models import Account, Accounts, Base

QUICK = Retry(wait=0.001, longest_wait=0.01, attempts=50)


async def open_account(tx: Transaction, owner: str) -> dict[str, Any]:
    """Some work, whose result is JSON."""
    account = await Accounts(tx).add(Account(owner=owner))
    return {"id": account.id, "owner": account.owner}


async def stored(db: Database) -> int:
    """How many tokens there are."""
    return await db.scalar(select(func.count()).select_from(TOKENS)) or 0


async def test_the_second_call_gives_the_result_of_the_first(db: Database, accounts: Accounts) -> None:
    """A second call with the same key does nothing, gives the same result, and says so."""
    first, second = Once("key"), Once("key")
    made = await db.transact(open_account, "Ada", once=first)
    again = await db.transact(open_account, "Grace", once=second)
    assert made == again == {"id": 1, "owner": "Ada"}
    assert (first.replayed, second.replayed) == (False, True)
    assert [account.owner for account in await accounts.all()] == ["Ada"]
    assert await db.transact(open_account, "Edsger", once="key") == made
    assert await db.transact(open_account, "Grace", once="another key") == {"id": 2, "owner": "Grace"}


@pytest.mark.parametrize("isolation", [None, "SERIALIZABLE"])
async def test_many_calls_at_once(db: Database, accounts: Accounts, isolation: str | None) -> None:
    """Of many calls at the same time one does the work, and the others wait for its result."""
    onces = [Once("key") for _ in range(10)]
    options: Any = {"isolation": isolation, "retry": QUICK}
    results = await gather(*(db.transact(open_account, f"{n}", once=each, **options) for n, each in enumerate(onces)))
    assert [result == results[0] for result in results] == [True] * 10
    assert sorted(str(once.replayed) for once in onces) == ["False"] + ["True"] * 9
    assert await accounts.count() == 1


async def test_the_token_comes_first(db: Database, accounts: Accounts) -> None:
    """The key is stored by the first statement of the transaction that does the work, and its result by the last."""
    await db.transact(open_account, "Grace", once="other")
    sent: list[str] = []
    event.listen(db.engine.sync_engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
    await db.transact(open_account, "Ada", once="key")
    first, *_, last = (statement for statement in sent if not statement.startswith("BEGIN"))
    assert first.startswith("INSERT INTO repo_once")
    assert last.startswith("UPDATE repo_once")


async def test_another_fingerprint_is_an_error(db: Database, accounts: Accounts) -> None:
    """The same key for something else is refused, and leaves everything as it was."""
    await db.transact(open_account, "Ada", once=Once("key", fingerprint="of Ada"))
    for other in ("of Grace", None):
        once = Once("key", fingerprint=other)
        with pytest.raises(KeyReused, match="'key' was used before for something else"):
            await db.transact(open_account, "Grace", once=once)
        assert once.replayed is None
    again = Once("key", fingerprint="of Ada")
    await db.transact(open_account, "Ada", once=again)
    assert (again.replayed, await accounts.count()) == (True, 1)


@pytest.mark.parametrize("result", [None, True, 3, 0.1, "é\x00\ud800", [], {"a": [1, {"b": None}]}])
async def test_results_come_back_as_they_were(db: Database, accounts: Accounts, result: Any) -> None:
    """What JSON can express comes back equal, and of the same type."""

    async def work(tx: Transaction) -> Any:
        return result

    first = await db.transact(work, once="key")
    second = await db.transact(work, once="key")
    assert first == second == result
    assert type(second) is type(result)


@pytest.mark.parametrize("result", [{1, 2}, (1, 2), {1: 2}, float("nan"), Account(owner="Ada"), b"bytes", [("a",)]])
async def test_results_that_are_not_json(db: Database, accounts: Accounts, result: Any) -> None:
    """What JSON cannot express, or would change, is refused before anything is committed."""

    async def work(tx: Transaction) -> Any:
        await Accounts(tx).add(Account(owner="Grace"))
        return result

    with pytest.raises(UsageError, match=r"stored as JSON.*Nothing was committed"):
        await db.transact(work, once="key")
    assert (await accounts.count(), await stored(db)) == (0, 0)


async def test_work_that_fails_may_be_asked_for_again(db: Database, accounts: Accounts) -> None:
    """Work that failed leaves no token; attempts that failed on the way to success leave one."""
    errors: list[Exception] = [ValueError("mine"), SerializationFailure("again"), SerializationFailure("again")]

    async def work(tx: Transaction) -> int:
        await Accounts(tx).add(Account(owner="Ada"))
        if errors:
            raise errors.pop(0)
        return tx.attempt

    with pytest.raises(ValueError, match="mine"):
        await db.transact(work, once="key", retry=QUICK)
    assert (await accounts.count(), await stored(db)) == (0, 0)
    once = Once("key")
    assert await db.transact(work, once=once, retry=QUICK) == 3
    assert await db.transact(work, once="key", retry=QUICK) == 3
    assert (once.replayed, await accounts.count(), await stored(db)) == (False, 1, 1)


async def test_work_that_undoes_itself(db: Database, accounts: Accounts) -> None:
    """Work that ends its transaction by ``rollback()`` has not happened, so the key is free."""

    async def work(tx: Transaction) -> str:
        await open_account(tx, "Ada")
        await tx.rollback()
        return "undone"

    assert await db.transact(work, once="key") == "undone"
    assert await stored(db) == 0
    await db.transact(open_account, "Grace", once="key")
    assert [account.owner for account in await accounts.all()] == ["Grace"]


async def test_what_follows_the_commit_happens_once(db: Database, accounts: Accounts) -> None:
    """What was registered for after the commit runs with the work, not with its replays."""
    sent: list[str] = []

    async def send(to: str) -> None:
        sent.append(to)

    async def work(tx: Transaction) -> None:
        tx.after_commit(send, "Ada")

    for _ in range(3):
        await db.transact(work, once="key")
    assert sent == ["Ada"]


async def test_hooks_are_told(url: str, accounts: Accounts) -> None:
    """The event at the end of a unit says whether its result was a replay."""
    events: list[Event] = []
    async with Database(url, hooks=[events.append]) as db:
        for _ in range(2):
            await db.transact(open_account, "Ada", once="key")
    ends = [e for e in events if isinstance(e, UnitEnded)]
    assert [(e.name, e.attempts, e.replayed, e.error) for e in ends] == [
        ("open_account", 1, False, None),
        ("open_account", 1, True, None),
    ]


async def expire(db: Database, key: str) -> None:
    """Let the time pass for which a token is kept."""
    ago = datetime.now(UTC) - timedelta(seconds=1)
    await db.execute(update(TOKENS).where(TOKENS.c.key == key).values(expires_at=ago))


async def test_a_token_that_has_expired(db: Database, accounts: Accounts) -> None:
    """After its time a key may be used anew, for something else as well."""
    await db.transact(open_account, "Ada", once=Once("key", fingerprint="of Ada"))
    await expire(db, "key")
    once = Once("key", fingerprint="of Grace", keep=timedelta(hours=1))
    assert (await db.transact(open_account, "Grace", once=once))["owner"] == "Grace"
    assert (once.replayed, await accounts.count(), await stored(db)) == (False, 2, 1)


async def test_tokens_that_have_expired_are_removed(
    url: str, db: Database, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old tokens go without a scheduler: those who use others remove them, now and then, some at a time."""
    for key in ("a", "b", "c", "d"):
        await db.transact(open_account, key, once=key)
    for key in ("a", "b", "c"):
        await expire(db, key)
    monkeypatch.setattr(tokens, "SWEPT", 2)
    monkeypatch.setattr(Sweeper, "USES", 5)
    await db.transact(open_account, "e", once="e")
    assert await stored(db) == 5  # it was done a moment ago, when there was nothing to do
    async with Database(url) as other:
        await other.transact(open_account, "f", once="f")
        assert await stored(db) == 4
        for number in range(Sweeper.USES):
            await other.transact(open_account, f"{number}", once="d")
        assert await stored(db) == 3


async def test_without_the_table(db: Database) -> None:
    """Where the table is missing, the error says how it comes to be."""
    async with db.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    with pytest.raises(InvalidStatement, match=r"repo_once.*create_all.*tables\(metadata\)"):
        await db.transact(open_account, "Ada", once="key")
    assert await Accounts(db).count() == 0


async def test_a_transaction_that_only_reads(db: Database, accounts: Accounts) -> None:
    """A key needs a transaction that writes."""
    with pytest.raises(UsageError, match="read_only"):
        await db.transact(open_account, "Ada", once="key", read_only=True)


async def test_the_table_comes_and_goes_with_the_others(db: Database) -> None:
    """``create_all`` makes the table of the tokens, also the second time, and ``drop_all`` drops it."""
    for _ in range(2):
        await db.create_all(Base.metadata)
    assert await stored(db) == 0
    for _ in range(2):
        await db.drop_all(Base.metadata)
    async with db.engine.connect() as connection:
        assert await connection.run_sync(lambda sync: inspect(sync).get_table_names()) == []
