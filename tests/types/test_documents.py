"""Documents of JSON."""

import operator
from typing import Any

import pytest
from sqlalchemy import JSON, select, true

from repo.errors import InvalidValue
from tests.types.samples import Sample, Samples


async def test_none_is_null(samples: Samples) -> None:
    """None is NULL by every verb, and null inside of a document is None."""
    await samples.add(Sample(count=1, data=None))
    await samples.add_many([{"count": 2, "data": None}])
    await samples.add(Sample(count=3, data={"a": None}))
    assert await samples.count(Sample.data.is_(None)) == 2
    assert await samples.count(operator.eq(Sample.data, None)) == 2
    assert [each.data for each in await samples.all(Sample.data.is_not(None))] == [{"a": None}]
    await samples.update_where(true(), values={"data": None})
    assert await samples.count(Sample.data.is_(None)) == 3


async def test_a_null_instead_of_a_document_is_refused(samples: Samples) -> None:
    """JSON's own null, which would come back as None without being NULL, is InvalidValue."""
    with pytest.raises(InvalidValue, match=r"^a null of JSON instead of a document: None is NULL"):
        await samples.add(Sample(data=JSON.NULL))


VALUES = [2**70 + 1, [2**70 + 1], 1.0, 0.1 + 0.2, "5", 5, True, False, "", [], {}, 1e300, -0.0]


@pytest.mark.parametrize("value", VALUES)
async def test_any_value_comes_back(samples: Samples, value: Any) -> None:
    """A document may be a single value, and comes back equal; numbers lose no digit."""
    await samples.add(Sample(data=value))
    (found,) = await samples.all(Sample.data == value)
    assert found.data == value
    assert type(found.data) is (int if value == 1e300 else type(value))  # a float as large as that is a whole number


async def test_documents_are_compared_by_what_they_say(samples: Samples) -> None:
    """Documents are equal whatever the order of their keys."""
    data = {"b": [1, {"c": "é"}], "a": {"n": 7, "on": True, "x": 0.5}}
    await samples.add(Sample(data=data))
    assert await samples.count(Sample.data == {"a": {"x": 0.5, "on": True, "n": 7}, "b": [1, {"c": "é"}]}) == 1
    assert await samples.count(Sample.data.in_([data])) == 1
    assert await samples.count(Sample.data != data) == 0


async def test_parts_are_read_as_what_they_are(samples: Samples) -> None:
    """A part is of the type that it is read as; what is not there, and null, are NULL."""
    await samples.add(Sample(data={"b": [1, {"c": "é"}], "a": {"n": 7, "on": True, "x": 0.1 + 0.2}, "null": None}))
    data = Sample.data
    parts = [
        data["b"][1]["c"].as_string(),
        data["a", "n"].as_integer(),
        data["a"]["on"].as_boolean(),
        data["a"]["x"].as_float(),
        data["null"].as_string(),
        data["none"].as_string(),
    ]
    rows = await samples.scope.rows(select(*(part.label(f"p{n}") for n, part in enumerate(parts))))
    assert list(map(tuple, rows)) == [("é", 7, True, 0.1 + 0.2, None, None)]
    assert await samples.count(parts[0] == "é", parts[1] < 8, parts[2], parts[4].is_(None), parts[5].is_(None)) == 1


async def test_a_document_that_holds_itself_is_refused(samples: Samples) -> None:
    """A document without an end is InvalidValue."""
    data: list[Any] = []
    data.append(data)
    with pytest.raises(InvalidValue, match=r"nested too deep, or holds itself"):
        await samples.add(Sample(data=data))
