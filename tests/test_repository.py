"""A repository: a class with a model, over any scope."""

import types
from typing import Any, Generic, TypeVar

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from repo import Database, Repository, UsageError
from tests.models import Line, Model, User, Users, stocked

M = TypeVar("M")
T = TypeVar("T")


class Named(Repository[M]):
    """What an application shares between its repositories."""

    async def total(self) -> int:
        """How many there are."""
        return await self.count()


class Tagged(Repository[M], Generic[T, M]):
    """A base with a parameter of its own, before the model."""

    def __init__(self, scope: Any, tag: T) -> None:
        super().__init__(scope)
        self.tag = tag


class NamedUsers(Named[User]):
    """Users, by way of a base."""


class TaggedLines(Tagged[str, Line]):
    """Lines, by way of a base with two parameters."""


class MoreUsers(NamedUsers):
    """A subclass that says nothing new of the model."""


async def test_the_model_comes_from_the_type_argument(db: Database) -> None:
    """However far away the type argument is, the repository knows its model."""
    assert [cls.model for cls in (Users, NamedUsers, TaggedLines, MoreUsers)] == [User, User, Line, User]
    await stocked(db)
    assert await NamedUsers(db).total() == 3
    lines = TaggedLines(db, tag="x")
    assert (lines.tag, await lines.count(), lines.scope is db) == ("x", 4, True)


async def test_using_keeps_everything_but_the_scope(db: Database) -> None:
    """`using` gives the same class with the same arguments over another scope, and leaves the first as it was."""
    await stocked(db)
    lines = TaggedLines(db, tag="x")
    async with db.transaction() as tx:
        inside = lines.using(tx)
        assert (type(inside), inside.tag, inside.scope is tx, lines.scope is db) == (TaggedLines, "x", True, True)
        assert await inside.count() == 4


async def test_repositories_over_one_session_share_its_queue(db: Database) -> None:
    """Repositories over an `AsyncSession` work in its transaction, which stays its owner's."""
    await stocked(db)
    async with AsyncSession(db.engine) as session:
        await Users(session).update(1, nickname="inside")
        assert (await NamedUsers(session).get_one(1)).nickname == "inside"
        await session.rollback()
    assert (await Users(db).get_one(1)).nickname == "A"


def test_a_repository_without_a_model_is_refused() -> None:
    """`Repository` itself, also with brackets, and a class without a type argument have no model."""
    scope: Any = None
    for make in (Repository[User], Repository, type("Nothing", (Repository,), {}), Named):
        with pytest.raises(UsageError, match=r"with the model as its type argument: class Users\(Repository\[User\]\)"):
            make(scope)


def test_a_model_is_a_mapped_class(db: Database) -> None:
    """The name of a model, and a class that is not mapped, are refused when the repository is made."""
    generic: Any = Repository
    for argument in ("User", int, Model):
        wrong = types.new_class("Wrong", (generic[argument],))
        with pytest.raises(UsageError, match=r"is not a mapped class of SQLAlchemy$"):
            wrong(db)


def test_a_scope_is_a_scope() -> None:
    """Something that is no scope is refused, with what would be one."""
    wrong: Any
    for wrong in (None, "sqlite+aiosqlite://", AsyncSession):
        with pytest.raises(UsageError, match=r"^Users takes a Database, a Transaction, a Snapshot or an AsyncSession"):
            Users(wrong)
