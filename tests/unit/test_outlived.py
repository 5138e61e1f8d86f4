"""What becomes of a death that was counted before a run, when the worker has outlived that run."""

from types import SimpleNamespace
from typing import Any, cast

from msgspec.structs import replace
from tests.support.subscription import SUBSCRIPTION, stored

from sagabus.engine.flush import Entry
from sagabus.engine.in_flight import InFlight, Mark
from sagabus.engine.observers import Observers
from sagabus.engine.settlement import Settlement
from sagabus.envelope import Cause
from sagabus.outcome import DeadLettered, Settled, Verdict
from sagabus.store import Lane


def test_however_often_its_commit_is_refused_one_death_is_taken_back() -> None:
    hand = InFlight({"taker": SUBSCRIPTION}, 8)
    settlement = Settlement(hand, cast(Any, SimpleNamespace(observers=Observers())))
    hand.own([Lane("taker", 0, epoch=1, suspect_until=10)])
    marked = replace(stored(1), deaths=2)
    mailbox = hand.mailbox(marked)
    hand.take(marked, mailbox)
    mailbox.begin_next()
    hand.mark(Mark(marked, 1))

    failed = DeadLettered(envelope=marked, cause=Cause.FAILED, reason="it failed")
    outcomes = [settlement.prepared(mailbox, failed)]
    for _ in range(3):
        aftermath = settlement.settle([Entry(mailbox, outcomes[-1], 1)], [Settled(Verdict.TOO_OLD)])
        outcomes += [settlement.prepared(*each) for each in aftermath.instead]

    assert [outcome.envelope.deaths for outcome in outcomes] == [1] * 4
