"""Retries: durable delays, counted attempts, rules by the class of the error."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Flaky, Noted

from sagabus import Context, Exponential, Linear, RetryPolicy, Rule, handler

SECOND = timedelta(seconds=1)
MANY = timedelta(days=1)


def failing(*errors: BaseException | None, policy: RetryPolicy | None = None) -> tuple[Any, Flaky]:
    flaky = Flaky(*errors)

    @handler("flaky", retry=policy)
    async def run(message: Noted) -> None:
        flaky()

    return run, flaky


async def test_it_runs_again_after_its_wait_and_not_before(harness: MakeHarness) -> None:
    run, flaky = failing(ValueError("once"), ValueError("twice"))
    async with harness(run) as bus:
        await bus.publish(Noted(key="A"))
        seen = [flaky.runs]
        for wait in (0.9, 0.2, 1.8, 0.2):
            await bus.advance(wait * SECOND)
            seen.append(flaky.runs)

        assert seen == [1, 1, 2, 2, 3]
        assert bus.bus.statistics == {("flaky", "retried"): 2, ("flaky", "completed"): 1}


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [
        (Exponential(first=SECOND, factor=3, cap=10 * SECOND), [1, 3, 9, 10, 10]),
        (Linear(first=2 * SECOND, step=5 * SECOND, cap=15 * SECOND), [2, 7, 12, 15, 15]),
    ],
)
async def test_waits_grow_up_to_their_cap(harness: MakeHarness, backoff: Any, waits: list[int]) -> None:
    policy = RetryPolicy(attempts=6, backoff=backoff, jitter=False)
    run, flaky = failing(*[ValueError()] * 5, policy=policy)
    async with harness(run) as bus:
        await bus.publish(Noted(key="A"))
        for number, wait in enumerate(waits, start=1):
            await bus.advance(wait * SECOND - timedelta(milliseconds=10))
            assert flaky.runs == number
            await bus.advance(timedelta(milliseconds=10))
            assert flaky.runs == number + 1


async def test_after_its_attempts_it_is_held_with_the_whole_story(harness: MakeHarness) -> None:
    secret = "4242"
    run, flaky = failing(*[ValueError(f"no {n}") for n in range(9)], policy=RetryPolicy(attempts=3))
    async with harness(run) as bus:
        await bus.publish(Noted(key="A", text=secret), message_id="m1")
        begun = bus.clock.now()
        await bus.advance(MANY)

        (letter,) = await bus.dead_letters(run)
        assert flaky.runs == letter.attempts == 3
        assert (letter.envelope.message_id, letter.error_type, letter.error_text) == ("m1", "ValueError", "no 2")
        assert letter.reason.startswith("failed")
        assert letter.reason.endswith("ValueError: no 2")
        assert letter.first_failed_at == begun
        assert begun + 2_900_000 <= letter.last_failed_at <= begun + 3_100_000
        assert "in run" in (letter.traceback or "")
        assert secret not in (letter.traceback or "")


async def test_attempts_survive_the_worker(harness: MakeHarness) -> None:
    run, flaky = failing(*[ValueError()] * 9, policy=RetryPolicy(attempts=3, jitter=False))
    async with harness(run) as bus:
        await bus.publish(Noted(key="A"))
        await bus.bus.close()
        await bus.bus.open()
        await bus.advance(SECOND)
        await bus.bus.close()
        await bus.bus.open()
        await bus.advance(MANY)

        (letter,) = await bus.dead_letters()
        assert flaky.runs == letter.attempts == 3


RULES: list[tuple[BaseException, int, int]] = [
    (LookupError("base class of the rule below"), 3, 1),
    (KeyError("its own rule"), 1, 1),
    (IndexError("discarded"), 1, 0),
    (ExceptionGroup("worst of", [IndexError(), KeyError()]), 1, 1),
    (ExceptionGroup("worst of", [IndexError(), ExceptionGroup("nested", [ValueError()])]), 3, 1),
    (ExceptionGroup("not all transient", [TimeoutError(), ValueError()]), 3, 1),
    (KeyboardInterrupt(), 3, 1),
    (SystemExit(1), 3, 1),
    (GeneratorExit(), 3, 1),
    (BaseExceptionGroup("mixed", [KeyboardInterrupt(), ValueError()]), 3, 1),
]


@pytest.mark.parametrize(("error", "runs", "dead"), RULES, ids=lambda value: type(value).__name__)
@pytest.mark.share(2)
async def test_rules_go_by_type(harness: MakeHarness, error: BaseException, runs: int, dead: int) -> None:
    rules = {KeyError: Rule.DEAD_LETTER, IndexError: Rule.DISCARD, LookupError: Rule.RETRY}
    policy = RetryPolicy(attempts=3, rules=rules)
    run, flaky = failing(*[error] * 20, policy=policy)
    async with harness(run) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(MANY)

        assert flaky.runs == runs
        assert len(await bus.dead_letters()) == dead
        assert bus.bus.statistics["flaky", "discarded"] == 1 - dead


HOUR = timedelta(hours=1)


class TimeoutException(Exception):
    """What the client derives its time-outs from."""

    __module__ = "httpx"


READ_TIMEOUT = type("ReadTimeout", (TimeoutException,), {"__module__": "httpx"})
OUTAGES: list[BaseException] = [
    ConnectionRefusedError("down"),
    READ_TIMEOUT("down"),
    ExceptionGroup("all of them", [TimeoutError(), READ_TIMEOUT()]),
]


@pytest.mark.parametrize("error", OUTAGES, ids=repr)
@pytest.mark.share(2)
async def test_the_default_policy_rides_out_an_hours_outage(harness: MakeHarness, error: BaseException) -> None:
    run, flaky = failing(*[error] * 1_000)
    async with harness(run) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(HOUR)
        tried, dead = flaky.runs, await bus.dead_letters()
        flaky.errors.clear()
        await bus.advance(timedelta(minutes=5))

        assert dead == []
        assert 12 < tried < 120
        assert bus.bus.statistics["flaky", "completed"] == 1


async def test_what_does_not_come_back_within_the_budget_is_dead(harness: MakeHarness) -> None:
    run, _ = failing(*[TimeoutError("down")] * 1_000, policy=RetryPolicy(transient_for=HOUR))
    async with harness(run) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(HOUR)
        within = await bus.dead_letters()
        await bus.advance(HOUR / 2)

        (letter,) = await bus.dead_letters()
        assert within == []
        assert letter.reason.startswith("failed for 1:")
        assert letter.last_failed_at - (letter.first_failed_at or 0) > 3_600_000_000


async def test_other_failures_keep_their_attempts_after_an_outage(harness: MakeHarness) -> None:
    errors = [ConnectionError("down")] * 20 + [ValueError("a bug")] * 20
    run, flaky = failing(*errors, policy=RetryPolicy(attempts=3, jitter=False))
    async with harness(run) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(MANY)

        (letter,) = await bus.dead_letters()
        assert (flaky.runs, letter.attempts) == (23, 23)
        assert letter.reason.startswith("failed 3 times")


async def test_a_handler_sees_that_a_transient_failure_was_a_run(harness: MakeHarness) -> None:
    """One that waits for its second run to do something else would otherwise never get there."""
    attempts: list[int] = []

    @handler("eager")
    def run(message: Noted, ctx: Context) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt < 4:
            raise ConnectionError

    async with harness(run) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(HOUR)

        assert attempts == [1, 2, 3, 4]


async def test_without_a_budget_a_transient_failure_counts_like_any_other(harness: MakeHarness) -> None:
    run, flaky = failing(*[TimeoutError()] * 9, policy=RetryPolicy(attempts=3, transient_for=timedelta(0)))
    async with harness(run) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(MANY)

        (letter,) = await bus.dead_letters()
        assert (flaky.runs, letter.attempts) == (3, 3)


@pytest.mark.parametrize("named", [LookupError, "builtins.LookupError"])
async def test_a_policy_can_name_more_that_waiting_may_cure(harness: MakeHarness, named: type[BaseException]) -> None:
    run, flaky = failing(*[KeyError("busy")] * 9, policy=RetryPolicy(attempts=1, transient=(named,)))
    async with harness(run) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(HOUR)

        assert flaky.runs == 10
        assert await bus.dead_letters() == []


async def test_a_handler_that_cancels_itself_is_not_counted(harness: MakeHarness) -> None:
    run, flaky = failing(*[asyncio.CancelledError()] * 20, policy=RetryPolicy(attempts=2))
    async with harness(run) as bus:
        await bus.publish(Noted(key="A"))
        await bus.advance(60 * SECOND)

        assert flaky.runs == 21
        assert await bus.dead_letters() == []


@pytest.mark.parametrize("reaction", [KeyboardInterrupt, SystemExit])
async def test_the_bus_goes_on(harness: MakeHarness, reaction: type[BaseException]) -> None:
    run, flaky = failing(reaction())
    async with harness(run) as bus:
        await bus.bus.publish_many([Noted(key="A"), Noted(key="B"), Noted(key="C")])
        await bus.idle()

        assert flaky.runs == 3
        assert bus.bus.statistics["flaky", "completed"] == 2


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "make", [Unprintable, lambda: ValueError("\udc80 half a pair \0"), lambda: ValueError("x" * 100_000)]
)
async def test_errors_with_hostile_texts_are_stored(harness: MakeHarness, make: Callable[[], Exception]) -> None:
    run, _ = failing(*[make()] * 5, policy=RetryPolicy(attempts=1))
    async with harness(run) as bus:
        await bus.publish(Noted(key="A"))

        (letter,) = await bus.dead_letters()
        assert len(letter.reason) <= 2_100
