"""The compressed CSV files as typed rows: checked, streamed, in constant memory.

A row is a mapping with the names of the model's attributes; `NA` is None where the column may be
NULL and an error where it may not. Everything that can be wrong with a file is a `DataFileError`,
which names the file and the line. `verify` finds a damaged file in milliseconds, before any row of
it is used.
"""

import csv
import datetime as dt
import hashlib
import lzma
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "data"
CHECKSUMS = "SHA256SUMS"

Row = dict[str, Any]


class DataError(Exception):
    """What is wrong with the data, as one line for the person who runs the example."""


class DataFileError(DataError):
    """A data file is missing, damaged, or not what it should be; `line` counts from 1."""

    def __init__(self, path: Path, reason: str, *, line: int | None = None) -> None:
        self.path = path
        self.reason = reason
        self.line = line
        super().__init__(f"{path}{'' if line is None else f', line {line}'}: {reason}")


class Parser(dict[Any, Any]):
    """A function of a cell, or of a tuple of cells, that remembers its results.

    A lookup costs a fifth of parsing, and the distinct values of a column are few: 365 days, 8,760
    hours, 4,043 tail numbers. Equal strings become one object, too.
    """

    def __init__(self, parse: Callable[[Any], Any]) -> None:
        self.parse = parse

    def __missing__(self, cell: Any) -> Any:
        value = self[cell] = self.parse(cell)
        return value


Cells = list[str]
Field = tuple[str, Callable[[Any], Any]]
"""A column's name, or several joined by a space, and what makes a value of the cell or cells."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file: its table, its number of rows, its first line, and how cells become attributes."""

    table: str
    rows: int
    header: str
    attributes: Mapping[str, Field]
    numbered: str | None = None
    """The attribute that holds the number of the row, from 1."""

    def path(self, folder: Path = FOLDER) -> Path:
        """Where the file is."""
        return folder / f"{self.table}.csv.xz"

    def read(self, folder: Path = FOLDER) -> Iterator[Row]:
        """Each row as a mapping of the model's attribute names.

        Raises DataFileError at the first line that is not as it should be, and at the end if the
        number of rows is another one.
        """
        path = self.path(folder)
        fields = self._fields()
        number = 0
        for number, (line, cells) in enumerate(_lines(path, self.header), start=1):
            try:
                row = {name: parser[pick(cells)] for name, pick, parser in fields}
            except ValueError as error:
                raise DataFileError(path, self._complaint(cells), line=line) from error
            if self.numbered:
                row[self.numbered] = number
            yield row
        if number != self.rows:
            raise DataFileError(path, f"has {number} rows instead of {self.rows}")

    def _fields(self) -> list[tuple[str, Callable[[Cells], Any], Parser]]:
        """Attribute, getter of its cell or cells, parser (one for all columns of a kind)."""
        parsers: dict[Callable[[Any], Any], Parser] = {}
        return [
            (name, self._pick(columns), parsers.setdefault(parse, Parser(parse)))
            for name, (columns, parse) in self.attributes.items()
        ]

    def _pick(self, columns: str) -> Callable[[Cells], Any]:
        """The getter of one cell, or of several as a tuple."""
        return itemgetter(*map(self.header.split(",").index, columns.split()))

    def _complaint(self, cells: Cells) -> str:
        """What is wrong with the row, found by parsing it again cell by cell."""
        complaints = []
        for columns, parse in self.attributes.values():
            try:
                parse(self._pick(columns)(cells))
            except ValueError as error:
                complaints.append(f"{columns}: {error}")
        return "; ".join(complaints)


def verify(folder: Path = FOLDER) -> None:
    """Compare every file with its checksum; DataFileError names the first that differs."""
    expected = _checksums(folder / CHECKSUMS)
    for source in SOURCES:
        path = source.path(folder)
        if path.name not in expected:
            raise DataFileError(folder / CHECKSUMS, f"names no {path.name}")
        try:
            with path.open("rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DataFileError(path, _reason(error)) from error
        if actual != expected[path.name]:
            raise DataFileError(path, f"is damaged: its checksum is not the one in {CHECKSUMS}")


def _checksums(path: Path) -> dict[str, str]:
    """The checksums by file name, from the format of `sha256sum`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataFileError(path, _reason(error)) from error
    pairs = (line.split() for line in lines)
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}


def _lines(path: Path, header: str) -> Iterator[tuple[int, Cells]]:
    """Line number and cells of each row after the header; whatever is wrong is a DataFileError."""
    width = header.count(",") + 1
    line = 0
    try:
        with lzma.open(path, "rt", encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            if (first := ",".join(next(reader, []))) != header:
                raise DataFileError(path, f"the header is {first!r} instead of {header!r}", line=1)
            line = 1
            for cells in reader:
                line = reader.line_num
                if len(cells) != width:
                    reason = f"has {len(cells)} columns instead of {width}"
                    raise DataFileError(path, reason, line=line)
                yield line, cells
    except (OSError, EOFError, lzma.LZMAError, csv.Error, UnicodeDecodeError) as error:
        raise DataFileError(path, _reason(error), line=line + 1 if line else None) from error


def _reason(error: Exception) -> str:
    """The error in words, without the path, which DataFileError has."""
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    return f"is damaged: {error}"


def _text(cell: str) -> str:
    if cell in {"", "NA"}:
        raise ValueError("a value is missing")
    return cell


def _integer(cell: str) -> int:
    try:
        return int(_text(cell))
    except ValueError as error:
        raise ValueError(f"{cell!r} is not a whole number") from error


def _number(cell: str) -> float:
    try:
        number = float(_text(cell))
    except ValueError as error:
        raise ValueError(f"{cell!r} is not a number") from error
    if not math.isfinite(number):
        raise ValueError(f"{cell!r} is not a finite number")
    return number


def _moment(cell: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(cell)
    if moment.tzinfo is None:
        raise ValueError(f"{cell!r} has no time zone")
    return moment.astimezone(dt.UTC)


def _day(cells: tuple[str, str, str]) -> dt.date:
    return dt.date(*map(_integer, cells))


def _or_none(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """The same, and None for a missing value."""
    return lambda cell: None if cell in {"", "NA"} else parse(cell)


_text_or_none = _or_none(_text)
_integer_or_none = _or_none(_integer)
_number_or_none = _or_none(_number)

AIRLINES = Source(
    table="airlines",
    rows=16,
    header="carrier,name",
    attributes={"carrier": ("carrier", _text), "name": ("name", _text)},
)

AIRPORTS = Source(
    table="airports",
    rows=1_458,
    header="faa,name,lat,lon,alt,tz,dst,tzone",
    attributes={
        "faa": ("faa", _text),
        "name": ("name", _text),
        "latitude": ("lat", _number),
        "longitude": ("lon", _number),
        "altitude_feet": ("alt", _integer),
        "utc_offset": ("tz", _integer),
        "dst": ("dst", _text),
        "time_zone": ("tzone", _text_or_none),
    },
)

PLANES = Source(
    table="planes",
    rows=3_322,
    header="tailnum,year,type,manufacturer,model,engines,seats,speed,engine",
    attributes={
        "tailnum": ("tailnum", _text),
        "year": ("year", _integer_or_none),
        "type": ("type", _text),
        "manufacturer": ("manufacturer", _text),
        "model": ("model", _text),
        "engines": ("engines", _integer),
        "seats": ("seats", _integer),
        "speed": ("speed", _integer_or_none),
        "engine": ("engine", _text),
    },
)

WEATHER = Source(
    table="weather",
    rows=26_115,
    header=("origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib,time_hour"),
    attributes={
        "origin": ("origin", _text),
        "hour_at": ("time_hour", _moment),
        "temperature_f": ("temp", _number_or_none),
        "dew_point_f": ("dewp", _number_or_none),
        "humidity": ("humid", _number_or_none),
        "wind_direction": ("wind_dir", _integer_or_none),
        "wind_speed_mph": ("wind_speed", _number_or_none),
        "wind_gust_mph": ("wind_gust", _number_or_none),
        "precipitation_in": ("precip", _number_or_none),
        "pressure_mb": ("pressure", _number_or_none),
        "visibility_mi": ("visib", _number_or_none),
    },
)

FLIGHTS = Source(
    table="flights",
    rows=336_776,
    numbered="id",
    header=(
        "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
        "carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour"
    ),
    attributes={
        "date": ("year month day", _day),
        "scheduled_departure": ("sched_dep_time", _integer),
        "departure": ("dep_time", _integer_or_none),
        "departure_delay": ("dep_delay", _integer_or_none),
        "scheduled_arrival": ("sched_arr_time", _integer),
        "arrival": ("arr_time", _integer_or_none),
        "arrival_delay": ("arr_delay", _integer_or_none),
        "carrier": ("carrier", _text),
        "number": ("flight", _integer),
        "tailnum": ("tailnum", _text_or_none),
        "origin": ("origin", _text),
        "destination": ("dest", _text),
        "air_time": ("air_time", _integer_or_none),
        "distance": ("distance", _integer),
        "hour": ("hour", _integer),
        "minute": ("minute", _integer),
        "hour_at": ("time_hour", _moment),
    },
)

SOURCES = (AIRLINES, AIRPORTS, PLANES, WEATHER, FLIGHTS)
"""Every file, in the order in which foreign keys allow the tables to be filled."""
