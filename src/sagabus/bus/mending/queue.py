"""Stored messages and timers: run now, moved or cancelled, as they were seen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sagabus.bus.mending.desk import Desk, Mended, Order
from sagabus.bus.mending.instances import Instances
from sagabus.bus.views import check_saga_name, check_subscription, saga_name
from sagabus.clock import instant, micros, moment
from sagabus.definitions.saga import Saga
from sagabus.envelope import Envelope
from sagabus.errors import InvalidTime, MendRefused
from sagabus.store.mending import Mend, Move, Remove, RunNow
from sagabus.store.survey import BEGIN, Mark, Wanted


class StoredMessages:
    """Changes of what waits in a store."""

    def __init__(self, desk: Desk, instances: Instances) -> None:
        self._desk = desk
        self._instances = instances

    async def retry_now(self, position: int, *, reason: str, by: str | None) -> Mended:
        """Make due what waits for its retry."""
        found = await self._at(position)
        kind = self._kind(found)
        if kind != "retrying":
            raise MendRefused(f"{_named(found)} does not wait for a retry: {_WAYS[kind]}")
        order = _order("message.retry", found, reason, by)
        return await self._make(RunNow(*_as_seen(found)), order, found, {"due_at": "now"})

    async def cancel_message(self, position: int, *, reason: str, by: str | None) -> Mended:
        """Remove what is scheduled, without effect."""
        found = await self._at(position)
        kind = self._kind(found)
        if kind != "scheduled":
            raise MendRefused(f"{_named(found)} is not scheduled: {_WAYS[kind]}")
        order = _order("message.cancel", found, reason, by)
        return await self._make(Remove(*_as_seen(found)), order, found, {"cancelled": True})

    async def cancel_all(
        self, name: str, *, reason: str, by: str | None, progress: Callable[[int], None] | None
    ) -> int:
        """Remove all that waits where nothing subscribes, without effect."""
        await self._check_retired(name)
        gone, after = 0, BEGIN
        while True:
            page = await self._desk.store.inspect.waiting(Wanted(channel=name), after=after)
            for each in page.found:
                await self._give_up(each.envelope, reason, by)
                gone += 1
                if progress is not None:
                    progress(gone)
            if page.after is None:
                return gone
            after = page.after

    async def _give_up(self, seen: Envelope, reason: str, by: str | None) -> None:
        if seen.timer is not None:
            await self._cancel_timer(seen, reason, by)
        else:
            order = _order("message.cancel", seen, reason, by)
            await self._make(Remove(*_as_seen(seen)), order, seen, {"cancelled": True})

    async def _check_retired(self, name: str) -> None:
        store = self._desk.store
        received = sorted(each.message_type for each in (await store.routing()).subscriptions if each.channel == name)
        if received:
            way = f"`sagabus subscriptions remove --force {name}` ends that first"
            raise MendRefused(f"{name} receives {', '.join(received)}: {way}")
        if name in self._desk.definitions:
            raise MendRefused(f"{name} is declared here, and subscribes again when a bus with it opens")
        workers = sum(each.channel == name for each in await store.inspect.workers())
        if workers:
            raise MendRefused(
                f"{workers} live {'worker serves' if workers == 1 else 'workers serve'} {name}: stop first"
            )
        await check_subscription(store, "subscription", name)

    async def move_timer(
        self,
        saga: type[Saga] | str,
        key: str,
        timer: str,
        *,
        after: timedelta | None,
        at: datetime | None,
        reason: str,
        by: str | None,
    ) -> Mended:
        """Give a timer another due time."""
        if (after is None) == (at is None):
            raise InvalidTime("after", "give exactly one of `after` and `at`")
        found = await self._timer(saga_name(saga), key, timer)
        if found.attempt:
            raise MendRefused(f"{_named(found)} has failed and waits for its retry: `sagabus mend retry-now` runs it")
        to = self._desk.clock.now() + micros(after) if after is not None else instant(at, "at")
        to = max(to, 1)
        order = _order("timer.move", found, reason, by)
        return await self._make(Move(*_as_seen(found), to), order, found, {"due_at": _time(to)})

    async def cancel_timer(
        self, saga: type[Saga] | str, key: str, timer: str, *, reason: str, by: str | None
    ) -> Mended:
        """Cancel a timer as a transition of its instance would."""
        return await self._cancel_timer(await self._timer(saga_name(saga), key, timer), reason, by)

    async def _cancel_timer(self, found: Envelope, reason: str, by: str | None) -> Mended:
        name, key, timer = found.channel, found.partition_key or "", found.timer or ""
        order = _order("timer.cancel", found, reason, by)
        (loaded,) = await self._desk.store.load(name, [key])
        instance = loaded.instance
        change: Mend = Remove(*_as_seen(found))
        if instance is not None and not instance.completed and timer in instance.timers:
            change = await self._instances.without_timer(await self._instances.find(name, key), timer)
        return await self._make(change, order, found, {"cancelled": True})

    async def _make(self, change: Mend, order: Order, seen: Envelope, after: dict[str, object]) -> Mended:
        before: dict[str, object] = {
            "message_type": seen.message_type,
            "message_id": seen.message_id,
            "key": seen.partition_key,
            "due_at": _time(seen.due_at),
            "attempts": seen.attempt,
        }
        if seen.timer is None and seen.correlation_id is not None:
            before["correlation_id"] = seen.correlation_id  # by which an erasure of the conversation finds the entry
        made = await self._desk.make(change, order, before, after)
        if made is None:
            raise MendRefused(f"{_named(seen)} changed while it was to be mended: look again, and repeat it")
        return made

    async def _at(self, position: int) -> Envelope:
        found = await self._desk.store.inspect.envelope(position)
        if found is None:
            raise MendRefused(
                f"no message stands at position {position}: it was handled, or moved. "
                "`sagabus messages` lists what waits, with positions"
            )
        return found

    def _kind(self, envelope: Envelope) -> str:
        if envelope.stashed:
            return "stashed"
        if envelope.due_at <= self._desk.clock.now():
            return "due"
        if envelope.failed_at is not None or envelope.attempt:
            return "retrying"
        return "scheduled" if envelope.timer is None else "timer"

    async def _timer(self, name: str, key: str, timer: str) -> Envelope:
        wanted = Wanted(channel=name, key=key, timers=True)
        after: Mark | None = BEGIN
        names: list[str] = []
        while after is not None:
            page = await self._desk.store.inspect.waiting(wanted, after=after)
            for each in page.found:
                if each.envelope.timer == timer:
                    return each.envelope
                names.append(each.envelope.timer or "")
            after = page.after
        raise await self._no_timer(name, key, timer, names)

    async def _no_timer(self, name: str, key: str, timer: str, names: list[str]) -> MendRefused:
        if not names and name not in self._desk.definitions:
            await check_saga_name(self._desk.store, name, self._desk.definitions)
        there = f"; set are: {', '.join(sorted(names))}" if names else "; it has none that is set"
        return MendRefused(f"{name} {key} has no timer {timer!r}{there}")


_WAYS = {
    "due": "it is due now, so a worker runs it or takes it next",
    "stashed": "it is kept for its saga, whose next change wakes it",
    "retrying": "it has failed and waits for its retry, which `sagabus mend retry-now` brings forward",
    "scheduled": "it is scheduled, and `sagabus mend cancel-message` cancels it",
    "timer": "it is a timer, which `sagabus mend move-timer` and `cancel-timer` change",
}


def _order(verb: str, envelope: Envelope, reason: str, by: str | None) -> Order:
    target = envelope.message_id if envelope.timer is None else f"{envelope.partition_key} {envelope.timer}"
    return Order(verb=verb, channel=envelope.channel, target=target, reason=reason, by=by)


def _as_seen(envelope: Envelope) -> tuple[int, int, int]:
    return envelope.position, envelope.due_at, envelope.attempt


def _named(envelope: Envelope) -> str:
    if envelope.timer is not None:
        return f"the timer {envelope.timer!r} of {envelope.channel} {envelope.partition_key}"
    return f"{envelope.message_type} {envelope.message_id} of {envelope.channel}"


def _time(at: int) -> str | None:
    return moment(at).isoformat() if at > 1 else None
