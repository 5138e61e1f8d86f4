"""What a flush costs in statements: whoever is at fault pays, and the others still go together."""

from collections import Counter

import msgspec
import pytest
from tests.support.statement_counter import StatementCounter

from sagabus.envelope import Envelope
from sagabus.outcome import Completed, Effects, Save, Settled, Verdict
from sagabus.store import Batch
from sagabus.stores.sql import appending, leasing, settling
from sagabus.stores.sql.steps import Query

NOW = 1_000_000
LANES = 4
MANY = 100


def stored() -> tuple[StatementCounter, list[Envelope]]:
    """Many messages in a few lanes."""
    counter = StatementCounter()
    given = [
        Envelope(message_id=f"m{n}", message_type="t", body=b"{}", channel="c", lane=n % LANES, partition_key=f"k{n}")
        for n in range(MANY)
    ]
    counter.run(leasing.add_lanes("c", LANES))
    counter.run(appending.insert(given, NOW))
    found = counter.answer(Query("ready", (MANY,), [("c", lane, 0) for lane in range(LANES)])).rows
    positions = {row[4]: row[0] for row in found}
    counter.asked.clear()
    return counter, [msgspec.structs.replace(e, position=positions[e.message_id]) for e in given]


def settled(counter: StatementCounter, envelopes: list[Envelope], *, lost: int) -> list[Settled]:
    """The answers to the completion of all of them, by a worker that has lost one lane meanwhile."""
    epochs = {("c", lane): 0 if lane != lost else 7 for lane in range(LANES)}
    outcomes = [Completed(envelope, Effects()) for envelope in envelopes]
    return counter.run(settling.settle(Batch(outcomes, 1, epochs), lambda: NOW, lambda _: None))


def test_what_is_left_of_a_flush_whose_lane_was_lost_commits_together() -> None:
    counter, envelopes = stored()

    answers = settled(counter, envelopes, lost=2)

    assert [answer.verdict for answer in answers] == [
        Verdict.FENCED if envelope.lane == 2 else Verdict.COMMITTED for envelope in envelopes
    ]
    assert counter.asked["remove"] == 1
    assert counter.asked.total() < 10


@pytest.mark.parametrize("recorded", [False, True])
def test_a_history_is_one_statement_and_without_one_there_is_none(recorded: bool) -> None:
    counter, envelopes = stored()
    state = Save(saga="c", key="", base=0, state=b"{}", status=None, timers={}, completed=False, recorded=recorded)
    saves = [msgspec.structs.replace(state, key=str(each.partition_key)) for each in envelopes]
    outcomes = [Completed(each, Effects(save=save)) for each, save in zip(envelopes, saves, strict=True)]

    counter.run(settling.settle(Batch(outcomes, 1, {}), lambda: NOW, lambda _: None))

    assert counter.asked["create_instances"] == 1
    assert counter.asked["record_history"] == int(recorded)


def test_of_messages_in_a_lost_lane_those_that_are_gone_are_answered_so() -> None:
    counter, envelopes = stored()
    settled(counter, [envelope for envelope in envelopes if envelope.lane == 2], lost=-1)
    counter.asked.clear()

    answers = settled(counter, envelopes, lost=2)

    assert Counter(answer.verdict for answer in answers) == {
        Verdict.GONE: MANY // LANES,
        Verdict.COMMITTED: MANY - MANY // LANES,
    }
    assert counter.asked["which_stored"] == 1
