"""What a worker is at, readable after it was killed: handlers that run, outcomes whose commit is under way.

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
from sagabus.outcome import Settled
from sagabus.store import Batch, Store

_LAYOUT = struct.Struct("=QQQ")


class Work(NamedTuple):
    """The numbers of one worker at one moment."""

    begun: int = 0
    """Handler runs so far."""
    running: int = 0
    """Handler runs that have not ended."""
    committing: int = 0
    """Outcomes of ended runs whose commit has begun and not returned."""

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

    def note(self, *, begun: int = 0, running: int = 0, committing: int = 0) -> None:
        """Change the numbers by so much."""
        before = self._work
        self._work = Work(before.begun + begun, before.running + running, before.committing + committing)
        _LAYOUT.pack_into(self._numbers, 0, *self._work)


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


def read_tally(path: Path) -> Work:
    """The numbers of a worker, dead or alive; 0 before it has made the file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Work()
    return Work(*_LAYOUT.unpack_from(content)) if len(content) >= _LAYOUT.size else Work()
