"""The bus: the composition root, and what users hold.

Builds all parts from definitions and settings, reports everything wrong with them in one list, and starts and stops
what runs.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Self, Unpack, overload

from sagabus.bus.bridging import Bridging, ways_of
from sagabus.bus.broker_views import BrokerViews
from sagabus.bus.checkup import LONGEST_ANSWER, asking
from sagabus.bus.diagnosis.doctor import Doctor
from sagabus.bus.durability import check_durability
from sagabus.bus.home_loop import HomeLoop
from sagabus.bus.inspection.inspector import Inspector
from sagabus.bus.leftovers import report
from sagabus.bus.mending.letters import DeadLetters
from sagabus.bus.mending.mender import Mender
from sagabus.bus.registration import register
from sagabus.bus.upkeep import make_housekeeping, stuck_watches
from sagabus.bus.views import Sagas, Timers
from sagabus.clock import Clock, SystemClock
from sagabus.codec import JsonCodec
from sagabus.codec.states import StateCodec
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.reading import Definitions, check_lending, check_middleware, check_observers, define
from sagabus.definitions.saga import SagaDefinition
from sagabus.engine.acceptor import Acceptor
from sagabus.engine.event_log import EventLog
from sagabus.engine.health import Health
from sagabus.engine.housekeeping import Housekeeping
from sagabus.engine.idleness import unfinished
from sagabus.engine.lifecycle import IN_HASTE, Parts
from sagabus.engine.observers import Observers
from sagabus.engine.outbox import AsyncJoinedPublisher, Awaited, JoinedPublisher, TransactionPublisher
from sagabus.engine.processing import Processing
from sagabus.engine.publisher import (
    BATCH,
    Addressed,
    OnCollision,
    Outgoing,
    Publisher,
    PublishOptions,
    Receipt,
    all_envelopes,
)
from sagabus.engine.routing import LiveRouting
from sagabus.engine.seam import Seam
from sagabus.engine.statistics import Statistics
from sagabus.engine.worker import Worker
from sagabus.envelope import Envelope
from sagabus.errors import StoreUnavailable
from sagabus.identity import Identity, SystemIdentity
from sagabus.message.kinds import Command, Event, wrong_kind
from sagabus.middleware import Middleware
from sagabus.observer import Observer
from sagabus.policies.brokers import Brokers
from sagabus.settings import Settings
from sagabus.store import Store
from sagabus.store.inspection import ChannelCounts
from sagabus.store_urls import store_from_url


class Bus:
    """Sagas and handlers on one store: `Bus("sqlite:///orders.db", OrderSaga, capture)`.

    With `transport="memory://shop", service="orders"` it talks to other services through a broker.
    `async with bus:` runs a worker and a publisher in this process; `open(worker=False)` only publishes and looks.
    Raises ConfigurationError with every problem of the definitions at once, before anything is opened. `seam` is for
    test harnesses.
    """

    statistics: Counter[tuple[str, str]]
    """How many messages of each subscription this process has handled or refused, by what became of them."""
    _opened = False
    _worker: Worker | None = None
    _housekeeping: Housekeeping | None = None

    def __init__(
        self,
        store: str | Store,
        *definitions: Any,
        transport: Brokers | None = None,
        service: str | None = None,
        settings: Settings | None = None,
        middleware: Sequence[Middleware] = (),
        observers: Sequence[Observer] = (),
        clock: Clock | None = None,
        identity: Identity | None = None,
        seam: Seam | None = None,
    ) -> None:
        ways = ways_of(transport, service)
        self.settings, self._clock = settings or Settings(), clock or SystemClock()
        self._identity = identity or SystemIdentity(self._clock)
        self._codec = JsonCodec(self.settings.max_message_size, self.settings.max_message_depth)
        self._seam = seam or Seam()
        self._seam.attach(self._is_idle, self._abandon)
        self._states = StateCodec(rereads=self._seam.rereads)
        self._defined: Definitions = define(definitions, self._codec, self._states, self.settings)
        self.store: Store = store_from_url(store, self._clock, self.settings.lanes) if isinstance(store, str) else store
        check_lending(self._defined, self.store)
        check_middleware(middleware)
        self.observers, self.statistics = check_observers(observers), Counter()
        self._observers = Observers([Statistics(self.statistics), EventLog(), *observers])
        self._routing = LiveRouting(self._defined.keys)
        sending = (self._codec, self._routing, self.store, self.settings, self._observers)
        self._sender = self._seam.sender(*sending, service=service)
        self._publisher = Publisher(self._sender, self._clock, self._identity, self._defined.rules, self._observers)
        self._seam.middleware.extend(middleware)
        self._publishing, self._home = Acceptor(self.store, self._routing), HomeLoop()
        self._bridging = Bridging(ways, self._sender, self._defined, self.settings, self._clock, self._identity)
        self._parts, self.timers = Parts(), Timers(self.store, self._defined.sagas, self._home)
        self.dead_letters = DeadLetters(self.store, self._home.check, self._defined.by_name)
        self.sagas = Sagas(self.store, self._states, self._defined.sagas, self._home)
        looks = (self.store, self._clock, self._home.check, self._defined.by_name)
        self.inspect = Inspector(*looks, self._states, settings=self.settings)
        self.mend = Mender(*looks, self._states, hear=self._routing.refresh)
        self.doctor = Doctor(*looks, self._bridging, health=self.health, settings=self.settings)

    @property
    def definitions(self) -> tuple[HandlerDefinition | SagaDefinition, ...]:
        """What this bus runs, in the order given."""
        return tuple(self._defined.by_name.values())

    @property
    def brokers(self) -> BrokerViews:
        """The brokers by which it talks to other services: what leaves by each, and what it needs there."""
        return BrokerViews(self._bridging, self._defined, self.store, self.settings, self._home)

    # --- life ---------------------------------------------------------------------------------------------------------

    async def open(self, *, worker: bool = True) -> None:
        """Open the store, make the subscriptions known and (unless `worker` is False) begin to handle messages.

        Opening twice is harmless. From now on the bus belongs to the running event loop: calls from another one, or
        from another thread, raise WrongEventLoop.
        """
        self._home.claim()
        async with self._home.changing:
            if self._opened:
                return
            self._home.claim()  # once more: an opening that failed meanwhile has given it up
            async with self._ending() as ending:  # unless all of it has been done
                await self.store.open()
                await check_durability(self.store, self.settings.durability)
                known = await register(self.store, self._defined, self.settings, self._bridging.patterns)
                self._routing.learn(known)
                self._opened = True
                await self._parts.start(self._publishing)
                if worker:
                    await self._start_work()
                ending.pop_all()

    async def close(self) -> None:
        """Stop gracefully within the grace period and close the store. Nothing has failed by it; twice is harmless.

        Cancelled, it does all of that without the grace, and raises CancelledError afterwards.
        """
        if self._home.is_inherited:
            return  # in a forked child, which has nothing of it to end
        self._home.check("bus.close()")
        async with self._home.changing:
            if not self._opened:
                return
            await self._ending().aclose()

    async def __aenter__(self) -> Self:
        """Open, with a worker."""
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close."""
        await self.close()

    # --- publishing ---------------------------------------------------------------------------------------------------

    @overload
    @wrong_kind("a command is sent: send(...)")
    async def publish(self, message: Command, **options: Unpack[PublishOptions]) -> Receipt: ...
    @overload
    async def publish(self, message: object, **options: Unpack[PublishOptions]) -> Receipt: ...
    async def publish(self, message: object, **options: Unpack[PublishOptions]) -> Receipt:
        """Accept an event durably for every subscription that exists; concurrent calls share a commit.

        Repeating the call with the same `message_id` (and, long after, the same `sent_at`) has no second effect and
        says "duplicate". Cancelled or failed with StoreUnavailable it may have happened: repeat it. `delay` or `at`
        keeps it in the store until then. With `on_collision="raise"`, MessageIdCollision or MessageTooOld says that the
        message is a dead letter; otherwise the receipt does.
        """
        self._home.check("bus.publish(...)")
        return await self._accept(self._publisher.outgoing(message, "event", **options))

    @overload
    @wrong_kind("an event is published: publish(...)")
    async def send(self, message: Event, **options: Unpack[PublishOptions]) -> Receipt: ...
    @overload
    async def send(self, message: object, **options: Unpack[PublishOptions]) -> Receipt: ...
    async def send(self, message: object, **options: Unpack[PublishOptions]) -> Receipt:
        """Accept a command durably for its one receiver, else Unroutable; options and promises as for `publish`."""
        self._home.check("bus.send(...)")
        return await self._accept(self._publisher.outgoing(message, "command", **options))

    async def publish_many(self, messages: Iterable[object], *, on_collision: OnCollision = "log") -> list[Receipt]:
        """Accept messages of both kinds, or (message, id) pairs, in one commit: all of them, or none when it raises.

        What a subscription or `on_collision` asks to raise is raised after the commit.
        """
        self._home.check("bus.publish_many(...)")
        return await self._accept_all(self._publisher.outgoing_many(messages, on_collision))

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[TransactionPublisher, None]:
        """Rows through `tx.connection` and messages through `tx.publish` commit together when the block ends.

        An exception rolls both back; so does a message whose `on_collision` or whose subscription's `on_duplicate`
        says "raise".
        """
        self._home.check("bus.transaction()")
        self._check_open()
        async with self.store.transaction() as unit:
            publisher = TransactionPublisher(unit, self._publisher)
            yield publisher
            if publisher.is_unsure:
                await self._routing.refresh(self.store)
            addressed, answers = await publisher.append(self._routing, self.store)
            self._publisher.receipts(addressed, answers)
            await unit.commit()
        self._publisher.note(addressed, answers)

    async def _accept(self, outgoing: Outgoing) -> Receipt:
        self._check_open()
        envelopes, answers = await self._publishing.append(outgoing.address)
        self._publisher.note([(outgoing, envelopes)], answers)
        return self._publisher.receipts([(outgoing, envelopes)], answers)[0]

    async def _accept_all(self, messages: list[Outgoing]) -> list[Receipt]:
        self._check_open()
        addressed: list[Addressed] = []

        def address_all() -> list[Envelope]:
            addressed[:] = self._publisher.addressed(None, messages, BATCH)
            return all_envelopes(addressed)

        _, answers = await self._publishing.append(address_all)
        self._publisher.note(addressed, answers)
        return self._publisher.receipts(addressed, answers)

    @overload
    def join(self, connection: Awaited) -> AsyncJoinedPublisher: ...  # type: ignore[overload-overlap]  # whatever has one of these to await is meant
    @overload
    def join(self, connection: object) -> JoinedPublisher: ...
    def join(self, connection: object) -> JoinedPublisher | AsyncJoinedPublisher:
        """Publish inside the caller's own open transaction on the store's database: the transactional outbox.

        Takes the connections and sessions that docs/joining.md lists. If a connection must be awaited, its publisher
        must be awaited too. Nothing is visible before the caller commits, nothing remains when the caller rolls back.
        The bus need not be open, nor an event loop be there. Raises NoOpenTransaction, WrongDatabase or
        UnsupportedCapability at once; WrongDatabase at the first publish where one has to be awaited.
        """
        joined = self.store.join(connection)
        if joined.waits is True:
            return AsyncJoinedPublisher(joined, self._publisher, self._routing.table_of)
        return JoinedPublisher(joined, self._publisher, self._routing.table_of)

    # --- looking ------------------------------------------------------------------------------------------------------

    async def idle(self, timeout: float | None = None) -> None:
        """Wait until nothing is in flight here and nothing is due for the subscriptions of this bus.

        It waits until its brokers have confirmed what leaves, however long one is away. What waits for a later time or
        at a broker does not count. A bus without definitions waits for all of its store. TimeoutError says for what.
        """
        self._home.check("bus.idle()")
        try:
            async with asyncio.timeout(timeout):
                while not await self._is_idle():
                    if self._worker is not None:
                        await self._worker.progress(0.05)
                    else:
                        await asyncio.sleep(0.02)
        except TimeoutError:
            if timeout is None:
                raise
            raise TimeoutError(f"not idle after {timeout:g} s: {await self._unfinished()}") from None

    async def counts(self) -> Sequence[ChannelCounts]:
        """How much waits in each channel, and why."""
        self._home.check("bus.counts()")
        return await self.store.inspect.counts()

    def health(self, *, within: timedelta = LONGEST_ANSWER) -> Health:
        """Whether all parts can do their work in this process; awaited, it asks the store, too, `within` so long."""
        return asking(self._parts.health(), self.store, self._home, is_open=self._opened, within=within)

    async def purge(self) -> None:
        """Forget what is older than its retention now, all of it, instead of in the background's small steps."""
        self._home.check("bus.purge()")
        self._check_open()
        await (self._housekeeping or self._make_housekeeping()).purge_all()

    # --- parts --------------------------------------------------------------------------------------------------------

    async def _start_work(self) -> None:
        if self._defined.by_name:
            await self._start_worker()
        if self._defined.by_name or self._bridging.ways:
            self._housekeeping = self._make_housekeeping()
            await self._parts.start(self._housekeeping)
        for watch in stuck_watches(self.store, self._clock, self._defined, self.settings):
            await self._parts.start(watch)
        for bridge in self._bridging.bridges(self.store, self._publishing, self._states):
            await self._parts.start(bridge)

    async def _start_worker(self) -> None:
        processing = Processing(
            self._sender,
            self._codec,
            self._states,
            clock=self._clock,
            identity=self._identity,
            settings=self.settings,
            middlewares=self._seam.middleware,
            rules=self._defined.rules,
            consumers=self._bridging.consumers,
        )
        self._worker = Worker(
            self._identity.new_id(),
            self.store,
            self._routing,
            self._codec,
            clock=self._clock,
            processing=processing,
            definitions={**self._defined.by_name, **self._bridging.definitions},
            settings=self.settings,
        )
        await report(self.store, self.definitions, self._states)
        await self._parts.start(self._worker)

    def _make_housekeeping(self) -> Housekeeping:
        return make_housekeeping(self.store, self._clock, self._defined, self.settings, self._bridging.channels)

    def _ending(self) -> AsyncExitStack:
        """What ends a bus: whatever fails or is cancelled on the way, the rest is done."""
        ending = AsyncExitStack()
        ending.callback(self._home.release)
        ending.push_async_exit(self._close_store)
        ending.callback(self._forget_parts)
        ending.push_async_exit(self._stop_parts)
        return ending

    async def _stop_parts(self, kind: object, *_: object) -> None:
        # A task that was cancelled before this point gets no second cancellation, so it waits for no handler.
        await self._parts.stop(self.settings.grace.total_seconds() if kind is None else 0.0)

    async def _close_store(self, kind: object, *_: object) -> None:
        with suppress(TimeoutError):  # then it has closed without waiting
            async with asyncio.timeout(None if kind is None else IN_HASTE):
                await self.store.close()

    def _forget_parts(self) -> None:
        self._opened = False
        self._worker = self._housekeeping = None

    async def _abandon(self) -> None:
        if self._worker is not None:
            await self._worker.abandon()
        if self._housekeeping is not None:
            await self._housekeeping.stop(0.0)
        self._parts.forget()
        await self.store.close()
        self._opened = False

    async def _is_idle(self) -> bool:
        worker = self._worker
        if self._publishing.busy or (worker is not None and not worker.quiet):
            return False
        return not await self.store.inspect.due(await self._awaited()) and (worker is None or worker.quiet)

    async def _awaited(self) -> list[str]:
        """The subscriptions that `idle` waits for: a paused one would keep it for ever."""
        routing, own = await self.store.routing(), self._defined.by_name
        awaited = {*own, *self._bridging.channels} if own else {each.channel for each in routing.subscriptions}
        return sorted(awaited.difference(routing.paused))

    async def _unfinished(self) -> str:
        quiet = None if self._worker is None else self._worker.quiet
        waits, is_busy = self._parts.health().waits, self._publishing.busy
        return await unfinished(self.store, self._awaited, waits, is_quiet=quiet, is_publishing=is_busy)

    def _check_open(self) -> None:
        if not self._opened:
            raise StoreUnavailable("the bus is not open: use `async with bus:` or `await bus.open()`")
