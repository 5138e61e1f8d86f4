"""A worker's leases: which lanes it owns, for how long, and how much of each it may have in flight."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from math import inf

from sagabus.clock import Clock, SystemClock
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.saga import SagaDefinition
from sagabus.engine.health import Health
from sagabus.engine.in_flight import InFlight
from sagabus.engine.knowledge import known_types
from sagabus.engine.lifecycle import IN_HASTE
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.reactions import longest_limit
from sagabus.engine.renewal import RenewalThread
from sagabus.engine.routing import LiveRouting
from sagabus.errors import StoreError
from sagabus.failpoint import hit
from sagabus.settings import Settings
from sagabus.store import Lane, Leasing

log = logging.getLogger("sagabus")

SMALLEST_WINDOW = 4
_LONGEST_RENEWAL = 1.0
"""So the lanes of a worker that died go on soon after its lease has ended."""
_LONGEST_BLOCK = 600.0
"""Seconds that an event loop may be blocked before its lanes go to others, where no run has a time limit."""
_THREAD_PATIENCE = 1.0
"""How many seconds the end waits for a running renewal. A later one is harmless, since it takes no lane."""
_RELEASES = 3
"""Tries, for a worker that stops waits for no database to come back."""
_AT_ONCE = 1.0
"""Seconds. A database that takes longer to fail does not hear."""
_PATIENCE = 6.0
"""Seconds: everybody's longest pause after an error, and a renewal."""


class Leases:
    """Takes, renews, hands over and gives back the lanes of one worker."""

    refresh = False
    """Lanes or subscriptions have changed: lease again at once."""
    _crew: int | None = None
    _looks_again = False
    """The next renewal asks for the routing as one after `refresh` does, but is not sooner for it."""
    _cut_off = False
    _patient_until = -inf
    _renewed: float | None = None
    _thread: RenewalThread | None = None

    def __init__(
        self,
        identity: str,
        store: Leasing,
        routing: LiveRouting,
        clock: Clock,
        hand: InFlight,
        *,
        definitions: Mapping[str, HandlerDefinition | SagaDefinition],
        settings: Settings,
    ) -> None:
        self._identity, self._store, self._routing, self._clock = identity, store, routing, clock
        self._hand = hand
        self.knows = {channel: known_types(definition) for channel, definition in definitions.items()}
        """The message types that this worker knows, by channel."""
        self._longest_run = longest_limit(definitions.values(), settings.timeout, _LONGEST_BLOCK)
        """Seconds that a handler may keep the event loop to itself before the lanes go to others."""
        self._duration = settings.lease.total_seconds()
        self._renewal = min(self._duration / 3, _LONGEST_RENEWAL)
        self._prefetch = settings.prefetch

    async def start(self) -> None:
        """Have a thread renew the leases whenever the event loop cannot. A clock moved by hand moves no thread."""
        if self._thread is None and isinstance(self._clock, SystemClock):
            limit = max(self._longest_run, 2 * self._duration)
            keeper = self._store.keeper()
            self._thread = RenewalThread(self._identity, keeper, self._clock, lease=self._duration, limit=limit)
            await self._thread.start()

    async def stop(self, grace: float) -> None:
        """Give all back. Not for ever: it may have to wait for what only other code can end."""
        try:
            async with asyncio.timeout(grace):
                await self.release()
        except TimeoutError:
            log.warning("could not release lanes; they expire with the lease")
        except asyncio.CancelledError:
            if grace > IN_HASTE:
                await self.stop(IN_HASTE)  # it may have been cancelled before its turn came
            raise

    def health(self) -> Health:
        """Whether a thread keeps them while the event loop cannot."""
        return Health() if self._thread is None else self._thread.health()

    def abandon(self) -> None:
        """Renew no more, as a killed process would not."""
        if self._thread is not None:
            self._thread.abandon()

    @property
    def are_due(self) -> bool:
        """Whether to renew now."""
        return self.refresh or self.until_renewal() <= 0

    def until_renewal(self) -> float:
        """Seconds."""
        if self._renewed is None:
            return 0.0
        return max(self._renewed + self._renewal - self._clock.monotonic(), 0.0)

    def expect_changes(self) -> None:
        """A commit said that lanes have moved: lease again at the next round."""
        self.refresh = True

    def paused(self) -> frozenset[str]:
        """The channels that are paused, as of the last look at the routing."""
        return self._routing.paused

    def look_again(self) -> None:
        """The next renewal asks for the routing: a worker that fetches nothing hears of no change otherwise."""
        self._looks_again = True

    def note_crew(self, crew: int | None) -> None:
        """Lease again at the next round if workers came or went, or lanes are free."""
        if crew is not None and crew != self._crew:
            # The first number hides what others have changed since this worker came. That can wait for the next
            # renewal, or all workers that begin together would lease twice.
            self.refresh, self._looks_again = self.refresh or self._crew is not None, True
            self._crew = crew

    async def renew(self) -> list[Mailbox]:
        """Renew, share out and take over; the mailboxes of lanes that were lost, which are dropped."""
        # What is said from here on is for the next time: the store may have been asked already.
        again, self.refresh = self.refresh or self._looks_again, False
        try:
            lanes = await self._lease(again=again)
        except BaseException as error:
            self.refresh = self.refresh or again
            self._cut_off = self._cut_off or isinstance(error, StoreError)
            raise
        hit("lease.taken")
        self._cut_off = self._looks_again = False
        lost = self._hand.own(lanes)
        # Whatever became free behind a cursor unheard is seen again at this pace.
        self._hand.rescan_in_time()
        return lost

    async def leave(self, keeping: Sequence[Lane]) -> None:
        """Give back all lanes but some, which are renewed."""
        self._renewed = begun = self._clock.monotonic()
        await self._store.leave(self._identity, keeping, **self._terms(self._hand.lane_window))
        self._note_renewal(begun)

    async def release(self) -> None:
        """Give all back. What fails at once is repeated at once: it may have been no more than a lost connection."""
        if self._thread is not None:
            await self._thread.stop(_THREAD_PATIENCE)
        begun, failed = self._clock.monotonic(), 0
        while True:
            try:
                hit("release.before")
                await self._store.release(self._identity)
                hit("release.after")
            except StoreError as error:
                failed += 1
                if failed < _RELEASES and self._clock.monotonic() - begun < _AT_ONCE:
                    continue
                log.warning("could not release lanes; they expire with the lease: %s", error)
            return

    async def _lease(self, *, again: bool) -> Sequence[Lane]:
        begun = self._clock.monotonic()
        if again:
            # Lanes are shared again, or subscriptions have changed: a process that sends nothing would never learn of
            # these.
            await self._routing.refresh(self._store)
        # The window in the store must be true before the worker fetches more, and as long as that is in flight.
        window = max(SMALLEST_WINDOW, self._prefetch // (self._hand.most_lanes() or self._routing.table.lanes))
        self._hand.narrow(window)
        patient = self._is_patient(begun)
        lanes = await self._store.lease(
            self._identity, tuple(self.knows), **self._terms(window), patient=patient, knows=self.knows
        )
        self._hand.widen(window)
        if self._clock.monotonic() - begun > self._duration / 2:
            self._patient_until = self._clock.monotonic() + _PATIENCE
        self._note_renewal(begun)
        return lanes

    def _note_renewal(self, moment: float) -> None:
        self._renewed = moment
        if self._thread is not None:
            self._thread.note(moment)

    def _terms(self, window: int) -> dict[str, int]:
        """`window`: the maximum in flight per lane from now on. What there is counts too: should this worker die, all
        of it is suspect.
        """
        return {"duration": int(self._duration * 1_000_000), "window": max(window, self._hand.fullest())}

    def _is_patient(self, moment: float) -> bool:
        """A worker that could not renew for longer than a lease was cut off from the store, and the others may have
        been too. They have time to come back, before it takes their lanes and their in-flight messages become suspect.
        An event loop that was blocked knows it by its thread: a handler may have kept the whole file to itself.
        """
        is_cut_off = self._cut_off or (self._thread is not None and self._thread.is_cut_off)
        if is_cut_off and self._renewed is not None and moment - self._renewed > self._duration:
            self._patient_until = moment + _PATIENCE
        return moment < self._patient_until
