"""Counting is exact whatever comes in one commit, and bounded whatever strangers send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagabus.clock import SECOND
from sagabus.envelope import Cause, Envelope
from sagabus.observer import Commit, Refused, Unheard
from sagabus.outcome import Completed, DeadLettered, Discarded, Effects, Failure, Outcome, RetryAt, Stashed, Verdict
from sagabus.telemetry import tally as tallies
from sagabus.telemetry.facts import CRITICAL_TIME, RUN_DURATION, Fact
from sagabus.telemetry.tally import Distribution, Tally

NOW = 1_000 * SECOND
FAILURE = Failure("ValueError", "no")


def envelope(name: str = "t", channel: str = "c", sent_at: int = NOW) -> Envelope:
    return Envelope(message_id="m", message_type=name, body=b"{}", channel=channel, sent_at=sent_at)


def empty(fact: Fact, labels: tuple[str, ...]) -> Distribution:
    return Distribution(fact.bounds)


def counting() -> Tally[Distribution]:
    return Tally(empty)


def counted(*outcomes: Outcome, took: float = 0.5, lost: tuple[Verdict, ...] = ()) -> Tally[Distribution]:
    tally = counting()
    refused = [(Completed(envelope(), Effects()), verdict) for verdict in lost]
    tally.committed(Commit(outcomes, refused, [took] * len(outcomes), 0.25), NOW)
    return tally


def test_each_result_is_counted_at_its_subscription_and_type() -> None:
    done = [Completed(envelope(name, channel), Effects()) for name in "ab" for channel in ("c", "d", "c")]
    tally = counted(*done, Stashed(envelope(), 1), Discarded(envelope(), "no"))

    assert tally.results() == {
        ("c", "a"): {"completed": 2},
        ("d", "a"): {"completed": 1},
        ("c", "b"): {"completed": 2},
        ("d", "b"): {"completed": 1},
        ("c", "t"): {"stashed": 1, "discarded": 1},
    }
    assert (tally.flushes.total, tally.commits.total) == (8, 0.25)


def test_what_failed_is_what_raised() -> None:
    tally = counted(
        RetryAt(envelope=envelope(), delay=1, failure=FAILURE),
        RetryAt(envelope=envelope(), delay=1, counted=0),
        DeadLettered(envelope=envelope(), reason="failed", cause=Cause.FAILED),
        DeadLettered(envelope=envelope(), reason="cannot succeed", cause=Cause.PERMANENT),
        DeadLettered(envelope=envelope(), reason="nobody knows it", cause=Cause.UNKNOWN),
    )

    assert tally.failures()["c", "t"] == 3
    assert tally.dead == {("c", "failed"): 1, ("c", "permanent"): 1, ("c", "unknown"): 1}


def test_lost_runs_are_counted_by_the_verdict_and_are_part_of_the_flush() -> None:
    tally = counted(Completed(envelope(), Effects()), lost=(Verdict.CONFLICT, Verdict.CONFLICT, Verdict.FENCED))

    assert tally.lost == {("c", "conflict"): 2, ("c", "fenced"): 1}
    assert tally.flushes.total == 4


@pytest.mark.parametrize(("sent_at", "seconds"), [(NOW - 3 * SECOND, 3.0), (NOW + SECOND, 0.0)])
def test_a_message_from_a_clock_ahead_has_waited_for_nothing(sent_at: int, seconds: float) -> None:
    tally = counted(Completed(envelope(sent_at=sent_at), Effects()))

    assert tally.durations(CRITICAL_TIME)["c", "t"].total == seconds


def test_what_is_no_effect_has_no_critical_time() -> None:
    tally = counted(RetryAt(envelope=envelope(sent_at=0), delay=1, failure=FAILURE))

    critical, runs = (tally.durations(fact)["c", "t"] for fact in (CRITICAL_TIME, RUN_DURATION))
    assert (sum(critical.classes), sum(runs.classes)) == (0, 1)


@pytest.mark.parametrize(("value", "place"), [(0.0, 0), (0.001, 0), (0.0011, 1), (600.0, 16), (601.0, 17)])
def test_a_value_is_in_the_class_whose_bound_it_does_not_exceed(value: float, place: int) -> None:
    distribution = Distribution(RUN_DURATION.bounds)
    distribution.add(value)

    assert distribution.classes.index(1) == place


@given(st.lists(st.sampled_from([0.0, 0.001, 0.0011, 0.5, 600.0, 601.0]) | st.floats(0, 1_000), max_size=200))
def test_many_values_at_once_are_counted_like_one_after_another(values: list[float]) -> None:
    one, all_at_once = Distribution(RUN_DURATION.bounds), Distribution(RUN_DURATION.bounds)
    for value in values:
        one.add(value)

    all_at_once.add_all(values)

    assert all_at_once.classes == one.classes
    assert all_at_once.total == pytest.approx(one.total)


def test_strangers_cannot_make_it_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "MOST_TYPES", 3)
    tally = counted(*(Completed(envelope(f"t{number}"), Effects()) for number in range(50)))

    found = tally.results()
    assert set(found) == {("c", "t0"), ("c", "t1"), ("c", "t2"), ("c", "other")}
    assert found["c", "other"] == {"completed": 47}


def test_unheard_types_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "MOST_TYPES", 2)
    tally = counting()
    for number in range(10):
        tally.not_heard(Unheard(f"t{number}", "m"))

    assert tally.unheard == {"t0": 1, "t1": 1, "other": 8}


@pytest.mark.parametrize("answer", ["collision", "too old", "damaged"])
def test_what_a_store_holds_instead_of_accepting_it_is_a_dead_letter(answer: str) -> None:
    tally = counting()
    tally.refuse(Refused("c", "t", "m", answer))  # type: ignore[arg-type]  # one of them after the other
    tally.refuse(Refused("c", "t", "m", "duplicate", reaction="log"))

    assert tally.dead == {("c", answer): 1}
    assert tally.refused == {("c", answer, ""): 1, ("c", "duplicate", "log"): 1}
