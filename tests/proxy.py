"""A proxy between a `Database` and its Postgres, which hears what is sent, falls silent, or breaks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

SSL_REQUEST = 80877103
"""What a client may send before its first message."""


class Proxy:
    """Passes bytes on to a server and back until it falls silent; then it keeps the connections, and loses the bytes.

    As when the network between them is cut: nobody is told.
    """

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        """Where it listens."""
        self.heard: list[str] = []
        """The messages of all clients: a letter, and for a statement its text."""
        self.silent = asyncio.Event()
        """Whether nothing is passed on, on any connection."""
        self.lost: set[asyncio.StreamWriter] = set()
        """The clients of whose connections nothing is passed on; that of others is."""
        self.clients: set[asyncio.StreamWriter] = set()
        """Those who keep their connection open."""
        self._server = (host, port)
        self._left = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect a new client to the server."""
        from_server, to_server = await asyncio.open_connection(*self._server)
        self.clients.add(writer)
        self._writers += [writer, to_server]
        self._tasks += [
            asyncio.create_task(self._pass_on(reader, to_server, writer, _Ear())),
            asyncio.create_task(self._pass_on(from_server, writer, writer)),
        ]

    def lose(self) -> None:
        """Let all connections that there are fall silent; new ones work."""
        self.lost |= self.clients

    def break_off(self) -> None:
        """Break all connections that there are, as a server does that is started anew."""
        for writer in self._writers:
            writer.transport.abort()

    async def deserted(self) -> None:
        """Wait until no client has a connection open."""
        while self.clients:
            self._left.clear()
            await self._left.wait()

    async def close(self) -> None:
        """Break every connection, and forget it."""
        self.break_off()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pass_on(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
        ear: "_Ear | None" = None,
    ) -> None:
        """Pass on what comes until one side closes, which the other is told unless it is silent."""
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                self.heard += ear.hear(data) if ear else ()
                if not self._is_silent(client):
                    target.write(data)
        if ear is not None:
            self.clients.discard(client)
            self._left.set()
        if not self._is_silent(client):
            target.close()

    def _is_silent(self, client: asyncio.StreamWriter) -> bool:
        return self.silent.is_set() or client in self.lost


class _Ear:
    """Makes messages of the bytes of one client, by the protocol of Postgres."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._typed = False

    def hear(self, data: bytes) -> Iterator[str]:
        """The messages that are complete by now."""
        self._bytes += data
        while (message := self._next()) is not None:
            if self._typed:
                yield _in_words(message)
            else:
                self._typed = int.from_bytes(message[4:8]) != SSL_REQUEST

    def _next(self) -> bytes | None:
        """The next message, if all of it is there; the first ones have no letter in front of their length."""
        start = 1 if self._typed else 0
        end = start + int.from_bytes(self._bytes[start : start + 4])
        if len(self._bytes) < max(end, start + 4):
            return None
        message = bytes(self._bytes[:end])
        del self._bytes[:end]
        return message


def _in_words(message: bytes) -> str:
    """The letter of a message, and the text of one that has a statement in it."""
    letter, texts = chr(message[0]), message[5:].split(b"\0")
    text = {"Q": texts[0], "P": texts[1] if len(texts) > 1 else b""}.get(letter, b"")
    return f"{letter} {text.decode()}".strip()


@asynccontextmanager
async def in_front_of(host: str, port: int) -> AsyncIterator[Proxy]:
    """A proxy that listens until the end of the block."""
    proxy = Proxy(host, port)
    listener = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    yield proxy
    listener.close()
    await proxy.close()
