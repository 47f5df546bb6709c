"""Files that can only be read, are full, or are damaged."""

import sqlite3
from contextlib import closing

from sqlalchemy import text

from repo import Database
from repo.errors import StorageFailed
from tests.mistakes import SECRET, Author, Authors
from tests.mistakes.entry import Bench, Mistake, Told, mistake

SERVER = "a server's storage is its own business; it says `53100`, `58030` or `XX001`, and it is the same class"


async def _write_to_a_file_opened_to_be_read(bench: Bench) -> None:
    async with Database(f"sqlite:///file:{bench.url.database}?mode=ro&uri=true") as db:
        await Authors(db).add(Author(name=SECRET))


async def _write_many_to_a_file_opened_to_be_read(bench: Bench) -> None:
    async with Database(f"sqlite:///file:{bench.url.database}?mode=ro&uri=true") as db:
        await Authors(db).add_many([{"name": SECRET}])


async def _write_too_much(bench: Bench) -> None:
    async with bench.db.transaction() as tx:
        await tx.execute(text("PRAGMA max_page_count=1"))
        await Authors(tx).add(Author(name=f"{SECRET} 1", motto="x" * 100_000))


async def _write_too_many(bench: Bench) -> None:
    async with bench.db.transaction() as tx:
        await tx.execute(text("PRAGMA max_page_count=1"))
        await Authors(tx).add_many({"name": f"{SECRET} {n}"} for n in range(5000))


async def _read_a_damaged_file(bench: Bench) -> None:
    path = bench.folder / "damaged.db"
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE authors AS SELECT randomblob(10000) AS name")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(SECRET.encode() * 1000)
    async with Database(f"sqlite:///{path}") as db:
        await db.rows(text("SELECT name FROM authors"))


MISTAKES: tuple[Mistake, ...] = (
    mistake(
        "a write to a file that can only be read",
        _write_to_a_file_opened_to_be_read,
        _write_many_to_a_file_opened_to_be_read,
        sqlite=Told(StorageFailed, ("SQLITE_READONLY",)),
        postgresql=SERVER,
    ),
    mistake(
        "a full disk, or a file that is as large as it may be",
        _write_too_much,
        _write_too_many,
        sqlite=Told(StorageFailed, ("SQLITE_FULL",)),
        postgresql=SERVER,
    ),
    mistake(
        "a damaged file",
        _read_a_damaged_file,
        sqlite=Told(StorageFailed, ("SQLITE_CORRUPT",)),
        postgresql=SERVER,
    ),
)
