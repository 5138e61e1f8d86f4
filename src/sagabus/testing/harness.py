"""A whole bus for a test: under a clock that only the test moves, and nothing to wait for but facts.

Example:
    async with Harness(OrderSaga, capture) as bus:
        await bus.publish(OrderSubmitted(order_id="A1", total=4200))
        await bus.advance(timedelta(minutes=30))
        assert (await bus.saga(OrderSaga, "A1")).status == "cancelled"
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar, Unpack, overload

from sagabus.bus import Bus
from sagabus.bus.views import SagaRecord, Transition, saga_name
from sagabus.clock import Clock, micros
from sagabus.codec import Codec
from sagabus.definitions.handler import HandlerOptions
from sagabus.definitions.saga import Saga
from sagabus.engine.observers import Observers
from sagabus.engine.publisher import PublishOptions, Receipt
from sagabus.engine.routing import LiveRouting
from sagabus.engine.seam import Seam
from sagabus.engine.sender import Sender
from sagabus.envelope import DeadLetter
from sagabus.errors import SagaNotFound, StoreBusy
from sagabus.message import message_type_of
from sagabus.middleware import Middleware
from sagabus.observer import Observer
from sagabus.settings import Settings
from sagabus.store import Cursor, Store
from sagabus.store_urls import store_from_url
from sagabus.testing.captured import Heard, ListeningSender, Messages
from sagabus.testing.clock import ManualClock
from sagabus.testing.faults import Cue, HandlerFaults, Raised
from sagabus.testing.identity import LongestWaits
from sagabus.testing.observed_store import StoreTap

S = TypeVar("S", bound=Saga)

_QUIET_TURNS = 5
_TURNS = 10
_STUCK = 3
_GLANCE = timedelta(milliseconds=50)
_GRAIN = timedelta(milliseconds=1)
_LONGEST_LOOK = timedelta(seconds=2)
"""Longer than a worker takes to see that a lease has ended."""
_NEVER = 2**62


class Harness:
    """Sagas and handlers on a store in memory (or on the SQLite file given), with a worker. Calls return when the bus
    is idle.

    Waits between retries are the longest that the policy allows, without jitter. A pause after a failing store passes
    by itself; all other time passes in `advance`.

    `strict`: a command without a receiver here is Unroutable, as in production. Otherwise it is only in `sent`.
    `duplicates`: whatever is delivered is delivered again. `clock`: one clock for several harnesses on one file.
    `patience`: real seconds after which a bus that is still not idle is a TimeoutError that says what it is at.
    `reread_states`: each run gets its saga as it is read from the store, as after a restart.
    """

    def __init__(
        self,
        *definitions: Any,
        store: str | os.PathLike[str] | Callable[[Clock], Store] | None = None,
        settings: Settings | None = None,
        middleware: Sequence[Middleware] = (),
        observers: Sequence[Observer] = (),
        clock: ManualClock | None = None,
        duplicates: bool = False,
        strict: bool = False,
        patience: float = 10.0,
        reread_states: bool = True,
    ) -> None:
        self.clock = clock or ManualClock()
        self.bus: Bus
        """The bus itself, for all that the harness has no shorter word for; another one after a crash."""
        self._shares_clock = clock is not None
        self._definitions = definitions
        self._settings = settings or Settings()
        self._given = tuple(middleware)
        self._observers = tuple(observers)
        self._faults: list[Middleware] = []
        self._handler_faults = HandlerFaults()
        self._duplicates = duplicates
        self._strict = strict
        self._reread_states = reread_states
        self._patience = patience
        self._heard = Heard()
        self._make_store = _opener(store, self.clock, self._settings.lanes)
        self._restart()

    # --- life

    _dead_until = -1.0
    """When another has the lanes of the worker that was dropped last, by the monotonic clock."""

    async def __aenter__(self) -> Self:
        """Open the bus, with a worker."""
        await self.bus.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close it."""
        await self.bus.close()

    async def crash(self, *, takeover: bool = True) -> None:
        """Drop the worker as a killed process would drop it (nothing finished, committed or released) and start
        another.

        Unless `takeover` is False, the lease of the dead one then ends, so that much time passes. The call returns when
        the bus is idle.
        """
        await self._running.abandon()
        self._restart()
        await self.bus.open()
        # What waits for the end of the dead one's lease may wait without `advance`.
        self._dead_until = self.clock.monotonic() + (self._settings.lease + _LONGEST_LOOK).total_seconds()
        if takeover:
            self.clock.advance(self._settings.lease + timedelta(microseconds=1))
            await self.idle()

    # --- doing

    async def publish(self, message: object, *, wait: bool = True, **options: Unpack[PublishOptions]) -> Receipt:
        """`bus.publish`, or `bus.send` for a command; unless `wait` is False, returns when all that follows from it
        has been done.
        """
        is_command = message_type_of(message).kind == "command"
        receipt = await (self.bus.send if is_command else self.bus.publish)(message, **options)
        if wait:
            await self.idle()
        return receipt

    send = publish

    async def advance(self, duration: timedelta) -> None:
        """Let time pass, and whatever comes due meanwhile run at its own moment."""
        await self.idle()
        left = micros(duration)
        while (wait := await self._next_due()) is not None and wait <= left:
            self.clock.advance(timedelta(microseconds=wait))
            left -= wait
            await self.idle()
        self.clock.advance(timedelta(microseconds=left))
        await self.idle()

    async def idle(self) -> None:
        """Wait until nothing is in flight and nothing is due."""
        try:
            async with asyncio.timeout(self._patience):
                await self._idle()
        except TimeoutError:
            counts = [str(count) for count in await self.bus.counts()]
            raise TimeoutError(
                f"not idle after {self._patience:g} s: a handler waits for something outside, or no worker here may "
                f"take what is due; waiting: {'; '.join(counts)}"
            ) from None

    def fail(self, subscription: object, *, times: int = 1, error: Raised = RuntimeError) -> None:
        """Make the next runs of a handler or saga (or of the subscription of that name) raise `error` before they
        begin.
        """
        if not self._faults:
            self._faults.append(self._handler_faults)
        self._running.put_around(self._faults)
        self._handler_faults.add(_subscription(subscription), Cue(error, times))

    def fail_commit(self, *, times: int = 1, error: Raised = StoreBusy, afterwards: bool = False) -> None:
        """Make the next commits of handled messages fail; `afterwards`: they do commit, and only the answer is lost."""
        self._tap.commit_cues.add(Cue(error, times, afterwards))

    # --- looking

    @property
    def sent(self) -> Messages:
        """Commands that handlers have sent, each once, in the order of their commits."""
        return self._heard.sent

    @property
    def published(self) -> Messages:
        """Events that handlers have published, each once, in the order of their commits."""
        return self._heard.published

    async def saga(self, saga: type[S], key: str) -> S:
        """The state of an instance, finished or not; SagaNotFound when there is none."""
        record = await self.record(saga, key)
        if record is None:
            name = saga_name(saga)
            raise SagaNotFound(
                f"no message has begun an instance of saga {name!r} with key {key!r}", saga=name, key=key
            )
        return record.state

    @overload
    async def record(self, saga: type[S], key: str) -> SagaRecord[S] | None: ...
    @overload
    async def record(self, saga: str, key: str) -> SagaRecord[Any] | None: ...
    async def record(self, saga: type[Saga] | str, key: str) -> SagaRecord[Any] | None:
        """All that is stored of an instance: state, version, status, timers; None when there is none."""
        return await self.bus.sagas.get(saga, key)

    async def history(self, saga: type[Saga] | str, key: str) -> list[Transition]:
        """All transitions of an instance that are recorded, in their order."""
        found: list[Transition] = []
        while page := await self.bus.sagas.history(saga, key, after=found[-1].position if found else 0):
            found += page
        return found

    async def timers(self, saga: type[Saga] | str, key: str) -> dict[str, datetime]:
        """The timers that are set, each with when it is due."""
        return {timer.name: timer.due_at for timer in await self.bus.timers.list(saga, key)}

    async def dead_letters(self, subscription: object = None) -> list[DeadLetter]:
        """Open dead letters, of all subscriptions or of one."""
        return await self.bus.dead_letters.list(None if subscription is None else _subscription(subscription))

    # --- parts

    def _restart(self) -> None:
        self._tap = StoreTap(self._make_store(), self._heard, duplicates=self._duplicates)
        self._running = Seam(sender=self._make_sender, rereads=self._reread_states)
        self.bus = Bus(
            self._tap,
            *self._definitions,
            settings=self._settings,
            middleware=self._given,
            observers=self._observers,
            clock=self.clock,
            identity=LongestWaits(self.clock),
            seam=self._running,
        )
        self._running.put_around(self._faults)

    def _make_sender(  # as the bus calls it
        self,
        codec: Codec,
        routing: LiveRouting,
        store: Store,
        settings: Settings,
        observers: Observers,
        *,
        service: None = None,
    ) -> Sender:
        return ListeningSender(
            self._heard, codec, routing, store, settings=settings, observers=observers, strict=self._strict
        )

    async def _idle(self) -> None:
        quiet = stuck = 0
        while quiet < _QUIET_TURNS:
            if self._tap.under_way:
                await self._tap.moved()
                quiet = stuck = 0
            elif await self._running.is_idle():
                quiet += 1
                await asyncio.sleep(0)
            else:
                quiet = 0
                stuck += 1
                await self._wait_a_turn(stuck)
        self._tap.is_troubled = False

    async def _wait_a_turn(self, stuck: int) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        if stuck < _STUCK or self._tap.under_way:
            return
        upcoming = self.clock.next_alarm()
        is_hurried = self._tap.is_troubled or self._shares_clock or self.clock.monotonic() <= self._dead_until
        if upcoming is not None and (upcoming <= _GRAIN or is_hurried):
            # Workers look at the clock every millisecond at most, and pause after a failure. They learn of another
            # bus's work only at the next look.
            self.clock.advance(min(upcoming, _GLANCE))
        else:
            # Something outside is awaited, such as a thread.
            await asyncio.sleep(0.001)

    async def _next_due(self) -> int | None:
        routing = await self._tap.store.routing()
        channels = {subscription.channel for subscription in routing.subscriptions}
        ends = [Cursor(channel, lane, _NEVER) for channel in channels for lane in range(routing.lanes)]
        return (await self._tap.store.fetch(ends, 0)).next_due_in


def _opener(
    store: str | os.PathLike[str] | Callable[[Clock], Store] | None, clock: ManualClock, lanes: int | None
) -> Callable[[], Store]:
    """What makes a store; one in memory is made once, for it has nothing to be opened again from."""
    if callable(store):
        made = store
        return lambda: made(clock)
    if store is None or store == "memory:":
        kept = store_from_url("memory:", clock, lanes)
        return lambda: kept
    text = os.fspath(store)
    url = text if ":" in text else f"sqlite:///{Path(text).absolute()}"
    return lambda: store_from_url(url, clock, lanes)


def _subscription(given: Any) -> str:
    if isinstance(given, str):
        return given
    options = getattr(given, "__sagabus_handler__", None)
    if isinstance(options, HandlerOptions):
        return options.name
    if isinstance(given, type) and issubclass(given, Saga):
        return saga_name(given)
    raise TypeError(f"{given!r} is neither a saga, nor a function with @handler(...), nor the name of one")
