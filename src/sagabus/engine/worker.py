"""The worker: leases lanes, fetches what is due, has it run key by key, and keeps its books by what the commits answer.

The middle of a message's way: store → **intake** → mailbox → `processing` → `committer` → store. A lease gives order
and speed only; that an effect happens once rests on the commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from math import inf

from sagabus.clock import Clock, sleep
from sagabus.codec import Codec
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.saga import SagaDefinition
from sagabus.engine.committer import Committer
from sagabus.engine.consumer import with_key
from sagabus.engine.crew import Crew
from sagabus.engine.flush import Entry
from sagabus.engine.health import Health
from sagabus.engine.in_flight import InFlight
from sagabus.engine.leases import SMALLEST_WINDOW, Leases
from sagabus.engine.loop_beat import LoopBeat
from sagabus.engine.loud_keys import LoudKeys
from sagabus.engine.mailbox import BelievedState, Mailbox
from sagabus.engine.marks import Marks
from sagabus.engine.processing import Processing
from sagabus.engine.runner import Runner
from sagabus.engine.runner_pool import RunnerPool, cancel
from sagabus.engine.sender import Sender
from sagabus.engine.settlement import Settlement
from sagabus.engine.suspects import Suspects
from sagabus.envelope import Envelope
from sagabus.errors import StoreError
from sagabus.failpoint import hit
from sagabus.outcome import Settled
from sagabus.settings import Settings
from sagabus.store import Cursor, Fetched, Lane, Loaded, Queue
from sagabus.store.loud import Sift

log = logging.getLogger("sagabus")

_PAUSE_AFTER_ERROR = 0.2
_LONGEST_PAUSE = 5.0
IN_HASTE = 1.0
"""Seconds for each step of a stop that no caller waits for any more."""


class Worker:
    """Runs the definitions' handlers on what their channels hold. One per bus; its identity is new at every start."""

    _stopping = False
    _busy_intake = False
    _full = False
    """Every owned lane has as much in flight as it may: the next fetch waits for room."""

    def __init__(
        self,
        identity: str,
        store: Queue,
        sender: Sender,
        codec: Codec,
        *,
        clock: Clock,
        processing: Processing,
        definitions: Mapping[str, HandlerDefinition | SagaDefinition],
        settings: Settings,
    ) -> None:
        self.identity = identity
        self._store, self._sender, self._codec = store, sender, codec
        self._clock = clock
        self.hand = InFlight.of(definitions, settings, SMALLEST_WINDOW)
        self._loud = LoudKeys(identity, store, clock, self.hand)
        self._leases = Leases(identity, store, sender, clock, self.hand, definitions=definitions, settings=settings)
        self._crew = Crew(store, self.hand, processing.failing, self._leases.knows)
        self._serving = Runner(store, sender, processing, definitions, self.hand, clock=clock)
        self._runners = RunnerPool(self._serving.serve, settings.concurrency)
        self._committer = Committer(store, sender, clock, self._runners, settled=self._answered)
        self._progress, self._room = asyncio.Event(), asyncio.Event()
        self._settlement = Settlement(
            self.hand,
            self._committer,
            self._runners,
            processing,
            clock=clock,
            settled=self._settled,
        )
        self.suspects = self._make_suspects(settings.concurrency)
        self._serving.use(self._runners, self._committer, self._settlement, self.suspects)
        self._intake_task: asyncio.Task[None] | None = None
        self.beat = LoopBeat(self._runners)
        self._processing = processing

    def _make_suspects(self, concurrency: int) -> Suspects:
        return Suspects(
            self.hand,
            Marks(self.hand, self._store, self._sender),
            self._committer,
            self._runners,
            self._settlement,
            clock=self._clock,
            concurrency=concurrency,
            fenced=self._leases.expect_changes,
        )

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take lanes and begin to work."""
        self.beat.start()
        await self.renew_when_due()
        self._leases.keep()
        self._intake_task = asyncio.get_running_loop().create_task(self._intake(), name="sagabus-intake")

    async def stop(self, grace: float) -> None:
        """Take nothing new; let running handlers finish for `grace` seconds, then roll them back; commit what finished;
        release.

        Nothing of this counts as a failure of any message. Cancelled, it rolls back and gives up what has not ended,
        and releases all the same.
        """
        self._stopping = True
        self._serving.stopping = True
        self._runners.close()
        try:
            await self._finish(grace)
        except BaseException:
            try:
                await self.abandon()
            finally:  # be it cancelled once more
                await self._release(IN_HASTE)
            raise
        finally:
            self._stop_watching()
        await self._release(max(grace, IN_HASTE))

    async def _release(self, patience: float) -> None:
        """Not for ever: it may have to wait for what only other code can end."""
        try:
            async with asyncio.timeout(patience):
                await self._leases.release()
        except TimeoutError:
            log.warning("could not release lanes; they expire with the lease")
        except asyncio.CancelledError:
            if patience > IN_HASTE:
                await self._release(IN_HASTE)  # it may have been cancelled before its turn came
            raise

    async def _finish(self, grace: float) -> None:
        if self._intake_task is not None:
            self._intake_task.cancel()
            await asyncio.wait([self._intake_task])
        await self.suspects.stop(max(grace, IN_HASTE))
        tasks = self._runners.tasks
        if tasks:
            leaving = asyncio.get_running_loop().create_task(self._leave(), name="sagabus-leaving")
            try:
                _, late = await asyncio.wait(tasks, timeout=grace)
            finally:
                leaving.cancel()
                await asyncio.wait([leaving])
            await cancel(late)
        try:
            async with asyncio.timeout(max(grace, IN_HASTE)):
                await self._committer.drain()
        except TimeoutError:
            log.error("could not commit the last outcomes; their messages run again")
            await self._committer.stop()
        await self.suspects.take_back(max(grace, IN_HASTE))

    async def _leave(self) -> None:
        """While the last handlers finish: keep their lanes alive, and let others have all that fall idle."""
        kept: list[Lane] = []
        while lanes := self.hand.in_use():
            self._room.clear()
            if lanes != kept or self._leases.until_renewal() <= 0:
                kept = lanes
                try:
                    await self._leases.leave(lanes)
                except StoreError as error:
                    log.warning("could not hand over idle lanes: %s", error)
                    kept = []
            timer = self._clock.call_after(self._leases.until_renewal() if kept else _PAUSE_AFTER_ERROR, self._room.set)
            try:
                await self._room.wait()
            finally:
                timer.cancel()

    async def abandon(self) -> None:
        """Drop everything, as a killed process would: nothing is finished, committed or released."""
        self._stopping = self._serving.stopping = True
        self._leases.abandon()
        self._runners.close()
        tasks = set(self._runners.tasks)
        tasks.update(task for task in (self._intake_task, self.suspects.task) if task is not None)
        try:
            await cancel(tasks)
        finally:
            self._stop_watching()
            await self._committer.stop()

    def _stop_watching(self) -> None:
        self.beat.stop()
        self._processing.limits.close()
        self._processing.threads.close()

    def health(self) -> Health:
        """What keeps it from its work."""
        threads = self._processing.threads
        return Health(reasons=(threads.exhausted,) if threads.is_exhausted else (), abandoned_threads=threads.abandoned)

    @property
    def settled(self) -> bool:
        """Nothing is in flight, and nothing is on its way into the store."""
        return not self.hand.envelopes and not self._committer.busy

    @property
    def quiet(self) -> bool:
        """Settled, and not about to take something in."""
        return self.settled and not self._busy_intake

    async def progress(self, timeout: float) -> None:
        """Wait until something has been settled or fetched, at most `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._progress.wait()
        except TimeoutError:
            return
        # Not before the wait: what happened while the caller looked elsewhere is not to be missed.
        self._progress.clear()

    # --- intake -------------------------------------------------------------------------------------------------------

    async def _intake(self) -> None:
        pause = 0.0
        while not self._stopping:
            try:
                wait = await self._take_in()
                self._note_progress()
                if wait > 0:
                    await self._pause(wait)
            except Exception as error:
                pause = min(pause * 2, _LONGEST_PAUSE) or _PAUSE_AFTER_ERROR
                if isinstance(error, StoreError):
                    log.error("cannot fetch, trying again in %.2g s: %s", pause, error)
                else:
                    log.exception("fetching met an error; it continues in %.2g s", pause)
                self._note_progress()
                await sleep(self._clock, pause)  # not `changed`: it may wake at once, from a store that is not there
            else:
                pause = 0.0

    def _note_progress(self) -> None:
        self._busy_intake = False
        self._progress.set()

    async def _pause(self, wait: float) -> None:
        """Until there may be something to fetch, or room for it again."""
        if not self._full:
            await self._store.changed(wait)
            return
        timer = self._clock.call_after(wait, self._room.set)
        try:
            await self._room.wait()
        finally:
            timer.cancel()

    async def _take_in(self) -> float:
        """One round of leasing and fetching; how long to wait for the next, at most."""
        self._busy_intake = True
        await self.renew_when_due()
        self._room.clear()
        if not await self._loud.notice():
            self._leases.refresh = True
            return 0.0
        cursors, sifts = self.hand.hungry(), self._loud.due()
        # Without any lane there is nothing that could be settled: only the store can bring news then.
        self._full = not cursors and not sifts and bool(self.hand.lanes)
        if self._full:
            return self._until_next(inf)
        due = await self._fetch(cursors) if cursors or not sifts else inf
        for sift in sifts:
            due = min(due, await self._sift(sift))
        self.hand.tidy()
        if (wait := self._until_next(due)) <= 0:
            await asyncio.sleep(0)
            self._full = not self.hand.hungry() and not self._loud.due()
            return self._until_next(inf) if self._full else 0.0
        return 0.0 if self._leases.refresh else wait

    def _until_next(self, due: float) -> float:
        """Seconds from now: what a fetch took of the time until something is due is not waited for once more."""
        return min(due - self._clock.monotonic(), self._leases.until_renewal(), self._loud.until_due())

    async def _fetch(self, cursors: Sequence[Cursor]) -> float:
        """One round of all lanes without loud keys; the moment of the next, at the latest."""
        limit, began = self.hand.page(self.hand.lane_window // 2), self._clock.monotonic()
        fetched = await self._asked(self._store.fetch(cursors, limit))
        self._leases.note_crew(fetched.crew)
        envelopes, may_have_more = self.hand.go_on(cursors, fetched.envelopes, limit, self._clock.monotonic())
        await self._hand_out(envelopes, fetched)
        return began if may_have_more else began + _until(fetched)

    async def _sift(self, sift: Sift) -> float:
        """One round of a loud key, or of a lane past its loud keys; the moment of the next."""
        if (sift.channel, sift.lane) not in self.hand.lanes:
            return -inf  # lost meanwhile
        limit, began = self.hand.page(self._loud.limit(sift)), self._clock.monotonic()
        fetched = await self._asked(self._store.sift(sift, limit))
        await self._hand_out(self._loud.came(sift, limit, fetched, began), fetched)
        return began if len(fetched.envelopes) >= limit else began + _until(fetched)

    async def _asked(self, fetch: Awaitable[Fetched]) -> Fetched:
        self.hand.fetches += 1
        self.hand.fetching = True
        self.hand.settled.clear()
        self.hand.restarted.clear()
        try:
            hit("fetch.before_fetch")
            fetched = await fetch
            hit("fetch.fetched")
        finally:
            self.hand.fetching = False
        self.hand.note_page(fetched.envelopes)
        return fetched

    async def _hand_out(self, envelopes: Sequence[Envelope], fetched: Fetched) -> None:
        await self.dispatch(self.hand.fresh(envelopes), fetched.loaded)

    async def dispatch(self, envelopes: Sequence[Envelope], loaded: Iterable[tuple[str, Loaded]] = ()) -> None:
        """Put envelopes into the mailboxes of their keys, with the state they need, and have them served."""
        filled: list[Mailbox] = []
        number, take, mailbox_of = self.hand.fetches, self.hand.take, self.hand.mailbox
        for stored in envelopes:
            if stored.partition_key is not None:
                envelope, mailbox = stored, mailbox_of(stored)
            else:
                envelope, mailbox = self._without_key(stored)
            if mailbox.held or (envelope.due_at == 0 and mailbox.is_ahead_of(number)):
                continue
            take(envelope, mailbox)
            mailbox.queue.append(envelope)
            filled.append(mailbox)
        try:
            await self._load([m for m in filled if m.cell is None and not m.active and not m.unflushed], loaded)
            hit("fetch.loaded")
        except StoreError as error:
            log.warning("cannot load ahead of the handlers: %s", error)
        finally:
            # In any case, since they are in flight: the runner of a mailbox without its state loads the state first.
            self._runners.offer_all(filled)
        hit("fetch.dispatched")

    def _without_key(self, envelope: Envelope) -> tuple[Envelope, Mailbox]:
        try:
            envelope = with_key(self.hand.definition(envelope.channel), envelope, self._codec)
        except Exception as error:  # noqa: BLE001  # raised again, and handled, when the message runs
            log.debug("%s: no key for %s: %s", envelope.channel, envelope.message_id, error)
        mailbox = self.hand.mailbox(envelope)
        mailbox.has_stored_key = False
        return envelope, mailbox

    async def _load(self, mailboxes: Sequence[Mailbox], loaded: Iterable[tuple[str, Loaded]]) -> None:
        wanted: dict[str, dict[str, Mailbox]] = {}
        for mailbox in mailboxes:
            if mailbox.definition.has_instances and mailbox.key is not None:
                wanted.setdefault(mailbox.place[0], {})[mailbox.key] = mailbox
        for saga, found in loaded:
            if found.key in wanted.get(saga, ()):
                wanted[saga].pop(found.key).cell = BelievedState.of(found.instance, list(found.stashed))
        for saga, by_key in wanted.items():
            for found in await self._store.load(saga, list(by_key)) if by_key else ():
                mailbox = by_key[found.key]
                if mailbox.cell is None and not mailbox.unflushed:
                    mailbox.cell = BelievedState.of(found.instance, list(found.stashed))

    async def renew_when_due(self) -> None:
        """Renew the leases when it is time, or when a commit or a fetch has said that they moved."""
        if self._leases.are_due:
            self._committer.withdraw(await self._leases.renew())
            self.suspects.check_lanes()
            await self._crew.look()

    def _answered(self, answers: Sequence[tuple[Entry, Settled]]) -> None:
        self._settlement.settle(answers)

    def _settled(self, has_moved: bool) -> None:  # noqa: FBT001  # a callback's
        if has_moved:
            self._leases.refresh = True
        self._room.set()
        self._progress.set()
        self.suspects.look()


def _until(fetched: Fetched) -> float:
    """Seconds until something is due."""
    return inf if fetched.next_due_in is None else max(fetched.next_due_in / 1_000_000, 0.001)
