"""`bus.mend`: the calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sagabus.bus.inspection.waits import Definition
from sagabus.bus.mending.author import checked_reason
from sagabus.bus.mending.desk import Desk, Mended, Order
from sagabus.bus.mending.erasing import Erased, Eraser, entry_of, refusal, subjects_of
from sagabus.bus.mending.instances import Instances
from sagabus.bus.mending.queue import StoredMessages
from sagabus.bus.views import check_subscription, saga_name
from sagabus.clock import Clock, moment
from sagabus.codec.states import StateCodec
from sagabus.definitions.saga import Saga
from sagabus.errors import MendRefused
from sagabus.store import Store
from sagabus.store.mending import Pause, Resume


class Mender:
    """Changes what is stored, at the word of people on call.

    Each call makes its change in one commit with an entry of the audit log, or changes nothing and says why. That is
    MendRefused where the store no longer has what the caller saw. `by` is the caller's name, else that of the system's
    user. After StoreUnavailable or a cancellation it may have happened: repeat it, and the store says so. UnknownName
    for a name that nothing has, ValueError without a reason.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        check: Callable[[str], None],
        definitions: Mapping[str, Definition],
        states: StateCodec,
        *,
        hear: Callable[[Store], Awaitable[None]],
    ) -> None:
        """`hear`: have this process know how the subscriptions of a store are now."""
        self._desk = desk = Desk(store, clock, check, definitions, states, hear)
        self._instances = Instances(desk)
        self._messages = StoredMessages(desk, self._instances)

    def knowing(self, definitions: Iterable[Definition]) -> Mender:
        """The same for a bus that does not run these definitions; nothing is subscribed by it."""
        desk = self._desk
        known = {**desk.definitions, **{each.name: each for each in definitions}}
        return Mender(desk.store, desk.clock, desk.check, known, desk.states, hear=desk.hear)

    def _begin(self, call: str, reason: str) -> None:
        self._desk.check(call)
        checked_reason(reason)

    # --- sagas --------------------------------------------------------------------------------------------------------

    async def cancel(
        self,
        saga: type[Saga] | str,
        key: str,
        *,
        version: int,
        reason: str,
        by: str | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> Mended:
        """End an instance that is given up, at the version that you saw, with these fields of its state changed first.

        It ends as by `ctx.complete()`: its timers go, and messages that wait for it come to a finished saga. Nothing of
        what it has sent is undone.
        """
        self._begin("bus.mend.cancel(...)", reason)
        return await self._instances.change(
            saga, key, fields or {}, verb="cancel", version=version, reason=reason, by=by, ends=True
        )

    async def complete(
        self,
        saga: type[Saga] | str,
        key: str,
        *,
        version: int,
        reason: str,
        by: str | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> Mended:
        """End an instance whose work was done in another way. As `cancel`, under another word in the audit log."""
        self._begin("bus.mend.complete(...)", reason)
        return await self._instances.change(
            saga, key, fields or {}, verb="complete", version=version, reason=reason, by=by, ends=True
        )

    async def patch(
        self,
        saga: type[Saga] | str,
        key: str,
        fields: Mapping[str, object],
        *,
        version: int,
        reason: str,
        by: str | None = None,
    ) -> Mended:
        """Change fields of the state of an instance, given as in JSON, at the version that you saw.

        All of it is read by the types of the class before anything is stored. StateInvalid names a field whose value
        its type does not take. A bus that does not declare the saga refuses.
        """
        self._begin("bus.mend.patch(...)", reason)
        if not fields:
            raise ValueError("no fields to change: pass at least one")
        return await self._instances.change(
            saga, key, fields, verb="patch", version=version, reason=reason, by=by, ends=False
        )

    # --- messages and timers ------------------------------------------------------------------------------------------

    async def retry_now(self, position: int, *, reason: str, by: str | None = None) -> Mended:
        """Let the message at a position run now that waits for its retry. Its attempts stay as they are."""
        self._begin("bus.mend.retry_now(...)", reason)
        return await self._messages.retry_now(position, reason=reason, by=by)

    async def cancel_message(self, position: int, *, reason: str, by: str | None = None) -> Mended:
        """Remove the scheduled message at a position: it never takes effect, and its id stays taken."""
        self._begin("bus.mend.cancel_message(...)", reason)
        return await self._messages.cancel_message(position, reason=reason, by=by)

    async def cancel_all(
        self,
        subscription: type[Saga] | str,
        *,
        reason: str,
        by: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Cancel all messages and timers that wait where nothing subscribes any more; how many.

        They never take effect, and their ids stay taken. MendRefused for a subscription that receives messages, that
        this bus declares, or that a live worker serves; UnknownName for one of which nothing is stored.

        Each has a commit of its own with its entry in the audit log, and `progress` hears how many have gone. Stopped
        at any point, what was done stays; again, it goes on.
        """
        self._begin("bus.mend.cancel_all(...)", reason)
        name = saga_name(subscription)
        return await self._messages.cancel_all(name, reason=reason, by=by, progress=progress)

    async def move_timer(
        self,
        saga: type[Saga] | str,
        key: str,
        timer: str,
        *,
        after: timedelta | None = None,
        at: datetime | None = None,
        reason: str,
        by: str | None = None,
    ) -> Mended:
        """Give a timer another due time: so long from now, or an instant. InvalidTime for neither, or for both."""
        self._begin("bus.mend.move_timer(...)", reason)
        return await self._messages.move_timer(saga, key, timer, after=after, at=at, reason=reason, by=by)

    async def cancel_timer(
        self, saga: type[Saga] | str, key: str, timer: str, *, reason: str, by: str | None = None
    ) -> Mended:
        """Cancel a timer, as a transition of its instance would. The instance gets its next version by it."""
        self._begin("bus.mend.cancel_timer(...)", reason)
        return await self._messages.cancel_timer(saga, key, timer, reason=reason, by=by)

    # --- pauses -------------------------------------------------------------------------------------------------------

    async def pause(self, subscription: type[Saga] | str, *, reason: str, by: str | None = None) -> Mended:
        """Let no worker of any process begin a message or a timer of a subscription, until it is resumed.

        Runs that have begun end and commit. Messages are accepted and wait. The worker of this bus knows it when this
        returns, and the others hear of it within seconds.
        """
        self._begin("bus.mend.pause(...)", reason)
        name = saga_name(subscription)
        if name not in self._desk.definitions:
            await check_subscription(self._desk.store, "subscription", name)
        order = Order(verb="subscription.pause", channel=name, target=name, reason=reason, by=by)
        made = await self._desk.make(Pause(name), order, {"paused": False}, {"paused": True})
        if made is None:
            since = await self._pause_text(name)
            raise MendRefused(f"{name} is paused already{since}: `sagabus resume` lets it go on")
        await self._desk.hear(self._desk.store)
        return made

    async def resume(self, subscription: type[Saga] | str, *, reason: str, by: str | None = None) -> Mended:
        """Let a paused subscription go on. A timer of a key runs after the messages that were accepted before it was
        due.
        """
        self._begin("bus.mend.resume(...)", reason)
        name = saga_name(subscription)
        order = Order(verb="subscription.resume", channel=name, target=name, reason=reason, by=by)
        made = await self._desk.make(Resume(name), order, {"paused": True}, {"paused": False})
        if made is not None:
            await self._desk.hear(self._desk.store)
            return made
        paused = [each.channel for each in await self._desk.store.inspect.paused()]
        if name not in self._desk.definitions:
            await check_subscription(self._desk.store, "subscription", name)
        raise MendRefused(f"{name} is not paused; paused are: {', '.join(paused) or 'none'}")

    # --- erasure ------------------------------------------------------------------------------------------------------

    async def erase(
        self,
        *,
        key: str | None = None,
        correlation_ids: Sequence[str] = (),
        saga: type[Saga] | str | None = None,
        live: bool = False,
        reason: str = "",
        by: str | None = None,
        dry_run: bool = False,
        progress: Callable[[Mapping[str, int]], None] | None = None,
    ) -> Erased:
        """Erase all that the store keeps of a key, or of conversations.

        These are messages and timers, saga instances with their histories, dead letters of any status, and rows of the
        journal. In the audit log, who did what and when stays. Inbox records stay, which have an id and a fingerprint:
        a late copy is still a duplicate. With `saga`, only what this saga or handler has.

        MendRefused, and nothing is erased, where work is not done: an instance has not ended, or a message or a timer
        waits. `live` erases that, too. A run that has begun on it then commits nothing.

        It goes in steps, each in one commit with its count in the audit log, and tells `progress` the counts so far.
        Twice is harmless, and continues what was stopped. With `dry_run` it only counts, and needs no reason.
        """
        self._desk.check("bus.mend.erase(...)")
        channel = None if saga is None else saga_name(saga)
        subjects = subjects_of(key, correlation_ids, channel)
        entry = None if dry_run else entry_of(subjects, reason, by)
        found = await Eraser(self._desk.store, progress if dry_run else None).look(subjects)
        if channel is not None and not found.counts and channel not in self._desk.definitions:
            await check_subscription(self._desk.store, "subscription", channel)
        if entry is None or not found.counts:
            return found
        if found.live and not live:
            raise refusal(found.live, found.not_done)
        return await Eraser(self._desk.store, progress).erase(subjects, entry, live=live)

    async def _pause_text(self, name: str) -> str:
        for each in await self._desk.store.inspect.paused():
            if each.channel == name:
                return f" since {moment(each.since):%Y-%m-%d %H:%M:%S} UTC by {each.by} ({each.reason})"
        return ""
