"""The worker: makes the parts between the store and your handlers, starts them, and stops them within the grace period.

The middle of a message's way: store → `intake` → mailbox → `runner` → `processing` → `committer` → store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from sagabus.clock import Clock
from sagabus.codec import Codec
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.saga import SagaDefinition
from sagabus.engine.committer import Committer
from sagabus.engine.crew import Crew
from sagabus.engine.health import Health
from sagabus.engine.in_flight import InFlight
from sagabus.engine.intake import PAUSE_AFTER_ERROR, Intake
from sagabus.engine.journal import Journal
from sagabus.engine.leases import SMALLEST_WINDOW, Leases
from sagabus.engine.lifecycle import IN_HASTE, joined
from sagabus.engine.loop_beat import LoopBeat
from sagabus.engine.loud_keys import LoudKeys
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.marks import Marks
from sagabus.engine.processing import Processing
from sagabus.engine.routing import LiveRouting
from sagabus.engine.run_notes import RunNotes
from sagabus.engine.runner import Runner
from sagabus.engine.runner_pool import RunnerPool, cancel
from sagabus.engine.settlement import Settlement
from sagabus.engine.suspects import Suspects
from sagabus.errors import StoreError
from sagabus.settings import Settings
from sagabus.store import Lane, Queue

log = logging.getLogger("sagabus")


class Serving(Protocol):
    """Takes mailboxes; see `RunnerPool.start`."""

    def serve(self, mailbox: Mailbox) -> Awaitable[None] | None:
        """Begin what waits in a mailbox."""
        ...


class Worker:
    """Runs the definitions' handlers on what their channels hold. One per bus; its identity is new at every start."""

    name = "worker"
    _started = _stopping = False

    def __init__(
        self,
        identity: str,
        store: Queue,
        routing: LiveRouting,
        codec: Codec,
        *,
        clock: Clock,
        processing: Processing,
        definitions: Mapping[str, HandlerDefinition | SagaDefinition],
        settings: Settings,
        serving: Callable[[Runner, RunnerPool], Serving] = lambda runner, _: runner,
    ) -> None:
        """`serving`: what takes messages in place of the runner, which serves what that does not take."""
        self.identity = identity
        self._store, self._routing, self._clock = store, routing, clock
        self.hand = InFlight.of(definitions, settings, SMALLEST_WINDOW)
        self._leases = Leases(identity, store, routing, clock, self.hand, definitions=definitions, settings=settings)
        self._runners = RunnerPool(settings.concurrency)
        self._committer = self._make_committer(processing, definitions, Journal.of(identity, settings, definitions))
        self.suspects = Suspects(
            self.hand,
            Marks(self.hand, store, routing),
            self._committer,
            self._runners,
            self._leases,
            clock=clock,
            concurrency=settings.concurrency,
        )
        self._runner = self._make_runner(processing, definitions)
        self._serving = serving(self._runner, self._runners)
        self.intake = self._make_intake(codec, processing)
        self.beat = LoopBeat(self._runners)
        self._processing = processing

    def _make_committer(
        self,
        processing: Processing,
        definitions: Mapping[str, HandlerDefinition | SagaDefinition],
        journal: Journal | None,
    ) -> Committer:
        sagas = frozenset(name for name, each in definitions.items() if isinstance(each, SagaDefinition))
        return Committer(
            self._store,
            self._routing,
            self._clock,
            self._runners,
            settlement=Settlement(self.hand, processing, sagas),
            leases=self._leases,
            journal=journal,
        )

    def _make_runner(
        self, processing: Processing, definitions: Mapping[str, HandlerDefinition | SagaDefinition]
    ) -> Runner:
        return Runner(
            self._store,
            self._routing,
            processing,
            definitions,
            self.hand,
            clock=self._clock,
            runners=self._runners,
            committer=self._committer,
            gate=self.suspects,
        )

    def _make_intake(self, codec: Codec, processing: Processing) -> Intake:
        crew = Crew(self._store, self.hand, processing.failing, self._leases.knows)
        notes = RunNotes(self.identity, self._store, self._clock, processing.limits)
        return Intake(
            self._store,
            codec,
            self._clock,
            self.hand,
            self._leases,
            loud=LoudKeys(self.identity, self._store, self._clock, self.hand),
            then=(crew.look, notes.note),
            runners=self._runners,
            committer=self._committer,
            suspects=self.suspects,
        )

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take lanes and begin to work."""
        if self._started:
            return
        self._started = True
        await self.beat.start()
        if not self._stopping:
            self._runners.start(self._serving.serve)
        await self.intake.start()
        if self._stopping:
            await self._leases.stop(IN_HASTE)  # of what was leased meanwhile
        else:
            await self._leases.start()

    async def stop(self, grace: float) -> None:
        """Take nothing new; let running handlers finish for `grace` seconds, then roll them back; commit what finished;
        release.

        Nothing of this counts as a failure of any message. Cancelled, it rolls back and gives up what has not ended,
        and releases all the same.
        """
        self._stopping = self._runner.stopping = True
        self._runners.close()
        try:
            await self._finish(grace)
        except BaseException:
            try:
                await self.abandon()
            finally:  # be it cancelled once more
                await self._leases.stop(IN_HASTE)
            raise
        finally:
            await self._stop_watching()
        await self._leases.stop(max(grace, IN_HASTE))

    async def _finish(self, grace: float) -> None:
        await self.intake.stop(0.0)
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
        await self._committer.stop(max(grace, IN_HASTE))
        await self.suspects.take_back(max(grace, IN_HASTE))

    async def _leave(self) -> None:
        """While the last handlers finish: keep their lanes alive, and let others have all that fall idle."""
        kept: list[Lane] = []
        while lanes := self.hand.in_use():
            self.intake.room.clear()
            if lanes != kept or self._leases.until_renewal() <= 0:
                kept = lanes
                try:
                    await self._leases.leave(lanes)
                except StoreError as error:
                    log.warning("could not hand over idle lanes: %s", error)
                    kept = []
            await self.intake.room_or(self._leases.until_renewal() if kept else PAUSE_AFTER_ERROR)

    async def abandon(self) -> None:
        """Drop everything, as a killed process would: nothing is finished, committed or released."""
        self._stopping = self._runner.stopping = True
        self._leases.abandon()
        self._runners.close()
        try:
            await cancel(self._runners.tasks | self.intake.abandon() | self.suspects.abandon())
        finally:
            await self._stop_watching()
            await self._committer.stop(0.0)

    async def _stop_watching(self) -> None:
        await self.beat.stop(0.0)
        self._processing.limits.close()
        self._processing.threads.close()

    def health(self) -> Health:
        """What keeps it from its work."""
        of_runs = (self._processing.threads, self._processing.limits)
        parts = (self.intake, self.suspects, self._committer, self._leases, self.beat, *of_runs)
        return joined(part.health() for part in parts)

    @property
    def settled(self) -> bool:
        """Nothing is in flight, and nothing is on its way into the store."""
        return not self.hand.envelopes and not self._committer.busy

    @property
    def quiet(self) -> bool:
        """Settled, and not about to take something in."""
        return self.settled and not self.intake.busy

    async def progress(self, timeout: float) -> None:
        """Wait until something has been settled or fetched, at most `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self.intake.progress.wait()
        except TimeoutError:
            return
        # Not before the wait: what happened while the caller looked elsewhere is not to be missed.
        self.intake.progress.clear()
