"""What a type checker knows of statements of the user's own, on both minors of SQLAlchemy; never run.

On 2.1 a row can be unpacked as well and keeps its types: that is in `unpacked.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_type

from sqlalchemy import ColumnElement, Select, delete, func, insert, select, text, union_all, update
from sqlalchemy.orm import aliased

from repo import Scope
from tests.typing.verbs import Order, User


@dataclass(frozen=True)
class Total:
    """What a row can be made into."""

    name: str
    orders: int


TOTALS = select(User.name, func.count(Order.id)).join(Order).group_by(User.name)


async def scalars(scope: Scope) -> None:
    """A list of what is in the first column."""
    assert_type(await scope.scalars(select(User)), list[User])
    assert_type(await scope.scalars(select(aliased(User))), list[User])
    assert_type(await scope.scalars(select(User.nickname).where(User.active)), list[str | None])
    assert_type(await scope.scalars(select(User.id, User.name)), list[int])
    assert_type(await scope.scalars(insert(User).returning(User), [{"name": "Ada"}]), list[User])
    assert_type(await scope.scalars(update(User).values(name="").returning(User.id)), list[int])
    assert_type(await scope.scalars(union_all(select(User.id), select(Order.id))), list[int])
    assert_type(await scope.scalars(text("SELECT 1"), {"a": 1}), list[Any])


async def scalar(scope: Scope) -> None:
    """A value, or None where there is no row."""
    assert_type(await scope.scalar(select(func.count())), int | None)
    assert_type(await scope.scalar(select(func.count()).select_from(User).where(User.active)), int | None)
    assert_type(await scope.scalar(select(func.max(User.id))), int | None)
    assert_type(await scope.scalar(select(User.nickname)), str | None)
    assert_type(await scope.scalar(select(User.id, User.name)), int | None)
    assert_type(await scope.scalar(select(User)), User | None)
    assert_type(await scope.scalar(text("SELECT 1")), Any)


async def rows(scope: Scope) -> None:
    """Rows of the columns' types, or what `into` makes of them."""
    assert_type((await scope.rows(select(User.name, User.id)))[0]._tuple(), tuple[str, int])
    assert_type((await scope.rows(select(User)))[0]._tuple(), tuple[User])
    assert_type((await scope.rows(select(User, Order.id, User.nickname)))[0]._tuple(), tuple[User, int, str | None])
    assert_type((await scope.rows(delete(User).returning(User.id, User.name)))[0]._tuple(), tuple[int, str])
    assert_type(await scope.rows(TOTALS, into=Total), list[Total])
    assert_type(await scope.rows(text("SELECT 1"), into=Total), list[Total])


async def execute(scope: Scope) -> None:
    """A result, as SQLAlchemy's own `execute` gives it."""
    assert_type((await scope.execute(TOTALS)).one()._tuple(), tuple[str, int])
    assert_type((await scope.execute(select(User.name))).scalar_one(), str)
    assert_type((await scope.execute(select(User))).scalars().all(), Sequence[User])
    await scope.execute(delete(User))


async def page(scope: Scope, cursor: str) -> None:
    """A page of rows of the columns' types."""
    assert_type((await scope.page(TOTALS, order_by=User.name, limit=5)).items[0]._tuple(), tuple[str, int])
    assert_type((await scope.page(select(User), after=cursor, total=True)).items[0]._tuple(), tuple[User])


async def stream(scope: Scope) -> None:
    """A stream of rows of the columns' types."""
    async for total in scope.stream(TOTALS, chunk=10):
        assert_type(total._tuple(), tuple[str, int])
    async with scope.stream(select(User)) as users:
        async for user in users:
            assert_type(user._tuple(), tuple[User])


async def unknown(scope: Scope, columns: list[ColumnElement[Any]], statement: Select[Any]) -> None:
    """Where nobody knows the columns, there is nothing to complain of."""
    for several in (select(*columns), select(User.__table__)):
        for row in await scope.rows(several):
            first, second = row
            assert_type((first, second, row.name), tuple[Any, Any, Any])
        (await scope.page(several)).items[0].name.upper()
        async for streamed in scope.stream(several):
            first, second = streamed
        first, second = (await scope.execute(several)).one()
        name: str = (await scope.scalars(several))[0]
        number: int | None = await scope.scalar(several)
        print(first, second, name, number)
    first, second = (await scope.rows(text("SELECT 1, 2")))[0]
    name = (await scope.rows(statement))[0].name
    number = await scope.scalar(statement)
