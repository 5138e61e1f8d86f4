"""The policy of values: backoff, rules by class, attempts."""

from datetime import timedelta
from typing import Any

import pytest

from sagabus.clock import LONGEST, micros
from sagabus.errors import ConfigurationError, MessageInvalid
from sagabus.policies.retry import Exponential, Linear, RetryPolicy, Rule, leaves

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


def test_a_group_is_transient_if_all_of_it_is() -> None:
    policy = RetryPolicy(transient=(KeyError,))

    assert policy.is_transient(ExceptionGroup("g", [TimeoutError(), KeyError(), ConnectionResetError()]))
    assert not policy.is_transient(ExceptionGroup("g", [TimeoutError(), ValueError()]))


def test_leaves_of_nested_groups() -> None:
    a, b, c = ValueError("a"), KeyError("b"), KeyboardInterrupt()
    group = BaseExceptionGroup("outer", [a, BaseExceptionGroup("inner", [b, c])])

    assert list(leaves(group)) == [a, b, c]
    assert list(leaves(a)) == [a]


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"transient_for": timedelta(seconds=-1)},
        {"deaths": 1},
        {"transient": TimeoutError},
        {"transient": "stripe.APIConnectionError"},
        {"transient": ("TimeoutError",)},
        {"transient": (int,)},
    ],
    ids=str,
)
def test_what_no_policy_can_mean_is_refused_by_its_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"RetryPolicy.{next(iter(wrong))}"):
        RetryPolicy(**wrong)


@pytest.mark.parametrize(("deaths", "alone_from"), [(2, 1), (3, 2), (9, 2)])
def test_nothing_is_dead_by_deaths_that_has_not_run_alone(deaths: int, alone_from: int) -> None:
    assert RetryPolicy(deaths=deaths).alone_from == alone_from


def test_every_wrong_number_is_listed() -> None:
    with pytest.raises(ConfigurationError) as caught:
        RetryPolicy(attempts=0, transient_for=timedelta(days=-1), transient=("x",))

    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("wrong", [timedelta(-1), timedelta.max, 5])
@pytest.mark.parametrize(("backoff", "name"), [(Exponential, "first"), (Exponential, "cap"), (Linear, "step")])
def test_a_wait_that_no_store_can_hold_is_refused(backoff: type[Exponential | Linear], name: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        backoff(**{name: wrong})


@pytest.mark.parametrize(("ceiling", "kept"), [(-5, 0), (2**70, micros(LONGEST)), (float("inf"), micros(LONGEST))])
def test_a_backoff_of_the_users_never_gives_what_no_store_can_hold(ceiling: Any, kept: int) -> None:
    class Odd:
        def ceiling(self, attempt: int) -> int:
            wait: int = ceiling
            return wait

    assert RetryPolicy(backoff=Odd(), jitter=False).delay(1, 0.5) == kept
