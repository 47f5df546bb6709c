"""Row-level security of the database, told by a transaction's settings who is asking."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, make_url, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import Database, NotFound, Repository
from repo.errors import InvalidStatement
from tests.test_readme import BLOCK, POSTGRES_URL, ROOT, run


class Base(DeclarativeBase):
    """A base of its own."""

    metadata = MetaData()


class Paper(Base):
    """What belongs to a tenant."""

    __tablename__ = "papers"
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    title: Mapped[str] = mapped_column(unique=True)


class Papers(Repository[Paper]):
    """Papers."""


POLICY = """
CREATE ROLE {role};
GRANT ALL ON papers TO {role};
GRANT ALL ON SEQUENCE papers_id_seq TO {role};
ALTER TABLE papers ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON papers USING (tenant = current_setting('app.tenant'));
"""


@pytest.fixture
async def role(db: Database) -> AsyncIterator[str]:
    """A user who sees only the papers of the tenant that a transaction says; there is one paper of each of two."""
    if db.engine.dialect.name != "postgresql":
        pytest.skip("feature: row-level security")
    await db.create_all(Base.metadata)
    await Papers(db).add_many([{"id": 101, "tenant": "a", "title": "A"}, {"id": 102, "tenant": "b", "title": "B"}])
    role = f"tenant_{uuid.uuid4().hex}"
    for statement in POLICY.format(role=role).split(";")[:-1]:
        await db.execute(text(statement))
    yield role
    for statement in ("DROP OWNED BY {role}", "DROP ROLE {role}"):
        await db.execute(text(statement.format(role=role)))


def settings(role: str, tenant: str) -> dict[str, str]:
    """Who asks, and for which tenant."""
    return {"role": role, "app.tenant": tenant}


async def test_a_tenant_sees_its_own_rows(db: Database, role: str) -> None:
    """The verbs of a transaction, and of a snapshot, with a tenant's settings reach the rows of that tenant alone."""
    async with db.transaction(settings=settings(role, "a")) as tx:
        papers = Papers(tx)
        assert [paper.title for paper in await papers.all()] == ["A"]
        assert [await papers.get(102), await papers.count(), await papers.delete(102)] == [None, 1, False]
        with pytest.raises(NotFound):
            await papers.update(102, title="x")
    async with db.snapshot(settings=settings(role, "b")) as snapshot:
        assert [paper.title for paper in await Papers(snapshot).all()] == ["B"]
    assert await Papers(db).count() == 2


async def test_many_rows_are_stored(db: Database, role: str) -> None:
    """`add_many` stores rows where the database's bulk way is closed by a policy, and the policy is applied."""
    async with db.transaction(settings=settings(role, "a")) as tx:
        rows = [{"tenant": "a", "title": f"{number}"} for number in range(20)]
        assert await Papers(tx).add_many(rows) == 20
        assert await Papers(tx).count() == 21
    with pytest.raises(InvalidStatement, match="row-level security"):
        async with db.transaction(settings=settings(role, "a")) as tx:
            await Papers(tx).add_many([{"tenant": "b", "title": "stolen"}])
    assert await Papers(db).count() == 22


async def test_a_row_that_a_policy_hides(db: Database, role: str) -> None:
    """A conflict with a hidden row is an error that neither shows nor changes it, and does not go on for ever."""

    async def store(verb: str) -> Any:
        async with db.transaction(settings=settings(role, "a")) as tx:
            return await getattr(Papers(tx), verb)(Paper(tenant="a", title="B"), on="title")

    for verb in ("upsert", "get_or_add"):
        with pytest.raises(InvalidStatement, match="row-level security") as caught:
            await store(verb)
        assert "102" not in str(caught.value)
    assert (await Papers(db).get_one(102)).tenant == "b"


async def test_the_policy_of_the_documents(url: str, tmp_path: Path) -> None:
    """The documents show a policy that runs as it is printed, on a real server."""
    if make_url(url).get_backend_name() != "postgresql":
        pytest.skip("feature: row-level security")
    (code,) = (
        block for block in BLOCK.findall((ROOT / "docs" / "repositories.md").read_text()) if POSTGRES_URL in block
    )
    role = f"tenant_{uuid.uuid4().hex}"
    own = code.replace(POSTGRES_URL, f"Database({url!r})").replace(" app;", f" {role};").replace('"app"', f'"{role}"')
    try:
        printed = await asyncio.to_thread(run, own, tmp_path)
    finally:
        async with Database(url) as db:
            for statement in (f"DROP OWNED BY {role}", f"DROP ROLE {role}"):
                await db.execute(text(statement))
    *shown, refused = printed.splitlines()
    assert shown == [line.rpartition("# ")[2] for line in code.splitlines() if "# " in line][:-1]
    assert "row-level security" in refused


async def test_rows_are_stored_through_a_view(db: Database) -> None:
    """A model may be a view, into which the database's bulk way does not lead."""
    if db.engine.dialect.name != "postgresql":
        pytest.skip("feature: views that can be written without triggers")
    for statement in (
        "CREATE TABLE all_papers (id SERIAL, tenant TEXT, title TEXT)",
        "CREATE VIEW papers AS SELECT id, tenant, title FROM all_papers",
    ):
        await db.execute(text(statement))
    assert await Papers(db).add_many([{"id": 1, "tenant": "a", "title": "A"}]) == 1
    assert (await Papers(db).get_one(1)).title == "A"
