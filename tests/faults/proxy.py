"""A TCP proxy with faults on command: connections cut, refused or stalled, requests kept back, replies lost on the way.

What it has done is counted, so that a test can wait for its fault and prove that there was one.
"""

from __future__ import annotations

import asyncio
import ctypes
import re
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self, TypeAlias

from sagabus.testing.sandbox import HOST, ReservedPort


@dataclass(frozen=True, slots=True)
class CommitOf:
    """The COMMIT of a transaction in which something was said."""

    mark: bytes


Chosen: TypeAlias = bytes | CommitOf | Callable[[bytes], bool]
"""Which bytes of a client: those that end with a needle in them, or those of which a predicate says so."""

_CHUNK = 65536
_LOOK_BACK = 65536
_COMMIT = re.compile(rb"COMMIT(?!TED)")
_ATTACH_FILTER, _RETURN = 26, 6
"""Of Linux: SO_ATTACH_FILTER, and the instruction BPF_RET, which lets so many bytes of a packet through."""
_RESET = struct.pack("ii", 1, 0)


def ready_for_query(answer: bytes) -> bool:
    """Whether an answer of PostgreSQL is whole: what was asked for is then committed, or refused."""
    return answer[-6:-1] == b"Z\0\0\0\5"


class _Cut(Exception):
    """That a connection ends with a reset."""


class _End(Exception):
    """That a connection ends after what has passed on it."""


@dataclass(slots=True)
class _Link:
    """One connection through the proxy."""

    from_client: asyncio.StreamReader
    to_client: asyncio.StreamWriter
    from_server: asyncio.StreamReader
    to_server: asyncio.StreamWriter
    said: bytes = b""
    """The end of what the client has sent: a needle may come in two parts."""
    answer: bytes | None = None
    """What of the reply to be lost has come; None while no reply is to be lost."""
    is_whole: Callable[[bytes], bool] = bool
    is_forgotten: bool = False


class Proxy:
    """Listens on a port of 127.0.0.1 between entry and exit; to be used in one event loop.

    Faults are for all connections, present and future, until they are revoked.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self._target = target_host, target_port
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self.connections = 0
        """Accepted so far."""
        self.sent = 0
        """Bytes passed on to the server."""
        self.received = 0
        """Bytes passed on to clients."""
        self.stalled = 0
        """Times that something had to wait for `flow`."""
        self.held = 0
        """Times that bytes of a client were kept back."""
        self.swallowed = 0
        """Replies that the server has given and no client has heard."""
        self.cuts = 0
        """Connections that the proxy has reset on purpose."""
        self.vanished = 0
        """Connections that hear nothing more, and are not told that."""
        self.ended = 0
        """Connections that the proxy has ended in the middle of what was said."""
        self._present: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._links: list[_Link] = []
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._released = asyncio.Event()
        self._hold: Chosen | None = None
        self._hold_once = False
        self._swallow: tuple[Chosen, Callable[[bytes], bool]] | None = None
        self._left: dict[str, int | None] = {}
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        self._reserved.close()
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        if errors := [end for end in ends if isinstance(end, Exception)]:
            raise ExceptionGroup("the proxy failed", errors)

    def cut(self) -> None:
        """Reset all connections at the next turn of the event loop; new ones are welcome."""
        for task in self._tasks:
            if not task.done() and not task.cancelling():
                task.cancel()
                self.cuts += 1
        self._tell()

    def vanish(self) -> None:
        """Be a machine without power to all connections that there are: nothing that they send is even acknowledged.

        New ones are welcome. Needs Linux.
        """
        drop = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN, 0, 0, 0))
        for connection in self._present:
            connection.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(drop)))
        self.vanished += len(self._present)

    def refuse(self) -> None:
        """Refuse new connections, as a host whose server is down; present ones go on."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def accept(self) -> None:
        """Accept new connections again."""
        if self._listener is None:
            self._listener = socket.create_server((HOST, self.port), backlog=128)
            self._listener.setblocking(False)
            asyncio.get_running_loop().add_reader(self._listener, self._welcome, self._listener)

    def lead_to(self, port: int) -> None:
        """Take new connections to another server of this machine; present ones stay with theirs."""
        self._target = HOST, port

    def stall(self) -> None:
        """Pass nothing on in either direction, not even the end of a connection."""
        self._flowing.clear()

    def flow(self) -> None:
        """Pass on what has waited, and all that follows."""
        self._flowing.set()

    def forget(self) -> None:
        """Pass nothing on any more on the connections that there are, not even their end; new ones are welcome: as a
        firewall does that has not heard of them for long.
        """
        for link in self._links:
            link.is_forgotten = True

    def hold_client_bytes_when(self, chosen: Chosen, *, once: bool = False) -> None:
        """Keep back what is chosen, and what follows it on its connection, until `release`.

        `once`: the next request that is chosen, and no other.
        """
        self._hold, self._hold_once = chosen, once
        self._released.clear()

    def release(self) -> None:
        """Pass on what was kept back, and keep nothing back any more."""
        self._hold = None
        self._released.set()

    def swallow_reply_after(self, chosen: Chosen, *, whole: Callable[[bytes], bool] = bool) -> None:
        """Pass on what is chosen, and then nothing more to that client; reset both sides once the server has answered.

        The next request that is chosen, and no other. `whole` says of all that has come so far whether it is the
        answer; anything is, unless told otherwise.
        """
        self._swallow = chosen, whole

    def end_after(self, *, sent: int | None = None, received: int | None = None) -> None:
        """Pass on so many bytes more, of all connections together, and then end the one that the last of them is on.

        What has passed arrives. `sent` to the server, or `received` by clients.
        """
        self._left = {"sent": sent, "received": received}

    async def until(self, claim: Callable[[Proxy], bool], timeout: float = 20) -> None:
        """Wait until a claim about the proxy's counts holds."""
        async with asyncio.timeout(timeout):
            while not claim(self):
                await self._changed.wait()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _welcome(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError, ConnectionAbortedError):
            connection, _ = listener.accept()
            self.connections += 1
            self._present.add(connection)
            task = asyncio.create_task(self._serve(connection))
            task.add_done_callback(lambda _: self._close(connection))
            self._tasks.append(task)
            self._tell()

    def _close(self, connection: socket.socket) -> None:
        self._present.discard(connection)
        connection.close()  # who was cancelled before its first step never did

    async def _serve(self, connection: socket.socket) -> None:
        writers: list[asyncio.StreamWriter] = []
        finish: Callable[[asyncio.StreamWriter], None] = _reset
        try:
            from_client, to_client = await asyncio.open_connection(sock=connection)
            writers.append(to_client)
            from_server, to_server = await asyncio.open_connection(*self._target)
            writers.append(to_server)
            link = _Link(from_client, to_client, from_server, to_server)
            self._links.append(link)
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._forth(link))
                directions.create_task(self._back(link))
            finish = asyncio.StreamWriter.close
        except* _End:
            finish = asyncio.StreamWriter.close
        except* (OSError, _Cut):
            pass  # whatever has happened to one side happens to the other
        finally:
            for writer in writers:
                finish(writer)
            for writer in writers:
                with suppress(OSError):
                    await writer.wait_closed()

    async def _forth(self, link: _Link) -> None:
        while chunk := await link.from_client.read(_CHUNK):
            await self._not_held(link, chunk)
            await self._not_stalled(link)
            if self._swallow is not None and _is_chosen(self._swallow[0], link.said, chunk):
                link.answer, link.is_whole, self._swallow = b"", self._swallow[1], None
            link.said = (link.said + chunk)[-_LOOK_BACK:]
            passing, is_last = self._up_to_its_end("sent", chunk)
            link.to_server.write(passing)
            self.sent += len(passing)
            self._tell()
            await link.to_server.drain()
            self._end_if(is_last)
        await self._not_stalled(link)
        link.to_server.write_eof()

    async def _back(self, link: _Link) -> None:
        while chunk := await link.from_server.read(_CHUNK):
            await self._not_stalled(link)
            if link.answer is not None:
                self._lose(link, chunk)
                continue
            passing, is_last = self._up_to_its_end("received", chunk)
            link.to_client.write(passing)
            self.received += len(passing)
            self._tell()
            await link.to_client.drain()
            self._end_if(is_last)
        await self._not_stalled(link)
        if link.answer is not None:
            raise _Cut  # a server that ends without an answer: the client is not told that, either
        link.to_client.write_eof()

    def _up_to_its_end(self, direction: str, chunk: bytes) -> tuple[bytes, bool]:
        """What of it may pass, and whether the connection is to end with it."""
        left = self._left.get(direction)
        if left is None:
            return chunk, False
        is_last = left <= len(chunk)
        self._left[direction] = None if is_last else left - len(chunk)
        return chunk[:left], is_last

    def _end_if(self, due: bool) -> None:  # the one thing it is told
        if due:
            self.ended += 1
            self._tell()
            raise _End

    def _lose(self, link: _Link, chunk: bytes) -> None:
        link.answer = (link.answer or b"") + chunk
        if link.is_whole(link.answer):
            self.swallowed += 1
            self.cuts += 1
            self._tell()
            raise _Cut

    async def _not_held(self, link: _Link, chunk: bytes) -> None:
        if self._hold is not None and _is_chosen(self._hold, link.said, chunk):
            self.held += 1
            self._hold = None if self._hold_once else self._hold
            self._tell()
            await self._released.wait()

    async def _not_stalled(self, link: _Link) -> None:
        if link.is_forgotten:
            await asyncio.Event().wait()
        if not self._flowing.is_set():
            self.stalled += 1
            self._tell()
            await self._flowing.wait()


def _is_chosen(chosen: Chosen, before: bytes, chunk: bytes) -> bool:
    if isinstance(chosen, CommitOf):
        transaction = (before + chunk).rpartition(b"BEGIN")[2]
        return _COMMIT.search(chunk) is not None and chosen.mark in _COMMIT.split(transaction)[0]
    if not isinstance(chosen, bytes):
        return chosen(chunk)
    return chosen in before[max(0, len(before) - len(chosen) + 1) :] + chunk


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # it is closed already
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
