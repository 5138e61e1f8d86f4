"""The intake: renews the leases, fetches what is due from the lanes owned, and sorts it into the mailboxes of its keys.

Previous stop: the store. Next stop: the mailboxes, and the runners that serve them. A lease gives order and speed only.
That an effect happens once rests on the commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from math import inf

from sagabus.clock import Clock, sleep
from sagabus.codec import Codec
from sagabus.engine.committer import Committer
from sagabus.engine.consumer import with_key
from sagabus.engine.health import Health, refused_by_store
from sagabus.engine.in_flight import InFlight
from sagabus.engine.leases import Leases
from sagabus.engine.lifecycle import BackgroundTask
from sagabus.engine.loud_keys import LoudKeys
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.pauses import Pauses
from sagabus.engine.runner_pool import RunnerPool
from sagabus.engine.suspects import Suspects
from sagabus.envelope import Envelope
from sagabus.errors import StoreError
from sagabus.failpoint import hit
from sagabus.store import Cursor, Fetched, Loaded, Queue
from sagabus.store.loud import Sift

log = logging.getLogger("sagabus")

PAUSE_AFTER_ERROR = 0.2
_LONGEST_PAUSE = 5.0


class Intake:
    """Takes in what the lanes of a worker hold, for as long as the worker works."""

    busy = False
    """Whether it is about to take something in."""
    _trouble: StoreError | None = None
    """Why the last fetch, or the renewal before it, has failed."""
    _full = False
    """Every owned lane has as much in flight as it may: the next fetch waits for room."""
    _stopping = False

    def __init__(
        self,
        store: Queue,
        codec: Codec,
        clock: Clock,
        hand: InFlight,
        leases: Leases,
        *,
        loud: LoudKeys,
        then: Sequence[Callable[[], Awaitable[None]]],
        runners: RunnerPool,
        committer: Committer,
        suspects: Suspects,
    ) -> None:
        """`then`: what follows each renewal."""
        self._store, self._codec, self._clock = store, codec, clock
        self._hand, self._leases, self._loud, self._then = hand, leases, loud, then
        self._pauses = Pauses(hand, leases.paused)
        self._runners, self._committer, self._suspects = runners, committer, suspects
        self._task = BackgroundTask("sagabus-intake", "fetches no messages")
        self.room, self.progress = committer.listen(), committer.listen()
        """Something was settled; and the same, or fetched."""

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take lanes and begin to fetch."""
        if not self._stopping:
            await self.renew_when_due()
        if not self._stopping:  # nor by now
            self._task.start(self._work)

    async def stop(self, grace: float) -> None:
        """Take nothing new."""
        self._stopping = True
        await self._task.stop(grace)

    def abandon(self) -> set[asyncio.Task[None]]:
        """Take nothing new; what the caller has to cancel."""
        self._stopping = True
        return self._task.give_up()

    def health(self) -> Health:
        """Whether it fetches, and what not."""
        health = replace(self._task.health(), waits=self._pauses.waits())
        return health if self._trouble is None else refused_by_store(health, "the worker cannot fetch", self._trouble)

    async def renew_when_due(self) -> None:
        """Renew the leases when it is time, or when a commit or a fetch has said that they moved."""
        if self._leases.are_due:
            if self._full or self._pauses.paused:
                self._leases.look_again()
            self._committer.withdraw(await self._leases.renew())
            self._suspects.check_lanes()
            self._pauses.look()
            for follow in self._then:
                await follow()

    # --- fetching -----------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        pause = 0.0
        while not self._stopping:
            try:
                wait = await self._take_in()
                self._trouble = None
                self._note_progress()
                if wait > 0:
                    await self._pause(wait)
            except Exception as error:
                pause = min(pause * 2, _LONGEST_PAUSE) or PAUSE_AFTER_ERROR
                if isinstance(error, StoreError):
                    self._trouble = error
                    log.error("cannot fetch, trying again in %.2g s: %s", pause, error)
                else:
                    log.exception("fetching met an error; it continues in %.2g s", pause)
                self._note_progress()
                await sleep(self._clock, pause)  # not `changed`: it may wake at once, from a store that is not there
            else:
                pause = 0.0

    def _note_progress(self) -> None:
        self.busy = False
        self.progress.set()

    async def _pause(self, wait: float) -> None:
        """Until there may be something to fetch, or room for it again."""
        if not self._full:
            await self._store.changed(wait)
            return
        await self.room_or(wait)

    async def room_or(self, seconds: float) -> None:
        """Wait until something was settled, at most so long."""
        timer = self._clock.call_after(seconds, self.room.set)
        try:
            await self.room.wait()
        finally:
            timer.cancel()

    async def _take_in(self) -> float:
        """One round of leasing and fetching; how long to wait for the next, at most."""
        self.busy = True
        await self.renew_when_due()
        self._pauses.look()  # this process may have paused something
        self.room.clear()
        if not await self._loud.notice():
            self._leases.refresh = True
            return 0.0
        cursors, sifts = self._pauses.lanes(self._hand.hungry()), self._pauses.keys(self._loud.due())
        # Without any lane that is not paused, nothing can be settled: only the store can bring news then.
        self._full = not cursors and not sifts and self._pauses.has_open_lanes
        if self._full:
            return self._until_next(inf)
        due = await self._fetch(cursors) if cursors or not sifts else inf
        for sift in sifts:
            due = min(due, await self._sift(sift))
        self._hand.tidy()
        if (wait := self._until_next(due)) <= 0:
            await asyncio.sleep(0)
            is_fed = not self._pauses.lanes(self._hand.hungry()) and not self._pauses.keys(self._loud.due())
            self._full = is_fed and self._pauses.has_open_lanes
            return self._until_next(inf) if self._full else 0.0
        return 0.0 if self._leases.refresh else wait

    def _until_next(self, due: float) -> float:
        """Seconds from now: what a fetch took of the time until something is due is not waited for once more."""
        return min(due - self._clock.monotonic(), self._leases.until_renewal(), self._loud.until_due())

    async def _fetch(self, cursors: Sequence[Cursor]) -> float:
        """One round of all lanes without loud keys; the moment of the next, at the latest."""
        limit, began = self._hand.page(self._hand.lane_window // 2), self._clock.monotonic()
        fetched = await self._asked(self._store.fetch(cursors, limit))
        self._leases.note_crew(fetched.crew)
        envelopes, may_have_more = self._hand.go_on(cursors, fetched.envelopes, limit, self._clock.monotonic())
        await self._hand_out(envelopes, fetched)
        return began if may_have_more else began + _until(fetched)

    async def _sift(self, sift: Sift) -> float:
        """One round of a loud key, or of a lane past its loud keys; the moment of the next."""
        if (sift.channel, sift.lane) not in self._hand.lanes:
            return -inf  # lost meanwhile
        limit, began = self._hand.page(self._loud.limit(sift)), self._clock.monotonic()
        fetched = await self._asked(self._store.sift(sift, limit))
        await self._hand_out(self._loud.came(sift, limit, fetched, began), fetched)
        return began if len(fetched.envelopes) >= limit else began + _until(fetched)

    async def _asked(self, fetch: Awaitable[Fetched]) -> Fetched:
        self._hand.begin_fetch()
        try:
            hit("fetch.before_fetch")
            fetched = await fetch
            hit("fetch.fetched")
        finally:
            self._hand.end_fetch()
        self._hand.note_page(fetched.envelopes)
        return fetched

    async def _hand_out(self, envelopes: Sequence[Envelope], fetched: Fetched) -> None:
        """Put envelopes into the mailboxes of their keys, with the state they need, and have them served."""
        filled = self._hand.take_page(self._hand.fresh(envelopes), self._without_key)
        try:
            wanting = [m for m in filled if m.cell is None and m.lacks_state and not m.active and not m.unflushed]
            await self._load(wanting, fetched.loaded)
            hit("fetch.loaded")
        except StoreError as error:
            log.warning("cannot load ahead of the handlers: %s", error)
        finally:
            # In any case, since they are in flight: the runner of a mailbox without its state loads the state first.
            self._runners.offer_all(filled)
            self._pauses.look()  # a pause that came while the store was asked
        hit("fetch.dispatched")

    def _without_key(self, envelope: Envelope) -> tuple[Envelope, Mailbox]:
        try:
            envelope = with_key(self._hand.definition(envelope.channel), envelope, self._codec)
        except Exception as error:  # noqa: BLE001  # raised again, and handled, when the message runs
            log.debug("%s: no key for %s: %s", envelope.channel, envelope.message_id, type(error).__name__)
        mailbox = self._hand.mailbox(envelope)
        mailbox.found_key()
        return envelope, mailbox

    async def _load(self, mailboxes: Sequence[Mailbox], loaded: Iterable[tuple[str, Loaded]]) -> None:
        wanted: dict[str, dict[str, Mailbox]] = {}
        for mailbox in mailboxes:
            wanted.setdefault(mailbox.place[0], {})[mailbox.key or ""] = mailbox
        for saga, found in loaded:
            if found.key in wanted.get(saga, ()):
                self._hand.known.believe(wanted[saga].pop(found.key), found.instance, found.stashed)
        for saga, by_key in wanted.items():
            for found in await self._store.load(saga, list(by_key)) if by_key else ():
                mailbox = by_key[found.key]
                if mailbox.cell is None and not mailbox.unflushed:
                    self._hand.known.believe(mailbox, found.instance, found.stashed)


def _until(fetched: Fetched) -> float:
    """Seconds until something is due."""
    return inf if fetched.next_due_in is None else max(fetched.next_due_in / 1_000_000, 0.001)
