"""A SQLite store with a worker on it, and another process's store on the same file; which lanes a fetch asks for."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sagabus.envelope import Envelope
from sagabus.errors import StoreError
from sagabus.outcome import Completed, RetryAt, Stashed, Verdict
from sagabus.store import Batch, Cursor, Subscription
from sagabus.stores.sql.steps import Answer, Query, UserQuery
from sagabus.stores.sqlite import SqliteStore
from sagabus.stores.sqlite.sets import Executor
from sagabus.testing import ManualClock

PATIENCE = timedelta(milliseconds=51)
CHANNEL = "orders"
LANES = 4


class Ground:
    """A store with a worker on it, and another process's store on the same file."""

    def __init__(self, path: Path) -> None:
        self.clock = ManualClock()
        self.ours, self.others = (SqliteStore(path, clock=self.clock, lanes=LANES) for _ in range(2))
        self.after = dict.fromkeys(range(LANES), 0)
        self.asked: list[int] = []
        self.is_lost = False
        self._sent = 0

    async def open(self) -> None:
        await self.ours.open()
        await self.others.open()
        subscription = Subscription(message_type="noted", channel=CHANNEL, kind="event", window=10**12)
        self.routing = (await self.ours.register([subscription])).version

    async def close(self) -> None:
        await self.ours.close()
        await self.others.close()

    def envelope(self, lane: int, channel: str = CHANNEL, **fields: Any) -> Envelope:
        self._sent += 1
        return Envelope(f"m{self._sent}", "noted", b"{}", channel, lane, f"k{lane}", sent_at=1, **fields)

    async def append(self, store: SqliteStore, *envelopes: Envelope) -> None:
        assert await store.append(envelopes, self.routing) is not None

    async def fetch(self, *lanes: int, limit: int = 10) -> list[Envelope]:
        """As the worker does, which goes on where it has come to."""
        self.asked.clear()
        cursors = [Cursor(CHANNEL, lane, self.after[lane]) for lane in lanes or range(LANES)]
        found = list((await self.ours.fetch(cursors, limit)).envelopes)
        for each in found:
            if not each.due_at:
                self.after[each.lane] = max(self.after[each.lane], each.position)
        return found

    async def commit(self, *outcomes: Completed | RetryAt | Stashed) -> None:
        epochs = {(CHANNEL, each.envelope.lane): self.epochs[each.envelope.lane] for each in outcomes}
        answers = await self.ours.commit(Batch(outcomes, self.routing, epochs))
        assert {answer.verdict for answer in answers} == {Verdict.COMMITTED}

    async def lease(self) -> None:
        lanes = await self.ours.lease("us", [CHANNEL], duration=10**12, window=100)
        self.epochs = {lane.lane: lane.epoch for lane in lanes}


Scene = Callable[[Ground], Awaitable[None]]


def play(path: Path, monkeypatch: pytest.MonkeyPatch, scene: Scene) -> None:
    async def run() -> None:
        ground = Ground(path / "it.db")
        answer = Executor.__call__

        def noting(self: Executor, ask: Query | UserQuery) -> Answer:
            if isinstance(ask, Query) and ask.name == "fetch":
                if ground.is_lost:
                    raise StoreError("lost")
                ground.asked += [row[1] for row in ask.rows or ()]  # type: ignore[misc]
            return answer(self, ask)

        monkeypatch.setattr(Executor, "__call__", noting)
        await ground.open()
        try:
            await ground.lease()
            assert await ground.fetch() == []
            assert await ground.fetch() == []
            await scene(ground)
        finally:
            await ground.close()

    asyncio.run(run())
