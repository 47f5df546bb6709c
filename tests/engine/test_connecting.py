"""Whatever keeps a connection from being made is one line that says what and where, however it was asked for."""

import asyncio
import re
import socket
from pathlib import Path

import pytest
from sqlalchemy import make_url, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from repo import ConfigurationError, ConnectFailed, Database, RepoError, Repository, errors
from repo.testing import postgres_url
from tests.mistakes import caught

PASSWORD = "hunter2"


class Base(DeclarativeBase):
    """Only the tables of this module: what migrations say of the models of others is not touched."""


class Thing(Base):
    __tablename__ = "connecting_things"
    id: Mapped[int] = mapped_column(primary_key=True)


class Things(Repository[Thing]):
    """Things."""


@pytest.fixture
def server() -> str:
    """The URL of the Postgres of the tests."""
    return postgres_url()


@pytest.fixture
def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _ping(db: Database) -> None:
    await db.ping()


async def _read(db: Database) -> None:
    await Things(db).count()


async def _write(db: Database) -> None:
    await Things(db).add(Thing())


async def _stream(db: Database) -> None:
    async for _ in Things(db).stream():
        pass


async def _transaction(db: Database) -> None:
    async with db.transaction() as tx:
        await Things(tx).count()


async def _session(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.session.execute(select(Thing))


async def _snapshot(db: Database) -> None:
    async with db.snapshot() as snapshot:
        await asyncio.gather(Things(snapshot).count(), Things(snapshot).count())


WAYS = (_ping, _read, _write, _stream, _transaction, _session, _snapshot)


def said(error: BaseException) -> str:
    """Everything that an error and those behind it show."""
    texts: list[str] = []
    link: BaseException | None = error
    while link is not None:
        texts += [str(link), repr(link), str(vars(link))]
        link = link.__cause__ or link.__context__
    return "\n".join(texts)


async def unreachable(url: str, kind: type[RepoError], *, retryable: bool) -> RepoError:
    """The one error, in one line without the password, by whichever way the database is asked."""
    found: list[RepoError] = []
    for way in WAYS:
        async with Database(url) as db:
            found.append(await caught(way(db)))
    assert [(type(error), error.retryable) for error in found] == [(kind, retryable)] * len(WAYS)
    assert len({str(error) for error in found}) == 1
    assert "\n" not in str(found[0])
    assert PASSWORD not in said(found[0])
    return found[0]


async def test_nobody_listens(free_port: int) -> None:
    """A port on which nobody listens is named, and another try may succeed."""
    error = await unreachable(f"postgresql://u:{PASSWORD}@127.0.0.1:{free_port}/db", ConnectFailed, retryable=True)
    assert f"no connection to postgresql+asyncpg://u:***@127.0.0.1:{free_port}/db: " in str(error)
    assert isinstance(error.__cause__, ConnectionRefusedError)


async def test_the_host_is_unknown() -> None:
    """A host that has no address is named."""
    error = await unreachable(f"postgresql://u:{PASSWORD}@nowhere.invalid/db", ConnectFailed, retryable=True)
    assert "nowhere.invalid" in str(error)


async def test_the_socket_is_not_there(tmp_path: Path) -> None:
    """A folder without the server's socket is named."""
    error = await unreachable(f"postgresql://u:{PASSWORD}@/db?host={tmp_path}", ConnectFailed, retryable=True)
    assert isinstance(error.__cause__, FileNotFoundError)


async def test_the_database_is_unknown(server: str) -> None:
    """A server without that database says so; to ask again would not help."""
    url = make_url(server).set(database="nowhere").render_as_string(hide_password=False)
    error = await unreachable(url, ConnectFailed, retryable=False)
    assert (error.code, '"nowhere" does not exist' in str(error)) == ("3D000", True)


async def test_the_password_is_wrong(server: str) -> None:
    """A refused password is in no message; it is not sent again, which could lock the account."""
    url = make_url(server).set(password=PASSWORD)
    async with Database(url) as db:
        if await _lets_in(db):
            pytest.skip("feature: passwords; this server lets everybody in without one")
    error = await unreachable(url.render_as_string(hide_password=False), ConnectFailed, retryable=False)
    assert error.code == "28P01"


async def test_the_user_is_unknown(server: str) -> None:
    """A user whom the server does not know is refused, and nothing of the password is shown."""
    url = make_url(server).set(username="nobody_of_that_name", password=PASSWORD)
    error = await unreachable(url.render_as_string(hide_password=False), ConnectFailed, retryable=False)
    assert error.code in ("28000", "28P01")


async def _lets_in(db: Database) -> bool:
    try:
        await db.ping()
    except ConnectFailed:
        return False
    return True


@pytest.mark.parametrize("file", ["missing/app.db", "file/app.db", "."])
async def test_the_file_cannot_be_opened(tmp_path: Path, file: str) -> None:
    """A folder that is missing, a file where a folder should be, and a folder where the file should be are told."""
    (tmp_path / "file").touch()
    error = await unreachable(f"sqlite:///{tmp_path / file}", ConnectFailed, retryable=False)
    assert error.code == "SQLITE_CANTOPEN"
    assert str(tmp_path / file) in str(error)


async def test_the_file_is_no_database(tmp_path: Path) -> None:
    """A file that holds something else is told, and is left as it was."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear Ada, " * 1000)
    error = await unreachable(f"sqlite:///{path}", errors.StorageFailed, retryable=False)
    assert error.code == "SQLITE_NOTADB"
    assert path.read_text() == "Dear Ada, " * 1000


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        (PASSWORD, "not a database URL"),
        ("", "not a database URL"),
        (f"postgresql+asyncpg://u:{PASSWORD}@h:port/db", "not a database URL"),
        (f"postgresql:/u:{PASSWORD}@h/db", "not a database URL"),
        (f"mysql://u:{PASSWORD}@h/db", "no support for the database 'mysql'"),
        (f"postgresql+psycopg2://u:{PASSWORD}@h/db", "write postgresql+asyncpg://"),
        (f"postgresql+psycopg://u:{PASSWORD}@h/db", "write postgresql+asyncpg://"),
        ("sqlite+pysqlite:///app.db", "write sqlite+aiosqlite://"),
        ("sqlite://app.db", "three slashes"),
        ("sqlite:///app.db?mode=ro", "uri=true"),
        ("sqlite:///app.db?timeout=soon", "no number of seconds"),
        (f"postgresql://h/db?secret={PASSWORD}", "knows no secret in a URL"),
        ("postgresql://h/db?timeout=soon", "timeout in the URL is no number"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused_at_once(url: str, hint: str) -> None:
    """One line says what to write, before anything connects; no password is in it, nor behind it."""
    with pytest.raises(ConfigurationError, match=re.escape(hint)) as raised:
        Database(url)
    assert "\n" not in str(raised.value)
    assert PASSWORD not in said(raised.value)


async def test_the_driver_does_not_accept_a_value(server: str) -> None:
    """A value that only the driver can judge is refused when it connects."""
    url = make_url(server).update_query_dict({"sslmode": "perhaps"}).render_as_string(hide_password=False)
    error = await unreachable(url, ConfigurationError, retryable=False)
    assert "disable, allow, prefer, require" in str(error)


async def test_an_option_of_the_engine_that_the_driver_does_not_know(url: str) -> None:
    """An unknown argument in `connect_args` is named."""
    async with Database(url, engine_options={"connect_args": {"colour": "blue"}}) as db:
        error = await caught(db.ping())
    assert isinstance(error, ConfigurationError)
    assert "colour" in str(error)


async def test_libpq_names_the_way_to_encrypt(server: str) -> None:
    """`sslmode=` of libpq means what it means there."""
    url = make_url(server).update_query_dict({"sslmode": "disable"})
    async with Database(url.set(drivername="postgresql")) as db:
        await db.ping()
        assert await db.scalar(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")) is False


async def test_a_password_may_stand_among_the_arguments(server: str) -> None:
    """A password that comes as an argument of the URL is used and as hidden as any other."""
    url = make_url(server)
    moved = url.set(username=None, password=None).update_query_dict(
        {"user": url.username or "", "password": url.password or PASSWORD}
    )
    async with Database(moved) as db:
        await db.ping()
        assert (url.password or PASSWORD) not in str(db.engine.url)
