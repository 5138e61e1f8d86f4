"""A transaction pooler for tests: each transaction of a client may meet another server process, as with PgBouncer.

It refuses settings at the start of a session, or leaves them out without a word, as poolers do.
"""

import asyncio
import struct
import threading
from collections import deque
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

_KNOWN = {"user", "database", "application_name", "client_encoding"}
_SSL_REQUEST = 80877103
_IDLE = b"I"


class Backend:
    """One session of the server's, lent to a client from its first message to the end of its transaction."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.client: asyncio.StreamWriter | None = None
        self.lent = False
        self._unanswered = 0
        self._in_the_middle = False

    async def greet(self, user: str, database: str) -> bytes:
        """Log in; the server's parameters, as a client is told them."""
        body = struct.pack("!i", 196608) + f"user\0{user}\0database\0{database}\0\0".encode()
        self.writer.write(struct.pack("!i", len(body) + 4) + body)
        told = b""
        while True:
            kind, message = await read_message(self.reader)
            if kind == b"E":
                raise ConnectionError(message)
            if kind == b"S":
                told += message
            if kind == b"Z":
                return told

    def ask(self, kind: bytes, message: bytes) -> None:
        """Pass a client's message on."""
        self.writer.write(message)
        self._in_the_middle = kind not in (b"S", b"Q")
        self._unanswered += not self._in_the_middle

    def abandon(self) -> None:
        """The client is gone: end what it left."""
        self.client = None
        if self._in_the_middle:
            self.ask(b"S", b"S" + struct.pack("!i", 4))
        rollback = b"ROLLBACK\0"
        self.ask(b"Q", b"Q" + struct.pack("!i", len(rollback) + 4) + rollback)

    async def answer(self, done: Callable[["Backend"], None]) -> None:
        """Pass answers back for ever; `done` hears of each end of a transaction."""
        while True:
            kind, message = await read_message(self.reader)
            if self.client is not None and not self.client.is_closing():
                self.client.write(message)
            if kind == b"Z":
                self._unanswered -= 1
                if message[5:6] == _IDLE and not self._unanswered and not self._in_the_middle and self.lent:
                    done(self)


class Pooler:
    """Runs in a thread of its own; `port` is where clients go."""

    def __init__(self, url: str, *, size: int = 3, silent: bool = False) -> None:
        self._parts = urlsplit(url)
        self._size = size
        self._silent = silent
        self._all: list[Backend] = []
        self._backends: deque[Backend] = deque()
        self._free = asyncio.Semaphore(0)
        self._pumps: list[asyncio.Future[None]] = []
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.switches = 0
        """How often a client's next transaction met another session than the one before."""
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(20)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def url(self) -> str:
        user = f"{self._parts.username}@" if self._parts.username else ""
        return f"postgresql://{user}127.0.0.1:{self.port}{self._parts.path}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._started.set()
        self._loop.run_forever()
        self._server.close()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        for backend in self._all:
            backend.writer.transport.abort()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _start(self) -> None:
        for _ in range(self._size):
            reader, writer = await asyncio.open_connection(self._parts.hostname, self._parts.port or 5432)
            backend = Backend(reader, writer)
            self._told = await backend.greet(self._parts.username or "postgres", self._parts.path[1:])
            self._all.append(backend)
            self._backends.append(backend)
            self._free.release()
            self._pumps.append(asyncio.ensure_future(backend.answer(self._take_back)))
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await self._welcome(reader, writer):
                await self._requests(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is gone
        finally:
            writer.close()

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        while True:
            (length,) = struct.unpack("!i", await reader.readexactly(4))
            body = await reader.readexactly(length - 4)
            if struct.unpack("!i", body[:4])[0] != _SSL_REQUEST:
                break
            writer.write(b"N")
        names = body[4:].rstrip(b"\0").split(b"\0")[::2]
        unknown = sorted({name.decode() for name in names} - _KNOWN)
        if unknown and not self._silent:
            fields = f"SFATAL\0C08P01\0Munsupported startup parameter: {unknown[0]}\0\0".encode()
            writer.write(b"E" + struct.pack("!i", len(fields) + 4) + fields)
            return False
        writer.write(b"R" + struct.pack("!ii", 8, 0) + self._told + b"K" + struct.pack("!iii", 12, 1, 1))
        writer.write(b"Z" + struct.pack("!i", 5) + _IDLE)
        return True

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        backend: Backend | None = None
        last: Backend | None = None
        try:
            while True:
                kind, message = await read_message(reader)
                if kind == b"X":
                    return
                if backend is None or backend.client is not writer:
                    backend = await self._lend(writer)
                    self.switches += last is not None and last is not backend
                    last = backend
                backend.ask(kind, message)
        finally:
            if backend is not None and backend.client is writer:
                backend.abandon()

    async def _lend(self, client: asyncio.StreamWriter) -> Backend:
        await self._free.acquire()
        backend = self._backends.popleft()
        backend.client, backend.lent = client, True
        return backend

    def _take_back(self, backend: Backend) -> None:
        backend.client, backend.lent = None, False
        self._backends.append(backend)
        self._free.release()


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """One message's kind, and all of its bytes."""
    head = await reader.readexactly(5)
    (length,) = struct.unpack("!i", head[1:])
    return head[:1], head + await reader.readexactly(length - 4)
