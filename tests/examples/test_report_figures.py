"""The report's answers are those of plain Python, to the last byte, on every database."""

import json

import pytest

from examples.flights.report import ask
from repo import Database
from tests.examples import expected


@pytest.mark.parametrize("one_at_a_time", [False, True], ids=["at_once", "one_at_a_time"])
async def test_the_answers_are_those_of_plain_python(flights_url: str, one_at_a_time: bool) -> None:
    """Every figure equals the one computed without a database, whichever the database and the order of asking."""
    async with Database(flights_url) as db, db.snapshot() as snapshot:
        answers = await ask(snapshot, one_at_a_time=one_at_a_time)
    document = json.loads(answers.json())
    for name, answer in expected.report()["answers"].items():
        assert document["answers"][name] == answer, name
    assert answers.json() == json.dumps(expected.report(), indent=2, sort_keys=True) + "\n"
