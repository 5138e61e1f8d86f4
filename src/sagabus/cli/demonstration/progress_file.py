"""What a worker is at, readable after it was killed: handlers that run, commits that are under way, copies that came.

The numbers stand in a mapped file, so they outlive the process that wrote them. Numbers above 0 after a kill were in
flight. Each worker process has a file of its own.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from sagabus.context import Context
from sagabus.middleware import Next
from sagabus.observer import Observer, Refused
from sagabus.outcome import Settled
from sagabus.store import Batch, Store
from sagabus.transport import Delivery, Link, Transport

_LAYOUT = struct.Struct("=QQQQQ")


class Work(NamedTuple):
    """The numbers of one worker at one moment."""

    begun: int = 0
    """Handler runs so far."""
    running: int = 0
    """Handler runs that have not ended."""
    committing: int = 0
    """Outcomes of ended runs whose commit has begun and not returned."""
    redelivered: int = 0
    """Messages that the broker has handed out again."""
    dropped: int = 0
    """Copies from the broker that found their message in the inbox."""

    @property
    def in_flight(self) -> int:
        """What a kill at this moment cuts short."""
        return self.running + self.committing


class Tally:
    """A middleware that counts runs; pass it to a bus."""

    def __init__(self, path: Path) -> None:
        with path.open("w+b") as file:
            file.write(bytes(_LAYOUT.size))
            file.flush()
            self._numbers = mmap.mmap(file.fileno(), _LAYOUT.size)
        self._work = Work()

    async def __call__(self, message: object, ctx: Context, call_next: Next) -> None:
        """Count a run as begun, run it, count it as ended, however it ends."""
        self.note(begun=1, running=1)
        try:
            await call_next(message, ctx)
        finally:
            self.note(running=-1)

    def note(
        self, *, begun: int = 0, running: int = 0, committing: int = 0, redelivered: int = 0, dropped: int = 0
    ) -> None:
        """Change the numbers by so much."""
        change = (begun, running, committing, redelivered, dropped)
        self._work = Work(*(before + more for before, more in zip(self._work, change, strict=True)))
        _LAYOUT.pack_into(self._numbers, 0, *self._work)


class DroppedCopies(Observer):
    """Counts the copies that were dropped on entry."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def refused(self, refused: Refused) -> None:
        """Count a copy."""
        self._tally.note(dropped=refused.answer == "duplicate")


class _CountingStore:
    """A store of any kind that notes how many outcomes are in its hands."""

    def __init__(self, store: Store, tally: Tally) -> None:
        self._store = store
        self._tally = tally

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, batch: Batch) -> Sequence[Settled]:
        """Commit, and note it before and after."""
        self._tally.note(committing=len(batch.outcomes))
        try:
            return await self._store.commit(batch)
        finally:
            self._tally.note(committing=-len(batch.outcomes))


def counting(store: Store, tally: Tally) -> Store:
    """The store, whose commits are noted from now on."""
    return cast("Store", _CountingStore(store, tally))


class _CountingLink:
    """A link of any kind that notes what is handed out again."""

    def __init__(self, link: Link, tally: Tally) -> None:
        self._link = link
        self._tally = tally

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)

    async def receive(self, most: int) -> Sequence[Delivery]:
        """Receive, and note what comes again."""
        found = await self._link.receive(most)
        self._tally.note(redelivered=sum(each.is_again for each in found))
        return found


class _CountingTransport:
    """A transport of any kind whose links note what is handed out again."""

    def __init__(self, transport: Transport, tally: Tally) -> None:
        self._transport = transport
        self._tally = tally

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    async def connect(self) -> Link:
        """A link that counts."""
        return cast("Link", _CountingLink(await self._transport.connect(), self._tally))


def counting_transport(transport: Transport, tally: Tally) -> Transport:
    """The transport, whose redeliveries are noted from now on."""
    return cast("Transport", _CountingTransport(transport, tally))


def read_tally(path: Path) -> Work:
    """The numbers of a worker, dead or alive; 0 before it has made the file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Work()
    return Work(*_LAYOUT.unpack_from(content)) if len(content) >= _LAYOUT.size else Work()
