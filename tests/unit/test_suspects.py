"""The gate of a lone run: what of its key may begin, and what has to wait."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

from sagabus import Bus, event, handler
from sagabus.engine.in_flight import InFlight
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.marks import Chosen
from sagabus.engine.suspects import Suspects
from sagabus.envelope import Envelope
from sagabus.outcome import Settled, Verdict
from sagabus.refs import LaneRef
from sagabus.store import Lane
from sagabus.testing import ManualClock


@event("suspects.noted")
class Noted:
    key: str


@handler("notes", key="key")
def note(message: Noted) -> None: ...


def envelope(position: int) -> Envelope:
    return Envelope(
        message_id=f"m{position}", message_type="suspects.noted", body=b"{}", channel="notes", position=position
    )


class Gate:
    """A worker's gate during a lone run, with nothing behind it that runs or commits."""

    def __init__(self) -> None:
        (definition,) = Bus("memory:", note).definitions
        self.hand = InFlight({"notes": definition}, 8)
        self.hand.own([Lane("notes", 0, epoch=1, suspect_until=10)])
        self.mailbox = Mailbox(definition, "A", LaneRef("notes", 0), 1)
        parts: Any = (self.hand, None, Idle(), None, None)
        self.suspects = Suspects(*parts, clock=ManualClock(), concurrency=4)
        self.suspects.watching = True

    async def holds_back(self, *queue: Envelope, alone: Envelope, marked: tuple[int, ...]) -> bool:
        for envelope in queue:
            self.mailbox.wait(envelope)
        self.hand.envelopes.update((each.position, self.mailbox) for each in queue)
        self.hand.marked.update(dict.fromkeys(marked, cast(Any, None)))
        self.suspects._alone = Chosen(self.mailbox, alone)
        self.suspects._stopping = True  # so that nothing but the gate moves
        return self.suspects.hold_back(self.mailbox)


def test_a_message_that_came_back_before_the_lone_one_runs_first() -> None:
    assert not asyncio.run(Gate().holds_back(envelope(1), envelope(2), alone=envelope(2), marked=(1, 2)))


def test_the_lone_one_itself_begins() -> None:
    assert not asyncio.run(Gate().holds_back(envelope(2), alone=envelope(2), marked=(2,)))


def test_what_follows_the_lone_one_waits_until_that_is_committed() -> None:
    assert asyncio.run(Gate().holds_back(envelope(3), alone=envelope(2), marked=(2, 3)))


def test_a_message_of_another_key_waits() -> None:
    gate = Gate()
    other = Mailbox(gate.mailbox.definition, "B", LaneRef("notes", 0), 1)
    other.wait(envelope(4))

    asyncio.run(gate.holds_back(envelope(2), alone=envelope(2), marked=(2, 4)))

    assert gate.suspects.hold_back(other)


class Idle:
    """A committer with nothing to do."""

    busy = False

    def listen(self) -> asyncio.Event:
        return asyncio.Event()


class Busy:
    """A pool of runners with a handler that hangs; what it is offered has run at once."""

    busy = True

    def __init__(self, hand: InFlight) -> None:
        self._hand = hand
        self.offered: list[int] = []

    def offer(self, mailbox: Mailbox) -> None:
        first = mailbox.take_out_first()
        self.offered.append(first.position)
        self._hand.put_down(first, mailbox)


class Marking:
    """Counts each death that it is to count."""

    orphaned = ()

    async def write(self, chosen: Sequence[Chosen]) -> list[Settled]:
        return [Settled(Verdict.COMMITTED) for _ in chosen]


class Lone:
    """A message that has to run alone, while another handler runs."""

    def __init__(self) -> None:
        (definition,) = Bus("memory:", note).definitions
        self.clock = ManualClock()
        hand = InFlight({"notes": definition}, 8)
        hand.own([Lane("notes", 0, epoch=1, suspect_until=10)])
        self.runners = Busy(hand)
        parts: Any = (hand, Marking(), Idle(), self.runners, None)
        self.suspects = Suspects(*parts, clock=self.clock, concurrency=4)
        mailbox = hand.mailbox(envelope(2))
        hand.take(envelope(2), mailbox)
        self.chosen = Chosen(mailbox, envelope(2))

    async def begins_after(self, ends: int | None = None) -> int:
        """How many seconds pass until it begins; the other handler ends after so many, or never."""
        run = asyncio.get_running_loop().create_task(self.suspects._run_alone(self.chosen))
        for seconds in range(60):
            self.runners.busy = seconds != ends
            for _ in range(10):
                await asyncio.sleep(0)
            if self.runners.offered:
                await run
                return seconds
            self.clock.advance(timedelta(seconds=1))
        raise AssertionError("it did not begin")


def test_a_lone_run_waits_for_what_runs_already() -> None:
    assert asyncio.run(Lone().begins_after(ends=3)) == 3


def test_a_lone_run_begins_after_ten_seconds_whatever_hangs() -> None:
    assert asyncio.run(Lone().begins_after()) == 10
