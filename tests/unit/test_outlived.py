"""What becomes of a death that was counted before a run, when the worker has outlived that run."""

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any, cast

from msgspec.structs import replace
from tests.support.subscription import SUBSCRIPTION, stored

from sagabus.engine.flush import Entry
from sagabus.engine.in_flight import InFlight, Mark
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.observers import Observers
from sagabus.engine.settlement import Settlement
from sagabus.envelope import Cause, Envelope
from sagabus.outcome import DeadLettered, Outcome, Settled, Verdict
from sagabus.store import Lane
from sagabus.testing import ManualClock


class Gathered:
    """A committer that keeps what it is given."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def add(self, mailbox: Mailbox, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def withdraw(self, mailboxes: Collection[Mailbox]) -> dict[Mailbox, list[Envelope]]:
        return {mailbox: [] for mailbox in mailboxes}


def test_however_often_its_commit_is_refused_one_death_is_taken_back() -> None:
    hand, committer, runners = InFlight({"taker": SUBSCRIPTION}, 8), Gathered(), cast(Any, None)
    processing = cast(Any, SimpleNamespace(observers=Observers()))
    settlement = Settlement(
        hand, cast(Any, committer), runners, processing, clock=ManualClock(), settled=lambda has_moved: None
    )
    hand.own([Lane("taker", 0, epoch=1, suspect_until=10)])
    marked = replace(stored(1), deaths=2)
    mailbox = hand.mailbox(marked)
    hand.take(marked, mailbox)
    hand.marked[1] = Mark(marked, 1)

    settlement.finish(mailbox, DeadLettered(envelope=marked, cause=Cause.FAILED, reason="it failed"))
    for _ in range(3):
        settlement.settle([Entry(mailbox, committer.outcomes[-1], 1)], [Settled(Verdict.TOO_OLD)])

    assert [outcome.envelope.deaths for outcome in committer.outcomes] == [1] * 4
