"""One store on trial: what every conformance test is given, and how a test runs without any plugin."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar
from zlib import crc32

from sagabus.clock import Clock
from sagabus.envelope import Cause, DeadLetter, Envelope, Instance
from sagabus.outcome import (
    Admission,
    Claim,
    Completed,
    DeadLettered,
    Effects,
    Failure,
    Outcome,
    Parameters,
    Save,
    Settled,
    Verdict,
)
from sagabus.refs import LaneLike
from sagabus.store import Batch, Capability, Cursor, Fetched, Lane, Retention, Routing, Store, Subscription
from sagabus.store.examination import FaultKind
from sagabus.testing.clock import ManualClock

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND

ORDERS = "orders"
"""The channel of most tests; also the saga of its instances."""
BILLING = "billing"
SUBMITTED = "orders.submitted"

COMMITTED = Verdict.COMMITTED
FAILURE = Failure("ValueError", "no such order", "Traceback …")

SUBSCRIPTIONS = (
    Subscription(message_type=SUBMITTED, channel=ORDERS, kind="event", key="order_id", window=DAY),
    Subscription(message_type=SUBMITTED, channel=BILLING, kind="event", key="order_id", window=DAY),
)


class StoreSuite:
    """What an adapter has to provide: subclass `StoreConformance`, override `make_store` and what it can do.

    A test calls `make_store` once, with a store that is empty; `same_store` gives further handles on the same rows.
    """

    insert_row = "INSERT INTO ledger (id) VALUES (?)"
    """A statement that adds one row to the user's table."""

    async def make_store(self, clock: Clock) -> Store:
        """An empty store, opened or not, that goes by this clock."""
        raise NotImplementedError

    async def same_store(self, clock: Clock) -> Store:
        """Another handle on the rows of the store made last. Needed for SHARED and DURABLE."""
        raise NotImplementedError

    async def make_user_table(self) -> None:
        """Create the user's table `ledger`, with `id` as its key. Needed for STATEMENTS, CONNECTION and JOIN."""
        raise NotImplementedError

    async def user_rows(self) -> Sequence[str]:
        """The ids that are committed in the user's table, in order."""
        raise NotImplementedError

    async def native_connection(self) -> object:
        """A connection of the user's own to the store's database, in no transaction. Needed for JOIN."""
        raise NotImplementedError

    async def strange_connection(self) -> object:
        """A connection to some other database, inside an open transaction. Needed for JOIN."""
        raise NotImplementedError

    async def execute(self, connection: Any, sql: str, parameters: Parameters = ()) -> None:
        """Run one statement on a connection, be it the user's own or the guarded one."""
        result = connection.execute(sql, parameters)
        if isinstance(result, Awaitable):
            await result

    async def disconnect(self, connection: Any) -> None:
        """Close a connection of the user's own."""
        result = connection.close()
        if isinstance(result, Awaitable):
            await result


class Trial:
    """A store with two subscribed channels, a clock that only the test moves, and short ways to say what happens."""

    def __init__(self, suite: StoreSuite, store: Store, clock: ManualClock, routing: Routing) -> None:
        self.suite = suite
        self.store = store
        self.clock = clock
        self.routing = routing

    def has(self, capability: Capability) -> bool:
        """Whether the store declares the capability."""
        return capability in self.store.capabilities

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(timedelta(seconds=seconds))

    def lane_of(self, key: str | None) -> int:
        """Any rule will do, as long as a key stays in one lane."""
        return crc32(key.encode()) % self.routing.lanes if key is not None else 0

    def envelope(self, message_id: str = "m1", key: str | None = "A1", **fields: Any) -> Envelope:
        """An envelope on its way into the store, sent now."""
        chosen: dict[str, Any] = {
            "message_type": SUBMITTED,
            "body": b'{"order_id":"A1"}',
            "channel": ORDERS,
            "lane": self.lane_of(key),
            "partition_key": key,
            "sent_at": self.clock.now(),
            "guarded": True,
        }
        return Envelope(message_id=message_id, **chosen | fields)

    def timer(self, name: str = "payment", key: str = "A1", *, after: int = MINUTE, **fields: Any) -> Envelope:
        """A timer on its way into the store."""
        chosen: dict[str, Any] = {"timer": name, "delay": after, "guarded": False}
        return self.envelope(**{"message_id": f"timer-{name}-{key}", "key": key} | chosen | fields)

    async def append(self, *envelopes: Envelope) -> list[Admission]:
        """Append with the current routing."""
        answers = await self.store.append(envelopes, self.routing.version)
        assert answers is not None
        return list(answers)

    async def accept(self, *envelopes: Envelope) -> list[Envelope]:
        """Append what must be accepted; the envelopes as they are stored."""
        assert await self.append(*envelopes) == [Admission.ACCEPTED] * len(envelopes)
        found = {each.message_id: each for each in [*await self.stored(), *await self.stored(BILLING)]}
        return [found[each.message_id] for each in envelopes]

    async def accept_one(self, message_id: str = "m1", key: str | None = "A1", **fields: Any) -> Envelope:
        """Append one that must be accepted; the envelope as it is stored."""
        return (await self.accept(self.envelope(message_id, key, **fields)))[0]

    async def stored(self, channel: str = ORDERS) -> list[Envelope]:
        """All envelopes of a channel by position."""
        return list(await self.store.inspect.envelopes(channel, limit=100_000))

    async def stored_ids(self, channel: str = ORDERS) -> list[str]:
        """The ids of all envelopes of a channel by position."""
        return [each.message_id for each in await self.stored(channel)]

    async def fetch(self, *, channel: str = ORDERS, after: int = 0, limit: int = 1000) -> Fetched:
        """Fetch from all lanes of a channel."""
        cursors = [Cursor(channel, lane, after) for lane in range(self.routing.lanes)]
        return await self.store.fetch(cursors, limit)

    async def due_ids(self, channel: str = ORDERS) -> list[str]:
        """The ids of all that could run now, by position."""
        envelopes = (await self.fetch(channel=channel)).envelopes
        return [each.message_id for each in sorted(envelopes, key=lambda each: each.position)]

    async def settle(self, *outcomes: Outcome, epochs: Mapping[LaneLike, int] | None = None) -> list[Settled]:
        """Commit with the current routing; the answers in full."""
        return list(await self.store.commit(Batch(outcomes, self.routing.version, epochs or {})))

    async def commit(self, *outcomes: Outcome, epochs: Mapping[LaneLike, int] | None = None) -> list[Verdict]:
        """Commit with the current routing."""
        return [answer.verdict for answer in await self.settle(*outcomes, epochs=epochs)]

    async def instance(self, key: str = "A1", saga: str = ORDERS) -> Instance | None:
        """The instance of a key."""
        return (await self.store.load(saga, [key]))[0].instance

    async def letters(self, status: str | None = "open") -> list[DeadLetter]:
        """Dead letters by id."""
        return list(await self.store.inspect.dead_letters(status=status))

    async def bury(
        self, message_id: str = "m1", key: str | None = "A1", *, parks: bool = False, **fields: Any
    ) -> DeadLetter:
        """Accept a message and dead-letter it."""
        stored = await self.accept_one(message_id, key, **fields)
        outcome = DeadLettered(
            cause=Cause.FAILED, envelope=stored, reason="out of attempts", failure=FAILURE, parks=parks
        )
        assert await self.commit(outcome) == [COMMITTED]
        return (await self.letters())[-1]

    async def lease(
        self,
        worker: str = "w1",
        *,
        seconds: int = 30,
        window: int = 10,
        patient: bool = False,
        knows: Sequence[str] | None = None,
    ) -> list[Lane]:
        """Lease the channel of most tests."""
        known = None if knows is None else {ORDERS: knows}
        return list(
            await self.store.lease(
                worker, [ORDERS], duration=seconds * SECOND, window=window, patient=patient, knows=known
            )
        )

    async def leave(self, worker: str, keeping: Sequence[Lane], *, seconds: int = 30) -> None:
        """Give back all lanes but some."""
        await self.store.leave(worker, keeping, duration=seconds * SECOND, window=10)

    async def crew(self) -> int | None:
        """What a fetch says of the crew, read again, as a worker does from time to time."""
        self.wait(0.5)
        return (await self.fetch()).crew

    async def purge(self, *, window: int = DAY, limit: int = 1000, channel: str = ORDERS) -> None:
        """Purge one channel until nothing more is to be purged."""
        while (await self.store.purge([Retention(channel, window)], limit)).more:
            pass


def completed(envelope: Envelope, **effects: Any) -> Completed:
    """The run of an envelope succeeded, with these effects."""
    return Completed(envelope, Effects(**effects))


def save(base: int = 0, key: str = "A1", **fields: Any) -> Save:
    """The next version of an instance."""
    chosen: dict[str, Any] = {
        "saga": ORDERS,
        "state": b'{"version":%d}' % (base + 1),
        "status": "open",
        "timers": {},
        "completed": False,
    }
    return Save(key=key, base=base, **chosen | fields)


def claim(key: str = "charge-1", fingerprint: bytes = b"f" * 16) -> Claim:
    """A business key to claim."""
    return Claim(key, fingerprint)


def epochs(lanes: Sequence[Lane]) -> dict[LaneLike, int]:
    """What a batch says of these lanes."""
    return {(lane.channel, lane.lane): lane.epoch for lane in lanes}


_NEVER = (FaultKind.DANGLING_HOLD, FaultKind.DANGLING_PARK, FaultKind.EXPIRED_RECORD, FaultKind.HISTORY_GAP)
"""What no call of the port leaves behind, whatever a test has done."""

S = TypeVar("S", bound=StoreSuite)


def conformance(test: Callable[[S, Trial], Coroutine[Any, Any, None]]) -> Callable[[S], None]:
    """A plain test method that puts a new store on trial in an event loop of its own."""

    def run(self: S) -> None:
        asyncio.run(_on_trial(self, lambda trial: test(self, trial)))

    run.__name__, run.__qualname__, run.__doc__ = test.__name__, test.__qualname__, test.__doc__
    run.__module__ = test.__module__
    run.__signature__ = inspect.Signature([inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)])  # type: ignore[attr-defined]  # so that nobody takes `trial` for a fixture
    return run


async def _on_trial(suite: StoreSuite, test: Callable[[Trial], Coroutine[Any, Any, None]]) -> None:
    clock = ManualClock()
    store = await suite.make_store(clock)
    await store.open()
    try:
        routing = await store.register(SUBSCRIPTIONS)
        await test(Trial(suite, store, clock, routing))
        await store.open()  # unless the test has left it open
        await _counts_add_up(store)
        for kind in _NEVER:
            assert not await store.inspect.faults(kind), kind
    finally:
        await store.close()


async def _counts_add_up(store: Store) -> None:
    """Whatever a test has done: each stored envelope and each open dead letter is in one count of its channel."""
    for counts in await store.inspect.counts():
        stored = await store.inspect.envelopes(counts.channel, limit=1_000_000)
        letters = await store.inspect.dead_letters(channel=counts.channel, limit=1_000_000)
        assert (counts.waiting, counts.dead) == (len(stored), len(letters)), counts
