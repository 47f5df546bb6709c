"""The short way equals the long one: every verb over every kind of model, both ways."""

import copy
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from repo import Database
from tests.zoo.pen import Pen
from tests.zoo.portraits import identity, life, pickled, portrait
from tests.zoo.test_zoo import Trials, pen
from tests.zoo.verbs import READS, WRITES, Verb, called

__all__ = ["pen"]


@pytest.fixture
async def long(zoo: Database) -> AsyncIterator[Database]:
    """The same database, of which somebody listens to what SQLAlchemy executes, so that it executes all."""
    async with Database(zoo.engine.url.render_as_string(hide_password=False)) as other:
        event.listen(other.engine.sync_engine, "before_cursor_execute", lambda *_: None)
        yield other


def over(pen: Pen, db: Database) -> Pen:
    """The same pen over another `Database`."""
    other = copy.copy(pen)
    other.db, other.scope, other.repo = db, db, pen.repo.using(db)
    return other


async def test_both_ways_read_the_same(pen: Pen, long: Database) -> None:
    """An entity that was read is the same either way: its values, its state, and what becomes of it later."""
    with Trials() as trials:
        for verb in READS:
            with trials.trial(verb.name):
                ways = [await called(verb, over(pen, db)) for db in (pen.db, long)]
                assert told(ways[0]) == told(ways[1])
                lives = [await pen.plainly(partial(lived, pen, result)) for result in ways]
                assert lives[0] == lives[1]


async def test_both_ways_write_the_same(pen: Pen, long: Database) -> None:
    """A write leaves the same rows either way, and entities that differ in nothing but what is made anew each time."""
    with Trials() as trials:
        for verb in (verb for verb in WRITES if is_for(verb, pen)):
            with trials.trial(verb.name):
                results, rows = [], []
                for db in (pen.db, long):
                    await pen.stock()
                    results.append(await called(verb, over(pen, db)))
                    rows.append(await pen.rows())
                assert shapes(results[0]) == shapes(results[1])
                assert len(rows[0]) == len(rows[1])


def is_for(verb: Verb, pen: Pen) -> bool:
    specimen = pen.specimen
    left_out = any(verb.name.startswith(name) for name in (*specimen.refused, *specimen.without))
    return not left_out and not (verb.sets and not specimen.set)


def entities(result: Any) -> list[Any]:
    listed = result if isinstance(result, list) else [result]
    return [each for each in listed if hasattr(each, "_sa_instance_state")]


def told(result: Any) -> Any:
    """A result in a form that can be compared."""
    found = entities(result)
    return [portrait(each) for each in found] + [portrait(pickled(each)) for each in found] if found else result


def shapes(result: Any) -> Any:
    """A result, of which values that each way makes anew, such as keys and times, are told by their types."""
    return [shape(portrait(each)) for each in entities(result)] or result


def shape(told: Any) -> Any:
    """A portrait without such values, and so those of the entities that hang on it."""
    if isinstance(told, list):
        return [shape(each) for each in told]
    if not isinstance(told, dict):
        return type(told)
    return {
        name: value if name in ("class", "is", "unloaded", "expired") else shape(value) for name, value in told.items()
    }


def lived(pen: Pen, result: Any, own: Session) -> list[Any]:
    """What becomes of the entities of a result, without being written."""
    return [[identity(each), life(own, each, pen.specimen.change)] for each in entities(result)]
