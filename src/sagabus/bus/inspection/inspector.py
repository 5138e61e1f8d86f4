"""`bus.inspect`: the questions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, overload

from sagabus.bus.arguments import check_key, check_number, check_text
from sagabus.bus.inspection.audits import audit_page, audits_wanted, pauses_of
from sagabus.bus.inspection.conversations import conversation
from sagabus.bus.inspection.histories import steps_of, unchanged_page
from sagabus.bus.inspection.masking import Masks
from sagabus.bus.inspection.messages import page, wanted_of
from sagabus.bus.inspection.reconciling import Question, Reconciled, Sent, answers
from sagabus.bus.inspection.records import (
    AuditPage,
    Conversation,
    DeadLetterCount,
    Kind,
    MessagePage,
    PauseRecord,
    RunStatus,
    Status,
    Step,
    SubscriptionStatus,
    UnchangedPage,
    WaitReport,
    WorkerStatus,
)
from sagabus.bus.inspection.waits import Definition, report
from sagabus.bus.views import SagaRecord, Transition, check_saga_name, check_subscription, saga_name
from sagabus.clock import Clock, instant, moment
from sagabus.clock import span as checked_span
from sagabus.codec.states import StateCodec
from sagabus.definitions.saga import Saga
from sagabus.envelope import Cause, DeadLetter
from sagabus.settings import Settings
from sagabus.store import Routing, Store, WorkerSeen
from sagabus.store.survey import Backlog, LaneCount, LetterCount


class Inspector:
    """Looks at the store of a bus, and changes nothing.

    Each call is bounded, however much is stored: it goes by an index, stops counting at 10,000, and raises
    StoreUnavailable after 5 seconds. No worker waits for it. Calling twice asks twice. Cancelled, it has done nothing.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        check: Callable[[str], None],
        definitions: Mapping[str, Definition],
        states: StateCodec,
        *,
        settings: Settings,
    ) -> None:
        self._store = store
        self._clock = clock
        self._check = check
        self._definitions = definitions
        self._states = states
        self._settings = settings
        self._masks = Masks(definitions.values())

    def knowing(self, definitions: Iterable[Definition]) -> Inspector:
        """The same for a bus that does not run these definitions; nothing is subscribed by it."""
        known = {**self._definitions, **{each.name: each for each in definitions}}
        return Inspector(self._store, self._clock, self._check, known, self._states, settings=self._settings)

    async def status(self) -> Status:
        """What waits in each subscription and since when, who works on it, the dead letters by cause, and sizes."""
        self._check("bus.inspect.status()")
        store, inspect = self._store, self._store.inspect
        routing, letters = await store.routing(), await inspect.letter_counts()
        seen = await inspect.workers()
        versions = await store.versions()
        return Status(
            at=moment(self._clock.now()),
            subscriptions=await self._subscriptions(routing, letters.counts, seen),
            workers=_by_worker(seen),
            dead_letters=tuple(map(_counted, letters.counts)),
            dead_letters_at_least=letters.more,
            lanes=routing.lanes,
            schema=max(versions) if versions else None,
            sizes=await inspect.sizes(),
        )

    async def subscriptions(self) -> tuple[SubscriptionStatus, ...]:
        """What waits in each subscription, and since when; those too of which only stored messages are left."""
        self._check("bus.inspect.subscriptions()")
        inspect = self._store.inspect
        letters, seen = await inspect.letter_counts(), await inspect.workers()
        return await self._subscriptions(await self._store.routing(), letters.counts, seen)

    async def workers(self) -> tuple[WorkerStatus, ...]:
        """The live workers with their lanes, and when each last said that it lives."""
        self._check("bus.inspect.workers()")
        return _by_worker(await self._store.inspect.workers())

    async def oldest_transaction(self) -> timedelta | None:
        """How long the oldest open transaction of the database has lasted; None where the store cannot say."""
        self._check("bus.inspect.oldest_transaction()")
        age = (await self._store.inspect.conditions()).oldest_transaction
        return None if age is None else timedelta(microseconds=age)

    async def messages(
        self,
        subscription: str | None = None,
        *,
        kind: Kind | None = None,
        key: str | None = None,
        message_type: str | None = None,
        correlation_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> MessagePage:
        """A page of the messages and timers that wait, of one subscription or of all, as they become due.

        `since` and `until` are about the time when they were sent. `after` is that of the page before. UnknownName for
        a subscription that nothing names and for a kind that there is not, ValueError for another `after` or `limit`.
        """
        self._check("bus.inspect.messages(...)")
        check_text("bus.inspect.messages(...)", subscription=subscription, kind=kind, key=key)
        check_text("bus.inspect.messages(...)", message_type=message_type, correlation_id=correlation_id, after=after)
        wanted = wanted_of(
            subscription=subscription,
            kind=kind,
            key=key,
            message_type=message_type,
            correlation_id=correlation_id,
            since=since,
            until=until,
        )
        return await page(self._store.inspect, wanted, after, limit)

    async def timers(
        self,
        saga: str | None = None,
        *,
        key: str | None = None,
        due_before: datetime | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> MessagePage:
        """A page of the timers that are set, of one saga or of all, the next one first. Errors as for `messages`, and
        InvalidTime for a time without a zone.
        """
        self._check("bus.inspect.timers(...)")
        check_text("bus.inspect.timers(...)", saga=saga, key=key, after=after)
        wanted = wanted_of(subscription=saga, key=key, timers=True, due_before=due_before)
        return await page(self._store.inspect, wanted, after, limit)

    async def why(self, saga: type[Saga] | str, key: str) -> WaitReport:
        """Why an instance waits: for which messages and timers, behind which retry or dead letter, in whose lane.

        Of a handler it says why the messages of a key wait. A bus that does not declare the saga cannot say what the
        saga reacts to. UnknownName for a name that nothing has.
        """
        self._check("bus.inspect.why(...)")
        check_key("bus.inspect.why(...)", key)
        name = saga_name(saga)
        definition, store, now = self._definitions.get(name), self._store, self._clock.now()
        workers = _by_worker(await store.inspect.workers())
        found = await report(store, self._states, definition, workers=workers, name=name, key=key, now=now)
        if not found.exists and not found.messages and isinstance(saga, str) and definition is None:
            await check_subscription(store, "saga or subscription", name)
        return found

    async def unchanged(
        self, saga: type[Saga] | str, span: timedelta, *, status: str | None = None, after: str = "", limit: int = 100
    ) -> UnchangedPage:
        """A page of the live instances of a saga that have not changed for `span`, by key; in one status, or in any.

        `after` is that of the page before. UnknownName for a name that nothing has, InvalidTime for a span that no
        instance can have, ValueError for another `limit`.
        """
        self._check("bus.inspect.unchanged(...)")
        check_text("bus.inspect.unchanged(...)", after=after, status=status)
        check_number("bus.inspect.unchanged(...)", limit=limit)
        name = saga_name(saga)
        found = await unchanged_page(
            self._store.inspect, name, checked_span(span, "span"), status=status, after=after, limit=limit
        )
        if not found.instances and isinstance(saga, str) and name not in self._definitions:
            await check_saga_name(self._store, name, self._definitions)
        return found

    async def history(
        self, saga: type[Saga] | str, key: str, *, after: int = 0, limit: int = 100, reveal: bool = False
    ) -> tuple[Step, ...]:
        """A page of the steps of an instance in their order, each with what it changed in the state.

        Values are left out as by `masked`, unless `reveal` asks for them.

        `after` is the position of the last step of the page before. Empty for a saga without `history=True`, for a key
        that never was, and when the retention has passed. UnknownName for a name that nothing has.
        """
        self._check("bus.inspect.history(...)")
        check_key("bus.inspect.history(...)", key)
        check_number("bus.inspect.history(...)", after=after)
        name, store = saga_name(saga), self._store
        mask = None if reveal else self._masks.of_state(saga)
        found = await steps_of(store.inspect, name, key, after, limit, mask=mask)
        if not found and isinstance(saga, str) and name not in self._definitions:
            await check_saga_name(store, name, self._definitions)
        return tuple(found)

    async def conversation(self, correlation_id: str, *, after: str | None = None, limit: int = 100) -> Conversation:
        """A page of the conversation of a correlation id, across sagas and handlers, in order of time.

        It has the runs that the journal keeps (`Settings.journal`), the transitions of sagas with `history=True`, dead
        letters, and what waits. `missing` says what it cannot know. Empty for an id of which nothing is stored.
        `after` is that of the page before. ValueError for another `after` or `limit`.
        """
        self._check("bus.inspect.conversation(...)")
        check_text("bus.inspect.conversation(...)", correlation_id=correlation_id, after=after)
        now = self._clock.now()
        return await conversation(self._store, self._settings, correlation_id, after=after, limit=limit, now=now)

    async def audit(
        self,
        subscription: str | None = None,
        *,
        target: str | None = None,
        by: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: int | None = None,
        limit: int = 100,
        reveal: bool = False,
    ) -> AuditPage:
        """A page of what operators have changed, the latest first, of one subscription or of all.

        Values are left out as by `masked`, unless `reveal` asks for them.

        `target` is a key, or the id of a message or of a dead letter. By its key, changes of timers, messages and dead
        letters are found, too. `by` made them, at `since` or later and before `until`. `after` is that of the page
        before. UnknownName for a subscription that nothing names, InvalidTime for a time without a zone.
        """
        self._check("bus.inspect.audit(...)")
        masks = None if reveal else self._masks
        wanted = audits_wanted(subscription, target=target, by=by, since=since, until=until, after=after)
        found = await audit_page(self._store.inspect, wanted, limit, masks=masks)
        if not found.entries and subscription is not None and subscription not in self._definitions:
            await check_subscription(self._store, "subscription", subscription)
        return found

    @overload
    def masked(self, record: DeadLetter) -> DeadLetter: ...
    @overload
    def masked(self, record: SagaRecord[Any]) -> SagaRecord[Any]: ...
    @overload
    def masked(self, record: Transition) -> Transition: ...
    def masked(self, record: DeadLetter | SagaRecord[Any] | Transition) -> DeadLetter | SagaRecord[Any] | Transition:
        """A record as people may see it: "(hidden)" is in place of the values of `Hidden` fields; a state is data.

        Of a message or a saga that this bus does not declare, only the names of fields are shown.
        """
        return self._masks.over(record)

    async def reconcile(
        self,
        sent: Iterable[Sent],
        *,
        subscription: str | None = None,
        since: datetime | None = None,
        source: str | None = None,
    ) -> tuple[Reconciled, ...]:
        """Which of the messages that were sent the store has recorded, and which it lacks. It asks for 1,000 at a time.

        `sent` has ids, or pairs of an id and a type. The answer holds for messages that were published, and with
        `source` for those that this other service sent by a broker. What handlers send within the store has no record.
        Where the type is given, there is an answer for each subscription. Else the message is missing if no
        subscription has recorded it, or the one that is named has not.

        A record goes when its retention has passed, so what was sent before the horizon is `unknown`. So is an id
        without a send time, unless you say with `since` that these were sent then or later. UnknownName for a
        subscription that nothing names, InvalidMessageId for what is no id.
        """
        self._check("bus.inspect.reconcile(...)")
        check_text("bus.inspect.reconcile(...)", subscription=subscription, source=source)
        channels = await self._store.inspect.channels()
        if subscription is not None:
            if subscription not in channels:
                await check_subscription(self._store, "subscription", subscription)
            channels = [subscription]
        question = Question(channels, subscription, source, None if since is None else instant(since, "since"))
        return await answers(self._store.inspect, await self._store.routing(), sent, question)

    async def _subscriptions(
        self, routing: Routing, letters: Sequence[LetterCount], seen: Sequence[WorkerSeen]
    ) -> tuple[SubscriptionStatus, ...]:
        inspect = self._store.inspect
        lanes = {each.channel: each for each in await inspect.lane_counts()}
        dead: Counter[str] = Counter()
        for each in letters:
            dead[each.channel] += each.count
        types: defaultdict[str, list[str]] = defaultdict(list)
        for subscription in routing.subscriptions:
            types[subscription.channel].append(subscription.message_type)
        workers = Counter(each.channel for each in seen)
        longest: dict[str, timedelta] = {}
        for run in (run for each in _by_worker(seen) for run in each.runs):
            longest[run.subscription] = max(run.lasted, longest.get(run.subscription, run.lasted))
        paused = pauses_of(await inspect.paused())
        return tuple(
            [
                _subscription(
                    await inspect.backlog(name),
                    types[name],
                    dead=dead[name],
                    workers=workers[name],
                    lanes=lanes.get(name, LaneCount(name, 0, 0)),
                    longest_run=longest.get(name),
                    paused=paused.get(name),
                )
                for name in sorted({*await inspect.channels(), *dead})
            ]
        )


def _subscription(
    backlog: Backlog,
    messages: Iterable[str],
    *,
    dead: int,
    workers: int,
    lanes: LaneCount,
    longest_run: timedelta | None,
    paused: PauseRecord | None,
) -> SubscriptionStatus:
    counts = backlog.counts
    return SubscriptionStatus(
        name=backlog.channel,
        messages=tuple(sorted(messages)),
        ready=counts.get("ready", 0),
        running=counts.get("running", 0),
        held=counts.get("held", 0),
        scheduled=counts.get("scheduled", 0),
        timers=counts.get("timer", 0),
        retrying=counts.get("retrying", 0),
        stashed=counts.get("stashed", 0),
        at_least=backlog.more,
        oldest_age=None if backlog.oldest_age is None else timedelta(microseconds=backlog.oldest_age),
        dead=dead,
        workers=workers,
        lanes=lanes.lanes,
        owned_lanes=lanes.owned,
        longest_run=longest_run,
        paused=paused,
    )


def _by_worker(seen: Iterable[WorkerSeen]) -> tuple[WorkerStatus, ...]:
    rows: defaultdict[str, list[WorkerSeen]] = defaultdict(list)
    for each in seen:
        rows[each.worker].append(each)
    return tuple(
        WorkerStatus(
            worker=worker,
            lanes={each.channel: each.lanes for each in own},
            heartbeat_age=timedelta(microseconds=max(min(each.age for each in own), 0)),
            lease=timedelta(microseconds=max(each.lease for each in own)),
            expires_at=moment(max(each.expires_at for each in own)),
            runs=tuple(sorted(_runs(own), key=attrgetter("lasted"), reverse=True)),
            running=sum(each.running for each in own),
            version=next((each.version for each in own if each.version is not None), None),
        )
        for worker, own in sorted(rows.items())
    )


def _runs(own: Iterable[WorkerSeen]) -> Iterator[RunStatus]:
    for each in own:
        for run in each.runs:
            yield RunStatus(
                subscription=each.channel,
                message_id=run.message_id,
                message_type=run.message_type,
                key=run.key,
                lasted=timedelta(microseconds=run.lasted),
            )


def _counted(each: LetterCount) -> DeadLetterCount:
    return DeadLetterCount(
        subscription=each.channel,
        cause=Cause(each.cause),
        count=each.count,
        parked=each.parked,
        oldest=moment(each.oldest),
    )
