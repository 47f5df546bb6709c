"""The reader of the compressed CSV files: what comes out of good ones, what bad ones are told."""

import datetime as dt
import lzma
import shutil
from collections import Counter
from pathlib import Path

import pytest

from examples.flights import source
from examples.flights.source import AIRLINES, AIRPORTS, FLIGHTS, PLANES, SOURCES, WEATHER, DataFileError, Source

HEADER = FLIGHTS.header
ROW = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z"
CANCELLED = "2013,1,1,NA,1630,NA,NA,1815,NA,EV,4308,NA,EWR,RDU,NA,416,16,30,2013-01-01T21:00:00Z"


def write(folder: Path, *lines: str, of: Source = FLIGHTS) -> Path:
    """A data file with these lines."""
    path = of.path(folder)
    path.write_bytes(lzma.compress("".join(f"{line}\n" for line in lines).encode(), preset=0))
    return path


def complaint(folder: Path, *lines: str) -> DataFileError:
    """What a file of flights with these lines is told."""
    path = write(folder, *lines)
    with pytest.raises(DataFileError) as caught:
        list(FLIGHTS.read(folder))
    assert caught.value.path == path
    return caught.value


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the data, to be damaged."""
    return shutil.copytree(source.FOLDER, tmp_path / "data")


def test_a_row_has_the_types_of_the_model(tmp_path: Path) -> None:
    """Numbers, the local day and the moment in UTC are values, not text, and rows are counted."""
    write(tmp_path, HEADER, ROW)
    rows = FLIGHTS.read(tmp_path)
    assert next(rows) == {
        "id": 1,
        "date": dt.date(2013, 1, 1),
        "scheduled_departure": 515,
        "departure": 517,
        "departure_delay": 2,
        "scheduled_arrival": 819,
        "arrival": 830,
        "arrival_delay": 11,
        "carrier": "UA",
        "number": 1545,
        "tailnum": "N14228",
        "origin": "EWR",
        "destination": "IAH",
        "air_time": 227,
        "distance": 1400,
        "hour": 5,
        "minute": 15,
        "hour_at": dt.datetime(2013, 1, 1, 10, tzinfo=dt.UTC),
    }


def test_na_is_none_where_a_value_may_be_missing(tmp_path: Path) -> None:
    """A cancelled flight has neither times nor delays, and may have no aircraft."""
    write(tmp_path, HEADER, CANCELLED)
    row = next(FLIGHTS.read(tmp_path))
    missing = {name for name, value in row.items() if value is None}
    assert missing == {*("departure", "departure_delay", "arrival", "arrival_delay", "air_time", "tailnum")}


@pytest.mark.parametrize("checked", SOURCES, ids=lambda checked: checked.table)
def test_every_row_of_every_file_is_read(checked: Source) -> None:
    """The files hold the rows that they are said to hold, and every attribute of each."""
    names = {*checked.attributes, *filter(None, [checked.numbered])}
    assert Counter(row.keys() == names for row in checked.read()) == {True: checked.rows}


@pytest.mark.parametrize(
    ("checked", "key"),
    [
        (AIRLINES, ["carrier"]),
        (AIRPORTS, ["faa"]),
        (PLANES, ["tailnum"]),
        (WEATHER, ["origin", "hour_at"]),
    ],
    ids=lambda value: value.table if isinstance(value, Source) else "",
)
def test_keys_are_unique(checked: Source, key: list[str]) -> None:
    """No two rows share a key; weather is unique by the moment, which the local hour is not."""
    keys = {tuple(row[name] for name in key) for row in checked.read()}
    assert len(keys) == checked.rows


def test_the_files_are_those_of_the_checksums() -> None:
    """The data in the project is whole."""
    source.verify()


@pytest.mark.parametrize("damaged", SOURCES, ids=lambda damaged: damaged.table)
def test_a_changed_byte_is_found(copy: Path, damaged: Source) -> None:
    """Any difference, in any file, is named before a row is used."""
    path = damaged.path(copy)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=f"{path.name}: is damaged: its checksum") as caught:
        source.verify(copy)
    assert caught.value.path == path


def test_a_missing_file_is_named(copy: Path) -> None:
    """A file that is not there is one clear line."""
    PLANES.path(copy).unlink()
    with pytest.raises(DataFileError, match=r"planes\.csv\.xz: cannot be read: No such file"):
        source.verify(copy)


def test_missing_checksums_are_named(copy: Path) -> None:
    """Without checksums nothing is believed, and neither is a file that they do not name."""
    sums = copy / source.CHECKSUMS
    sums.write_text("".join(sums.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DataFileError, match=r"SHA256SUMS: names no weather\.csv\.xz"):
        source.verify(copy)
    sums.unlink()
    with pytest.raises(DataFileError, match="SHA256SUMS: cannot be read: No such file"):
        source.verify(copy)


def test_a_truncated_file_is_found_while_reading(tmp_path: Path) -> None:
    """A file that ends too early is an error also for a reader that did not verify it."""
    whole = WEATHER.path().read_bytes()
    WEATHER.path(tmp_path).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataFileError, match=r"weather\.csv\.xz, line \d+: is damaged: Compressed"):
        list(WEATHER.read(tmp_path))


def test_what_is_not_xz_is_refused(tmp_path: Path) -> None:
    """A file of another format is an error, not rows."""
    AIRLINES.path(tmp_path).write_text("carrier,name\n")
    with pytest.raises(DataFileError, match="is damaged: Input format not supported"):
        list(AIRLINES.read(tmp_path))


def test_the_wrong_text_encoding_is_refused(tmp_path: Path) -> None:
    """Text that is not UTF-8 is an error, not a replacement character."""
    AIRLINES.path(tmp_path).write_bytes(lzma.compress(b"carrier,name\n9E,\xff\n", preset=0))
    with pytest.raises(DataFileError, match="is damaged: 'utf-8' codec"):
        list(AIRLINES.read(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("UA", "NA", "carrier: a value is missing"),
        ("UA", "", "carrier: a value is missing"),
        ("517", "5:17", "dep_time: '5:17' is not a whole number"),
        ("1400", "NA", "distance: 'NA' is not a whole number"),
        ("2013,1,1", "2013,2,30", "year month day: day is out of range for month"),
        ("T10:00:00Z", "T10:00:00", "time_hour: '2013-01-01T10:00:00' has no time zone"),
        ("T10:00:00Z", "T25:00:00Z", "time_hour: hour must be in 0..23"),
        (",15,", ",", "has 18 columns instead of 19"),
        ("UA", "UA,UA", "has 20 columns instead of 19"),
        (ROW, "", "has 0 columns instead of 19"),
        ("UA", '"UA', "is damaged: unexpected end of data"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, old: str, new: str, reason: str) -> None:
    """Whatever is wrong with a row, the error says in which line, in which column, and what."""
    assert old in ROW
    error = complaint(tmp_path, HEADER, CANCELLED, ROW.replace(old, new, 1))
    assert error.line == 3
    assert error.reason == reason
    assert str(error) == f"{error.path}, line 3: {reason}"


@pytest.mark.parametrize("number", ["x", "nan", "inf"])
def test_a_number_is_finite(tmp_path: Path, number: str) -> None:
    """What is not a number of the real line is refused, although Python's float takes it."""
    write(tmp_path, AIRPORTS.header, f"ABC,Name,{number},-80.5,10,-5,A,NA", of=AIRPORTS)
    with pytest.raises(DataFileError, match=f"line 2: lat: '{number}' is not a"):
        list(AIRPORTS.read(tmp_path))


def test_another_header_is_refused(tmp_path: Path) -> None:
    """Columns in another order would be other data."""
    assert "the header is 'year,day" in complaint(tmp_path, HEADER.replace("month,", ""), ROW).reason
    assert "the header is ''" in complaint(tmp_path).reason


def test_missing_and_added_rows_are_found(tmp_path: Path) -> None:
    """A file that ends between two rows, or goes on, is not the file that was meant."""
    assert complaint(tmp_path, HEADER, ROW, ROW).reason == "has 2 rows instead of 336776"
