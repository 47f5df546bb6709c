"""A proxy in front of a Postgres server that reads along, and breaks or spoils what it is told to."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum, auto

from sqlalchemy import URL, make_url

QUERY = b"Q"
READY = b"Z\x00\x00\x00\x05"
"""How the end of an answer begins; one byte follows."""
NEGOTIATION = {80877103, 80877104}
"""Codes of a first message that asks for encryption, and is followed by another first message."""


class Fate(Enum):
    """What becomes of a query."""

    PASS = auto()
    BEFORE = auto()
    """The connection breaks before the server has got it."""
    DURING = auto()
    """The connection breaks when the server has got it, perhaps before it has done anything."""
    AFTER = auto()
    """The connection breaks when the server has done it, and the client has no answer."""


Judge = Callable[[bytes], "Fate | bytes"]
"""Decides on a query; bytes are sent in its place."""


class Proxy:
    """A proxy that listens; ``judge`` may be replaced at any time."""

    def __init__(self, server: URL) -> None:
        self.judge: Judge = lambda _: Fate.PASS
        self._server = server
        self._links: set[asyncio.Task[object]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        task.add_done_callback(self._links.discard)
        there = await asyncio.open_connection(self._server.host, self._server.port)
        await _Link(self, (reader, writer), there).run()

    async def close(self) -> None:
        """Break all connections."""
        for task in self._links:
            task.cancel()
        if self._links:
            await asyncio.wait(self._links)


class _Link:
    """A connection of a client, and the one to the server that belongs to it."""

    def __init__(
        self,
        proxy: Proxy,
        here: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        there: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._from_client, self._to_client = here
        self._from_server, self._to_server = there
        self._withheld = False
        self._answered = asyncio.Event()

    async def run(self) -> None:
        """Pass on in both directions, until one side ends or the link is to break."""
        back = asyncio.create_task(self._back())
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._forth()
        finally:
            back.cancel()
            self._to_server.transport.abort()
            self._to_client.transport.abort()
            await asyncio.wait([back])

    async def _forth(self) -> None:
        """Pass on what the client says, one message after the other."""
        code = 0
        while code == 0 or code in NEGOTIATION:
            first = await self._from_client.readexactly(8)
            size, code = struct.unpack("!ii", first)
            self._to_server.write(first + await self._from_client.readexactly(size - 8))
        fate: Fate | bytes = Fate.PASS
        while fate is Fate.PASS:
            kind, size = struct.unpack("!ci", await self._from_client.readexactly(5))
            body = await self._from_client.readexactly(size - 4)
            fate = self._proxy.judge(body) if kind == QUERY else Fate.PASS
            if isinstance(fate, bytes):
                body, fate = fate, Fate.PASS
            self._withheld = fate is Fate.AFTER
            if fate is not Fate.BEFORE:
                self._to_server.write(kind + struct.pack("!i", len(body) + 4) + body)
                await self._to_server.drain()
        if fate is Fate.AFTER:
            await self._answered.wait()

    async def _back(self) -> None:
        """Pass on what the server says, except for an answer that is withheld."""
        with contextlib.suppress(OSError):
            while data := await self._from_server.read(65536):
                if not self._withheld:
                    self._to_client.write(data)
                elif data[-6:-1] == READY:
                    self._answered.set()
        self._answered.set()
        self._to_client.close()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[str, Proxy]]:
    """The URL by which a server is reached through a proxy, and that proxy."""
    parsed = make_url(url)
    proxy = Proxy(parsed)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        port: int = server.sockets[0].getsockname()[1]
        yield parsed.set(host="127.0.0.1", port=port).render_as_string(hide_password=False), proxy
    finally:
        server.close()
        await proxy.close()
