"""Reads of repositories with different conditions that are awaited in the same turn of the loop, in every scope."""

from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import pytest
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession

from repo import Database, NotFound, Repository, Scope, gather
from repo.engine.conditions import Condition
from tests.models import SCOPES, opened
from tests.tenants import Member, Members, Order, rented

AnyScope = Scope | AsyncSession


@pytest.fixture(params=SCOPES)
async def scope(request: pytest.FixtureRequest, db: Database) -> AsyncIterator[AnyScope]:
    """Each kind of scope over the rows of two tenants."""
    async with opened(await rented(db), request.param) as scope:
        yield scope


class Some(Members):
    """Members of the first tenant, and of their orders only one."""

    def __init__(self, scope: AnyScope, order: int) -> None:
        super().__init__(scope, 1)
        self.order = order

    def related_condition(self, model: type[Any]) -> Condition | None:
        return Order.id == self.order if model is Order else super().related_condition(model)


current: ContextVar[int] = ContextVar("current")


class Current(Repository[Member]):
    """Members of the tenant of the running task."""

    def condition(self) -> ColumnElement[bool]:
        return Member.tenant == current.get()


async def test_gets_see_each_their_own_tenants_rows(scope: AnyScope) -> None:
    """Gets of several tenants do not mix, also where one repository serves all."""
    calls = [Members(scope, tenant).get(key) for key in (1, 2, 3) for tenant in (1, 2, 1)]
    found = [member and (member.id, member.tenant) for member in await gather(*calls)]
    assert found == [(1, 1), None, (1, 1), (2, 1), None, (2, 1), None, (3, 2), None]
    members = Current(scope)

    async def get(tenant: int, key: int) -> int | None:
        current.set(tenant)
        member = await members.get(key)
        return member.id if member else None

    assert await gather(*(get(tenant, key) for tenant in (1, 2) for key in (1, 3))) == (1, None, None, 3)


async def test_gets_bring_along_what_their_own_repository_reaches(db: Database) -> None:
    """Of repositories that differ only in what they reach of other models, each brings along its own."""
    await rented(db)
    for kind in ("database", "snapshot"):
        async with opened(db, kind) as scope:
            calls = [Some(scope, order).get_one(key, load=Member.orders) for order in (1, 2) for key in (1, 2)]
            assert [[order.id for order in member.orders] for member in await gather(*calls)] == [[1], [], [2], []]


async def test_loads_see_each_their_own_tenants_rows(db: Database) -> None:
    """Loads of several tenants, and of repositories that reach different rows of other models, do not mix."""
    await rented(db)
    for kind in ("database", "snapshot"):
        async with opened(db, kind) as scope:
            ada, same, grace = [await Members(scope, tenant).get_one(key) for tenant, key in ((1, 1), (1, 1), (2, 3))]

            async def refused(scope: AnyScope = scope, grace: Member = grace) -> bool:
                with pytest.raises(NotFound):
                    await Members(scope, 1).load(grace, Member.orders)
                return True

            await gather(
                Some(scope, 1).load(ada, Member.orders),
                Some(scope, 2).load(same, Member.orders),
                refused(),
                Members(scope, 2).load(grace, Member.orders),
            )
            assert [[order.id for order in member.orders] for member in (ada, same, grace)] == [[1], [2], [3]]
