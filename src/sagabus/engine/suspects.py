"""Messages that a worker had in flight when it died: each is counted before it runs again.

One of them may have killed the process (out of memory, a fault in native code), and no `except` will ever see that.
Counted first, it cannot go on for ever. After one death they run side by side, at most `concurrency` at a time. What
more deaths are counted of runs alone, so that it harms no neighbour.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import chain, islice, takewhile, zip_longest
from math import inf

from sagabus.clock import Clock, sleep
from sagabus.engine.committer import Committer
from sagabus.engine.health import Health
from sagabus.engine.in_flight import InFlight
from sagabus.engine.leases import Leases
from sagabus.engine.lifecycle import BackgroundTask
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.marks import Chosen, Marks
from sagabus.engine.runner_pool import RunnerPool
from sagabus.envelope import Envelope
from sagabus.errors import StoreError
from sagabus.outcome import Verdict

log = logging.getLogger("sagabus")

_PAUSE_AFTER_ERROR = 0.5
_LOOK = 1.0
"""Seconds until a change is seen that nothing has signalled."""
_LONGEST_DRAIN = 10.0
"""Seconds that a lone run waits for what runs already: one handler that hangs must not stop all others for good."""


class Suspects:
    """Decides which messages may begin: a runner asks before each one, and what has to wait is offered again."""

    watching = False
    """Some lane was a dead worker's. Before that there is nothing to ask."""

    def __init__(
        self,
        hand: InFlight,
        marks: Marks,
        committer: Committer,
        runners: RunnerPool,
        leases: Leases,
        *,
        clock: Clock,
        concurrency: int,
    ) -> None:
        self._hand, self._marks = hand, marks
        self._committer, self._runners, self._leases = committer, runners, leases
        self._clock = clock
        self._concurrency = concurrency
        self._waiting: dict[Mailbox, None] = {}
        self._lone: dict[Mailbox, None] = {}
        """Of those that wait, the ones whose next message has to run alone."""
        self._alone: Chosen | None = None
        """It runs alone or is about to: nothing else begins."""
        self._rests_until = -inf
        """No lone run begins before: everything else has as long as the last one took."""
        self._changed = committer.listen()
        self._stopping = False
        self._task = BackgroundTask("sagabus-suspects", "runs nothing that a dead worker had in flight", returns=True)

    @property
    def at_work(self) -> bool:
        """Whether it looks after some now."""
        return self._task.runs

    @property
    def waiting(self) -> int:
        """How many keys have a message that may not begin yet."""
        return len(self._waiting.keys() | self._lone.keys())

    # --- the gate -----------------------------------------------------------------------------------------------------

    def hold_back(self, mailbox: Mailbox) -> bool:
        """Whether the next message of a mailbox may not begin yet; the mailbox is offered again when it may."""
        if self._alone is None:
            waits = not self._may_begin(mailbox)
        else:
            waits = mailbox is not self._alone.mailbox or not self._is_due(self._alone) or not self._may_begin(mailbox)
        if waits:
            self._waiting[mailbox] = None
            self.look()
        return waits

    def look(self) -> None:
        """Something has changed: a run has ended, a message waits, lanes have come or gone."""
        if self._stopping or not self._has_work:
            return
        self._changed.set()
        self._task.start(self._work)

    def check_lanes(self) -> None:
        """Take note of the lanes that are owned now."""
        self._marks.check_lanes()
        self.watching = self._alone is not None or any(held.has_suspects for held in self._hand.lanes.values())
        self.look()

    async def start(self) -> None:
        """Nothing runs until something is suspect."""

    async def stop(self, grace: float) -> None:
        """Mark nothing more, and take the marks back of what has not begun: this worker does not die over it."""
        self._stopping = True
        self._changed.set()
        await self._task.stop(grace)
        await self.take_back(grace)

    def abandon(self) -> set[asyncio.Task[None]]:
        """Mark nothing more; what the caller has to cancel."""
        return self._task.give_up()

    def health(self) -> Health:
        """Whether it looks after them."""
        return self._task.health()

    async def take_back(self, patience: float) -> None:
        """Take the marks back of what does not run."""
        try:
            async with asyncio.timeout(patience):
                await self._marks.take_back()
        except TimeoutError:
            log.warning("could not take back the deaths of messages that this worker did not run; they stay counted")

    # --- who is next --------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        if self._waiting:
            log.warning(
                "messages were in flight in a worker that died or stood still: each death is counted before the run"
            )
        while not self._stopping and self._has_work:
            self._changed.clear()
            try:
                wait = await self._step()
            except StoreError as error:
                log.warning("cannot count the deaths of suspect messages, trying again: %s", error)
                await sleep(self._clock, _PAUSE_AFTER_ERROR)
            except Exception:
                log.exception("marking suspects met an error; it continues in %.2g s", _PAUSE_AFTER_ERROR)
                await sleep(self._clock, _PAUSE_AFTER_ERROR)
            else:
                await self._pause(wait)

    @property
    def _has_work(self) -> bool:
        return bool(self._waiting or self._lone or self._marks.orphaned)

    async def _step(self) -> float:
        """Mark what may begin now; how long to wait for the next look, at most."""
        if self._marks.orphaned:
            await self._marks.take_back_orphans()
        if group := self._group():
            log.debug("counting a death of %d suspect messages before they run", len(group))
            await self._mark(group)
            return 0
        if not self._lone:
            return inf
        if (left := self._rests_until - self._clock.monotonic()) > 0:
            return left
        if (chosen := self._next_alone()) is not None:
            await self._run_alone(chosen)
        return 0

    def _group(self) -> list[Chosen]:
        """The next to run side by side, as far as there is room: one of each key, then more of each."""
        room = self._concurrency - sum(map(self._marks.is_to_run, self._hand.marked))
        found: list[Mailbox] = []
        while self._waiting and len(found) < room:
            mailbox = next(iter(self._waiting))
            del self._waiting[mailbox]
            self._bury_killers(mailbox)
            if not mailbox.queue:
                continue
            if self._may_begin(mailbox):
                self._runners.offer(mailbox)
            elif _has_to_be_alone(mailbox, mailbox.queue[0]):
                self._lone[mailbox] = None
            else:
                found.append(mailbox)
        columns = [self._side_by_side(mailbox) for mailbox in found]
        rows = chain.from_iterable(zip_longest(*columns))
        return list(islice((chosen for chosen in rows if chosen is not None), max(room, 0)))

    def _side_by_side(self, mailbox: Mailbox) -> list[Chosen]:
        def can_be(envelope: Envelope) -> bool:
            return (
                self._hand.is_suspect(envelope)
                and envelope.position not in self._hand.marked
                and not _has_to_be_alone(mailbox, envelope)
            )

        return [Chosen(mailbox, envelope) for envelope in takewhile(can_be, mailbox.queue)]

    def _may_begin(self, mailbox: Mailbox) -> bool:
        envelope = mailbox.queue[0]
        if envelope.position in self._hand.marked or not self._hand.is_suspect(envelope):
            return True
        return self._marks.settle_doubt(mailbox, envelope)

    def _bury_killers(self, mailbox: Mailbox) -> None:
        """Dead letters of those that have had all their deaths."""
        limit = mailbox.definition.retry.deaths
        while mailbox.queue and not self._may_begin(mailbox) and mailbox.queue[0].deaths + 1 >= limit:
            self._committer.bury_killer(mailbox, mailbox.take_out_first())

    def _next_alone(self) -> Chosen | None:
        while self._lone:
            mailbox = next(iter(self._lone))
            del self._lone[mailbox]
            if mailbox.queue and not self._may_begin(mailbox) and _has_to_be_alone(mailbox, mailbox.queue[0]):
                return Chosen(mailbox, mailbox.queue[0])
            if mailbox.queue:
                self._waiting[mailbox] = None
        return None

    # --- marking and running ------------------------------------------------------------------------------------------

    async def _mark(self, chosen: Sequence[Chosen]) -> None:
        """Count a death of each, then let them begin."""
        mailboxes = dict.fromkeys(each.mailbox for each in chosen)
        try:
            answers = await self._marks.write(chosen)
        except BaseException:
            self._waiting = {**mailboxes, **self._waiting}
            raise
        for each, answer in zip(chosen, answers, strict=True):
            if answer.verdict is Verdict.FENCED:
                self._leases.expect_changes()
            if answer.verdict is not Verdict.COMMITTED:
                self._fetch_again(each.mailbox)
        for mailbox in mailboxes:
            if mailbox.queue:
                self._runners.offer(mailbox)

    def _fetch_again(self, mailbox: Mailbox) -> None:
        """Its next message is not what the store holds: all that waits of its key comes again, in order."""
        self._hand.fetch_again(mailbox)

    async def _run_alone(self, chosen: Chosen) -> None:
        envelope = chosen.envelope
        began = self._clock.monotonic()
        self._alone = chosen
        log.warning(
            "%s: %s %s was in flight when its worker died or stood still, %d times: it runs alone now",
            *(envelope.channel, envelope.message_type, envelope.message_id, envelope.deaths + 1),
        )
        try:
            await self._until(self._is_quiet, _LONGEST_DRAIN)
            if self._is_next(chosen) and not self._stopping:
                await self._mark([chosen])
                await self._until(lambda: self._hand.envelopes.get(envelope.position) is not chosen.mailbox)
        finally:
            self._alone = None
            now = self._clock.monotonic()
            self._rests_until = now + (now - began)
            if chosen.mailbox.queue:
                self._waiting[chosen.mailbox] = None
            self._let_begin()

    def _let_begin(self) -> None:
        """What waited for the lone run only."""
        for mailbox in list(self._waiting):
            if not mailbox.queue or self._may_begin(mailbox):
                del self._waiting[mailbox]
                if mailbox.queue:
                    self._runners.offer(mailbox)

    def _is_due(self, chosen: Chosen) -> bool:
        """Whether it waits, first or behind a message of its key that came back: that one runs first, or none would."""
        return any(envelope.position == chosen.envelope.position for envelope in chosen.mailbox.queue)

    def _is_next(self, chosen: Chosen) -> bool:
        mailbox, position = chosen.mailbox, chosen.envelope.position
        return (
            self._hand.envelopes.get(position) is mailbox
            and bool(mailbox.queue)
            and mailbox.queue[0].position == position
        )

    def _is_quiet(self) -> bool:
        return not self._runners.busy and not self._committer.busy

    async def _until(self, condition: Callable[[], bool], at_most: float = inf) -> None:
        end = self._clock.monotonic() + at_most
        while not condition() and not self._stopping and (left := end - self._clock.monotonic()) > 0:
            self._changed.clear()
            await self._pause(left)

    async def _pause(self, seconds: float) -> None:
        """Until something changes, at most so long."""
        if seconds <= 0:
            return
        timer = self._clock.call_after(min(seconds, _LOOK), self._changed.set)
        try:
            async with asyncio.timeout(_LOOK):
                await self._changed.wait()
        except TimeoutError:
            return
        finally:
            timer.cancel()


def _has_to_be_alone(mailbox: Mailbox, envelope: Envelope) -> bool:
    return envelope.deaths + 1 >= mailbox.definition.retry.alone_from
