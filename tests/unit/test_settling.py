"""What a flush costs in statements: whoever is at fault pays, and the others still go together."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import apsw

from sagabus.envelope import Envelope
from sagabus.outcome import Completed, Effects, Settled, Verdict
from sagabus.store import Batch
from sagabus.stores.sql import appending, leasing, settling
from sagabus.stores.sql.asking import Answer, Ask, AskUser, Steps, drive
from sagabus.stores.sqlite import schema
from sagabus.stores.sqlite.sets import Executor
from sagabus.stores.sqlite.statements import STATEMENTS

NOW = 1_000_000
LANES = 4
MANY = 100


def stored() -> tuple[Callable[[Steps[Any]], Any], Counter[str], list[Envelope]]:
    """A database with many messages in a few lanes, who runs logic on it, and how often it was asked what."""
    connection = apsw.Connection(":memory:")
    schema.migrate(connection, "memory", NOW)
    execute = Executor(connection, STATEMENTS)
    asked: Counter[str] = Counter()

    def answer(ask: Ask | AskUser) -> Answer:
        asked[ask.name if isinstance(ask, Ask) else "user"] += 1
        return execute(ask)

    def run(steps: Steps[Any]) -> Any:
        with connection:
            return drive(steps, answer)

    given = [
        Envelope(message_id=f"m{n}", message_type="t", body=b"{}", channel="c", lane=n % LANES, partition_key=f"k{n}")
        for n in range(MANY)
    ]
    run(leasing.add_lanes("c", LANES))
    run(appending.insert(given, NOW))
    found = execute(Ask("ready", (MANY,), [("c", lane, 0) for lane in range(LANES)])).rows
    positions = {row[4]: row[0] for row in found}
    asked.clear()
    return run, asked, [_at(envelope, positions[envelope.message_id]) for envelope in given]


def _at(envelope: Envelope, position: int) -> Envelope:
    return Envelope(**{name: getattr(envelope, name) for name in envelope.__struct_fields__} | {"position": position})


def settled(run: Callable[[Steps[Any]], Any], envelopes: list[Envelope], *, lost: int) -> list[Settled]:
    """The answers to the completion of all of them, by a worker that has lost one lane meanwhile."""
    epochs = {("c", lane): 0 if lane != lost else 7 for lane in range(LANES)}
    outcomes = [Completed(envelope, Effects()) for envelope in envelopes]
    answers: list[Settled] = run(settling.settle(Batch(outcomes, 1, epochs), NOW, lambda _: None))
    return answers


def test_what_is_left_of_a_flush_whose_lane_was_lost_commits_together() -> None:
    run, asked, envelopes = stored()

    answers = settled(run, envelopes, lost=2)

    assert [answer.verdict for answer in answers] == [
        Verdict.FENCED if envelope.lane == 2 else Verdict.COMMITTED for envelope in envelopes
    ]
    assert asked["remove"] == 1
    assert asked.total() < 10


def test_of_messages_in_a_lost_lane_those_that_are_gone_are_told_so() -> None:
    run, asked, envelopes = stored()
    settled(run, [envelope for envelope in envelopes if envelope.lane == 2], lost=-1)
    asked.clear()

    answers = settled(run, envelopes, lost=2)

    assert Counter(answer.verdict for answer in answers) == {
        Verdict.GONE: MANY // LANES,
        Verdict.COMMITTED: MANY - MANY // LANES,
    }
    assert asked["which_stored"] == 1
