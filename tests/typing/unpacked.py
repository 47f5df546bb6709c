"""What a type checker knows of rows with SQLAlchemy 2.1, which can be unpacked; never run."""

from typing import assert_type

from sqlalchemy import Row, func, select

from repo import Page, Scope, Stream
from tests.typing.verbs import Order, User

TOTALS = select(User.name, func.count(Order.id)).join(Order).group_by(User.name)


async def rows(scope: Scope) -> None:
    """A row is a tuple of its columns' types."""
    assert_type(await scope.rows(TOTALS), list[Row[str, int]])
    for name, orders in await scope.rows(TOTALS):
        assert_type((name, orders), tuple[str, int])
    assert_type(await scope.page(TOTALS), Page[Row[str, int]])
    assert_type(scope.stream(TOTALS), Stream[Row[str, int]])
    async for (user,) in scope.stream(select(User)):
        assert_type(user, User)
    ((user, order_id),) = (await scope.execute(select(User, Order.id))).all()
    assert_type((user, order_id), tuple[User, int])
