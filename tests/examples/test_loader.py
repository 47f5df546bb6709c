"""The loader: everything or nothing, and what it loads is what the files hold."""

import asyncio
import hashlib
import io
import itertools
import lzma
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from examples.flights import source
from examples.flights.loader import ForeignContents, is_loaded, load, shown
from examples.flights.models import Airline
from examples.flights.repositories import Airlines
from examples.flights.source import FLIGHTS, DataFileError
from repo import Base, Database
from repo.errors import CheckViolation
from tests.examples.whole import COUNTS, counts

EMPTY = dict.fromkeys(COUNTS, 0)
GOOD_ROWS = 20_000


@pytest.fixture
async def tables(db: Database) -> Database:
    """The tables, empty."""
    await db.create_all(Base.metadata)
    return db


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> "Spoiled":
    """Copies of the data, each spoiled in its own way."""
    return Spoiled(tmp_path_factory.mktemp("spoiled"))


class Spoiled:
    """Copies of the data in which one row of the flights, after good ones and before good ones, is another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with lzma.open(FLIGHTS.path(), "rt", encoding="utf-8") as file:
            self.before = "".join(itertools.islice(file, GOOD_ROWS + 1))
            self.after = "".join(itertools.islice(file, GOOD_ROWS))

    def by(self, row: str) -> Path:
        """The folder of a copy that has this row; its checksums agree."""
        folder = self.folder / hashlib.sha256(row.encode()).hexdigest()
        if not folder.exists():
            shutil.copytree(source.FOLDER, folder)
            content = lzma.compress(f"{self.before}{row}\n{self.after}".encode(), preset=0)
            FLIGHTS.path(folder).write_bytes(content)
            sums = folder / source.CHECKSUMS
            others = [line for line in sums.read_text().splitlines() if "flights" not in line]
            sums.write_text("\n".join([*others, f"{hashlib.sha256(content).hexdigest()}  flights.csv.xz", ""]))
        return folder


async def test_foreign_rows_are_left_alone(tables: Database) -> None:
    """Tables with other contents are not loaded into, and the error says what was found."""
    await Airlines(tables).add(Airline(carrier="UA", name="Another"))
    with pytest.raises(ForeignContents, match="1 of 16 rows in airlines, 0 of 1,458 rows in airports"):
        await is_loaded(tables)
    with pytest.raises(ForeignContents):
        await load(tables)
    assert await counts(tables) == {**EMPTY, "airlines": 1}


async def test_empty_tables_are_not_loaded(tables: Database) -> None:
    """`is_loaded` tells empty tables from loaded ones."""
    assert not await is_loaded(tables)


async def test_a_bad_row_leaves_nothing(tables: Database, spoiled: Spoiled) -> None:
    """A row that cannot be read, far into the last file, undoes all that came before it."""
    shown: dict[str, list[int]] = {name: [] for name in COUNTS}
    with pytest.raises(DataFileError, match=f"line {GOOD_ROWS + 2}: has 3 columns instead of 19"):
        await load(tables, progress=lambda name, done, _: shown[name].append(done), folder=spoiled.by("2013,1,1"))
    assert await counts(tables) == EMPTY
    assert {name: done[-1] for name, done in shown.items() if name != "flights"} == {
        name: number for name, number in COUNTS.items() if name != "flights"
    }
    assert 0 < shown["flights"][-1] <= GOOD_ROWS
    assert shown["flights"] == sorted(shown["flights"])


async def test_a_row_that_the_database_refuses_leaves_nothing(tables: Database, spoiled: Spoiled) -> None:
    """A row that breaks a constraint, far into the last file, undoes all that came before it."""
    folder = spoiled.by("2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,0,5,15,2013-01-01T10:00:00Z")
    with pytest.raises(CheckViolation) as caught:
        await load(tables, folder=folder)
    assert caught.value.constraint == "ck_flights_distance"
    assert await counts(tables) == EMPTY


async def test_a_cancelled_load_leaves_nothing(tables: Database) -> None:
    """Ctrl-C in the middle of the flights undoes all that came before it, and the tables can be loaded afterwards."""

    def cancel(name: str, done: int, total: int) -> None:
        if name == "flights" and done < total:
            loading.cancel()

    loading = asyncio.create_task(load(tables, progress=cancel))
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert await counts(tables) == EMPTY
    assert await Airlines(tables).add_many([Airline(carrier="UA", name="Another")]) == 1


async def test_a_damaged_file_is_found_before_anything_is_written(tables: Database, tmp_path: Path) -> None:
    """The checksums are compared first: of a file that is not whole not even the first row is used."""
    folder = shutil.copytree(source.FOLDER, tmp_path / "data")
    FLIGHTS.path(folder).write_bytes(FLIGHTS.path().read_bytes()[:-1])
    shown: list[str] = []
    with pytest.raises(DataFileError, match=r"flights\.csv\.xz: is damaged"):
        await load(tables, progress=lambda name, _done, _total: shown.append(name), folder=folder)
    assert shown == []
    assert await counts(tables) == EMPTY


def test_progress_elsewhere_is_a_line_for_each_table() -> None:
    """A log file gets no bars and no control characters."""
    console = Console(file=io.StringIO(), force_terminal=False)
    with shown(console) as show:
        for done in (0, 8, 16):
            show("airlines", done, 16)
        show("flights", 1_000, 336_776)
    assert written(console) == "airlines: 16 rows\n"


def test_progress_on_a_terminal_is_a_bar_for_each_table() -> None:
    """A person sees how far each table is."""
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with shown(console) as show:
        show("airlines", 16, 16)
        show("flights", 1_000, 336_776)
    assert [part in written(console) for part in ("16/16", "1000/336776")] == [True, True]


def written(console: Console) -> str:
    """What a console wrote to its buffer."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
