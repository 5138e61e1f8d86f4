"""What is counted against a message when its run ends badly, and what is not."""

from datetime import timedelta

import pytest
from msgspec import structs

from sagabus import Bus, RetryPolicy, StoreError, StoreFull, StoreReadOnly, StoreUnavailable, event, handler
from sagabus.clock import SystemClock
from sagabus.engine.recoverability import Recoverability
from sagabus.envelope import Cause, Envelope
from sagabus.errors import MessageTooNew, StateTooNew, UnknownMessageType
from sagabus.identity import SystemIdentity
from sagabus.outcome import DeadLettered, RetryAt
from sagabus.testing import ManualClock


@event("failing.noted")
class Noted:
    number: int


@handler("taker", retry=RetryPolicy(attempts=1))
def take(message: Noted) -> None:
    pass


(DEFINITION,) = Bus("memory:", take).definitions
LOST = StoreUnavailable("lost")


def failing() -> Recoverability:
    clock = SystemClock()
    return Recoverability(SystemIdentity(clock), clock)


def envelope(position: int = 7, attempt: int = 0) -> Envelope:
    return Envelope(
        message_id="m", message_type="failing.noted", body=b"{}", channel="taker", position=position, attempt=attempt
    )


def test_a_lost_database_is_not_counted_but_not_for_ever() -> None:
    ours = failing()

    ends = [ours.failed(DEFINITION, envelope(), LOST, in_transaction=True) for _ in range(6)]

    assert [end.counted for end in ends if isinstance(end, RetryAt)] == [0] * 5
    assert isinstance(ends[5], DeadLettered)
    assert "6 times in a row" in ends[5].reason


def test_what_counts_once_in_a_while_starts_again_after_another_failure() -> None:
    ours = failing()
    for _ in range(5):
        ours.failed(DEFINITION, envelope(), LOST, in_transaction=True)

    ours.failed(DEFINITION, envelope(), ValueError())

    assert isinstance(ours.failed(DEFINITION, envelope(), LOST, in_transaction=True), RetryAt)


@pytest.mark.parametrize("error", [LOST, StoreFull("full"), StoreReadOnly("a standby")])
def test_another_store_that_a_handler_calls_is_a_dependency_like_all_others(error: StoreError) -> None:
    ours = failing()
    wrapped = ValueError("the other service")
    wrapped.__cause__ = error

    ends = [ours.failed(DEFINITION, envelope(attempt=50), each) for each in [error, wrapped] * 20]

    assert [end.excused for end in ends if isinstance(end, RetryAt)] == [True] * 40


@pytest.mark.parametrize("error", [StoreFull("full"), None])
def test_no_room_and_no_beginning_are_never_counted(error: StoreFull | None) -> None:
    ours = failing()

    ends = [ours.interrupted(DEFINITION, envelope(), error) for _ in range(50)]

    assert [end.counted for end in ends if isinstance(end, RetryAt)] == [0] * 50


def test_a_death_is_no_attempt_and_an_attempt_no_death() -> None:
    ours = failing()
    suspect = structs.replace(envelope(attempt=4), deaths=2)

    dead, failed = ours.died(DEFINITION, suspect), ours.failed(DEFINITION, suspect, ValueError())

    assert isinstance(dead, DeadLettered)
    assert (dead.cause, dead.envelope.attempt, dead.envelope.deaths) == (Cause.WORKER_DIED, 4, 3)
    assert "died 3 times" in dead.reason
    assert isinstance(failed, DeadLettered)
    assert (failed.cause, failed.envelope.deaths) == (Cause.FAILED, 2)


def test_a_long_outage_before_takes_nothing_from_the_hour_for_a_worker_that_knows_the_message() -> None:
    clock = ManualClock()
    ours = Recoverability(SystemIdentity(clock), clock)
    failed = structs.replace(envelope(attempt=9), failed_at=clock.now(), excused=9)
    clock.advance(timedelta(minutes=90))

    first = ours.unknown(DEFINITION, failed, UnknownMessageType("failing.noted"))
    ours.note_known({})
    clock.advance(timedelta(minutes=61))
    last = ours.unknown(DEFINITION, failed, UnknownMessageType("failing.noted"))

    assert isinstance(first, RetryAt)
    assert isinstance(last, DeadLettered)
    assert last.cause is Cause.UNKNOWN


def test_the_wait_for_a_worker_that_knows_the_message_takes_nothing_from_its_time_for_an_outage() -> None:
    clock = ManualClock()
    ours = Recoverability(SystemIdentity(clock), clock)
    waited = structs.replace(envelope(), failed_at=clock.now())
    clock.advance(timedelta(days=2))

    end = ours.failed(DEFINITION, waited, ConnectionError())

    assert isinstance(end, RetryAt)
    assert (end.counted, end.excused) == (1, True)


@pytest.mark.parametrize(
    ("error", "lacking"),
    [
        (MessageTooNew("failing.noted", 3, 1), "failing.noted version 3"),
        (StateTooNew("taker", "", "version 2"), "saga state version 2"),
        (UnknownMessageType("failing.noted"), "failing.noted"),
    ],
)
def test_what_a_live_worker_knows_waits_for_it_and_nothing_else_does(error: Exception, lacking: str) -> None:
    clock = ManualClock()
    ours = Recoverability(SystemIdentity(clock), clock)
    waiting = structs.replace(envelope(), failed_at=clock.now())
    clock.advance(timedelta(minutes=61))
    ours.unknown(DEFINITION, waiting, error)

    ours.note_known({"taker": frozenset({lacking})})
    known = ours.unknown(DEFINITION, waiting, error)
    ours.note_known({"taker": frozenset({"failing.noted", "saga state version 1"} - {lacking})})

    assert isinstance(known, RetryAt)
    assert isinstance(ours.unknown(DEFINITION, waiting, error), DeadLettered)
