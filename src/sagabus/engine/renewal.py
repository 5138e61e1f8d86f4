"""The thread that keeps a worker's leases while its event loop cannot: a handler computes, or one connection is silent.

At rest it does nothing but look at the time of the last renewal. It keeps no lane for ever: it gives up a loop that has
not renewed for `limit` seconds. Other workers take its lanes when their lease has ended.
"""

from __future__ import annotations

import logging
from math import inf

from sagabus.clock import Clock
from sagabus.engine.health import Health
from sagabus.engine.lifecycle import BackgroundThread
from sagabus.errors import StoreError
from sagabus.store.keeper import Keeper

log = logging.getLogger("sagabus")

_SHORTEST_TRY, _LONGEST_TRY = 1.0, 5.0
_SHORTEST_PAUSE = 0.01


class RenewalThread:
    """Renews for `worker` whenever its event loop has not done so for half a lease. One per worker."""

    def __init__(self, worker: str, keeper: Keeper, clock: Clock, *, lease: float, limit: float) -> None:
        self._worker, self._keeper, self._clock = worker, keeper, clock
        self._lease = lease
        self._limit = limit
        self._renewed = -inf
        """When the event loop renewed last."""
        self._tried = -inf
        """When this thread did, or tried to."""
        self._pause = 0.0
        self._is_reported = self._is_given_up = False
        self._asked: float | None = None
        """Since when the store has not answered this thread; it may have said no."""
        self._thread = BackgroundThread("sagabus-leases", "loses its lanes when its event loop is blocked")
        self.renewals = 0
        """How often this thread has renewed, because the event loop had not."""

    @property
    def has_given_up(self) -> bool:
        """Whether the event loop has been away for longer than the limit, and is no longer waited for."""
        return self._is_given_up

    @property
    def is_cut_off(self) -> bool:
        """Whether this thread cannot renew, since the event loop last did. Then other workers cannot, either."""
        return self._asked is not None and self._clock.monotonic() - self._asked > self._lease / 4

    async def start(self) -> None:
        """Begin to watch; the leases have just been renewed."""
        self.note(self._clock.monotonic())
        self._thread.start(self._work)

    def note(self, moment: float) -> None:
        """The event loop has renewed all leases, by a call that it began at that moment."""
        self._renewed, self._asked = moment, None
        self._is_reported = self._is_given_up = False

    async def stop(self, grace: float) -> None:
        """Renew no more. Waits for a renewal that is under way, at most `grace` seconds."""
        await self._thread.stop(grace)

    def abandon(self) -> None:
        """Renew no more, as if the process had been killed."""
        self._thread.abandon()

    def health(self) -> Health:
        """Whether it watches."""
        return self._thread.health()

    def until_due(self) -> float:
        """Seconds until there may be something to do."""
        due = max(self._renewed + self._lease / 2, self._tried + self._pause)
        return max(due - self._clock.monotonic(), _SHORTEST_PAUSE)

    def renew_when_due(self) -> None:
        """Renew if the event loop has not, and has not been away for too long."""
        now = self._clock.monotonic()
        away = now - self._renewed
        if away < self._lease / 2 or now - self._tried < self._pause:
            return
        self._tried, self._pause = now, self._lease / 4
        if away > self._limit:
            self._give_up(away)
            return
        self._asked = now if self._asked is None else self._asked
        try:
            within = min(max(self._lease / 4, _SHORTEST_TRY), _LONGEST_TRY)
            self._keeper.renew(self._worker, duration=int(self._lease * 1_000_000), within=within)
            self.renewals, self._asked = self.renewals + 1, None
        except StoreError as error:
            self._pause = self._lease / 20
            self._report("the event loop has not renewed the leases in time, and the renewing thread cannot: %s", error)

    def _give_up(self, away: float) -> None:
        if not self._is_given_up:
            self._is_given_up = True
            log.error(
                "worker %s: its event loop was blocked, or could not renew its leases, for %.0f s: other workers take "
                "its lanes. Run handlers that compute or block with @handler(thread=True)",
                *(self._worker, away),
            )

    def _report(self, text: str, *values: object) -> None:
        if not self._is_reported:
            self._is_reported = True
            log.warning(text, *values)

    def _work(self) -> None:
        try:
            while self._thread.rest(self.until_due()):
                try:
                    self.renew_when_due()
                except Exception:
                    log.exception("the thread that renews leases met an error and continues")
        finally:
            self._keeper.close()
