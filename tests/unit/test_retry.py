"""The policy of values: backoff, rules by class, attempts."""

import sqlite3
from datetime import timedelta

import pytest

from sagabus.errors import ConfigurationError, MessageInvalid, StoreBusy, StoreCorrupt
from sagabus.retry import Exponential, Linear, RetryPolicy, Rule, is_transient, leaves

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("backoff", "seconds"),
    [
        (Exponential(), [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]),
        (Exponential(first=2 * SECOND, factor=1.5, cap=5 * SECOND), [2, 3, 4.5, 5]),
        (Exponential(first=SECOND, factor=1, cap=SECOND), [1, 1, 1]),
        (Linear(first=SECOND, step=3 * SECOND, cap=8 * SECOND), [1, 4, 7, 8, 8]),
        (Linear(first=SECOND, step=timedelta(0)), [1, 1]),
    ],
)
def test_ceilings_grow_to_their_cap(backoff: Exponential | Linear, seconds: list[float]) -> None:
    assert [backoff.ceiling(n) / 1e6 for n in range(1, len(seconds) + 1)] == seconds


def test_the_millionth_attempt_overflows_nothing() -> None:
    assert Exponential().ceiling(1_000_000) == 300_000_000
    assert Linear().ceiling(10**12) == 300_000_000


def test_jitter_is_full() -> None:
    policy = RetryPolicy()

    assert [policy.delay(3, fraction) for fraction in (0.0, 0.25, 0.5)] == [0, 1_000_000, 2_000_000]
    assert RetryPolicy(jitter=False).delay(3, 0.0) == 4_000_000


def test_the_nearest_class_decides() -> None:
    policy = RetryPolicy(rules={Exception: Rule.DISCARD, LookupError: Rule.RETRY, KeyError: Rule.DEAD_LETTER})

    assert policy.rule_for(ValueError()) is Rule.DISCARD
    assert policy.rule_for(IndexError()) is Rule.RETRY
    assert policy.rule_for(KeyError()) is Rule.DEAD_LETTER


def test_what_can_never_succeed_is_dead_at_once_unless_a_rule_says_otherwise() -> None:
    error = MessageInvalid("m", "field", "no")

    assert RetryPolicy().rule_for(error) is Rule.DEAD_LETTER
    assert RetryPolicy().rule_for(ConfigurationError("x")) is Rule.DEAD_LETTER
    assert RetryPolicy(rules={MessageInvalid: Rule.RETRY}).rule_for(error) is Rule.RETRY


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        ([IndexError(), ValueError()], Rule.RETRY),
        ([IndexError(), KeyError(), ValueError()], Rule.DEAD_LETTER),
        ([IndexError(), IndexError()], Rule.DISCARD),
        ([ExceptionGroup("inner", [KeyError()]), IndexError()], Rule.DEAD_LETTER),
    ],
)
def test_of_a_group_the_most_final_rule_counts(members: list[Exception], rule: Rule) -> None:
    policy = RetryPolicy(rules={IndexError: Rule.DISCARD, KeyError: Rule.DEAD_LETTER})

    assert policy.rule_for(ExceptionGroup("group", members)) is rule


def test_transient_errors_get_more_attempts() -> None:
    policy = RetryPolicy(attempts=2, transient_attempts=7)

    assert policy.attempts_for(ValueError()) == 2
    assert policy.attempts_for(TimeoutError()) == 7
    assert policy.attempts_for(ExceptionGroup("g", [TimeoutError(), ConnectionResetError()])) == 7
    assert policy.attempts_for(ExceptionGroup("g", [TimeoutError(), ValueError()])) == 2
    assert RetryPolicy(attempts=9, transient_attempts=3).attempts_for(TimeoutError()) == 9


def locked() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


def busy_with_an_extended_code() -> sqlite3.OperationalError:
    error = locked()
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY | (2 << 8)
    return error


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (BlockingIOError(), True),
        (StoreBusy(), True),
        (locked(), True),
        (busy_with_an_extended_code(), True),
        (StoreCorrupt(), False),
        (sqlite3.OperationalError("made by hand"), False),
        (sqlite3.IntegrityError("unique"), False),
        (OSError("disk"), False),
        (ValueError("timeout"), False),
    ],
    ids=repr,
)
def test_transient_is_what_waiting_may_cure(error: BaseException, transient: bool) -> None:
    assert is_transient(error) is transient


def test_leaves_of_nested_groups() -> None:
    a, b, c = ValueError("a"), KeyError("b"), KeyboardInterrupt()
    group = BaseExceptionGroup("outer", [a, BaseExceptionGroup("inner", [b, c])])

    assert list(leaves(group)) == [a, b, c]
    assert list(leaves(a)) == [a]


def test_every_wrong_number_is_listed() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RetryPolicy(attempts=0, transient_attempts=-1)

    assert len(caught.value.problems) == 2
