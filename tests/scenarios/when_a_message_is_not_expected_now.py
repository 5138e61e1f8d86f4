"""`when`: one status, several, or a predicate; and what becomes of the others."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Do, Ended, Noted

from sagabus import Saga, handles, starts

When = str | tuple[str, ...] | Callable[[Any], bool]


def door(when: When, policy: str = "dead-letter") -> Any:
    """A saga with a status, and a reaction that depends on it."""

    class Door(Saga, name="door", key="key", on_unexpected=policy):
        key: str
        status: Literal["closed", "ajar", "open"] = "closed"
        entered: int = 0

        @starts
        def built(self, message: Noted) -> None: ...

        @handles
        def moved(self, message: Do) -> None:
            self.status = ("closed", "ajar", "open")[message.number]

        @handles(when=when)
        def passed(self, message: Ended) -> None:
            self.entered += 1

    return Door


CASES: list[tuple[When, list[int]]] = [
    ("open", [0, 0, 1]),
    (("ajar", "open"), [0, 1, 1]),
    (lambda state: state.status != "ajar", [1, 0, 1]),
]


@pytest.mark.parametrize(("when", "expected"), CASES)
async def test_the_condition_decides(harness: MakeHarness, when: When, expected: list[int]) -> None:
    kind = door(when, "ignore")
    async with harness(kind) as bus:
        for status, passes in enumerate(expected):
            key = f"K{status}"
            await bus.bus.publish_many([Noted(key=key), Do(key=key, number=status), Ended(key=key)])
            await bus.idle()

            state = await bus.saga(kind, key)
            assert state is not None
            assert state.entered == passes


async def test_by_default_it_is_dead_lettered_with_the_status(harness: MakeHarness) -> None:
    kind = door("open")
    async with harness(kind) as bus:
        await bus.bus.publish_many([Noted(key="A"), Ended(key="A")])
        await bus.idle()

        (letter,) = await bus.dead_letters("door")
        assert letter.reason == "unexpected: shop.ended has no reaction in status 'closed'"


async def test_stashed_it_runs_when_the_status_has_changed(harness: MakeHarness) -> None:
    kind = door("open", "stash")
    async with harness(kind) as bus:
        await bus.bus.publish_many([Noted(key="A"), Ended(key="A"), Ended(key="A")])
        await bus.idle()
        before = await bus.saga(kind, "A")
        await bus.publish(Do(key="A", number=2))
        after = await bus.saga(kind, "A")

        assert before is not None
        assert after is not None
        assert (before.entered, after.entered) == (0, 2)


async def test_stashed_it_is_dead_when_the_status_never_changes(harness: MakeHarness) -> None:
    kind = door("open", "stash")
    async with harness(kind) as bus:
        await bus.bus.publish_many([Noted(key="A"), Ended(key="A"), Do(key="A", number=1)])
        await bus.advance(timedelta(hours=1))

        (letter,) = await bus.dead_letters("door")
        assert letter.reason == "unexpected: shop.ended has no reaction in status 'ajar' (waited 1:00:00)"


async def test_of_several_reactions_the_first_whose_condition_holds_runs(harness: MakeHarness) -> None:
    class Turnstile(Saga, name="turnstile", key="key"):
        key: str
        status: str = "locked"
        refused: int = 0
        passed: int = 0

        @starts
        def coin(self, message: Noted) -> None:
            self.status = "unlocked"

        @handles(when="unlocked")
        def through(self, message: Ended) -> None:
            self.passed += 1
            self.status = "locked"

        @handles
        def blocked(self, message: Ended) -> None:
            self.refused += 1

    async with harness(Turnstile) as bus:
        await bus.bus.publish_many([Noted(key="A"), Ended(key="A"), Ended(key="A"), Noted(key="A"), Ended(key="A")])
        await bus.idle()

        assert await bus.saga(Turnstile, "A") == Turnstile(key="A", status="locked", refused=1, passed=2)


async def test_a_predicate_that_raises_fails_the_message(harness: MakeHarness) -> None:
    kind = door(lambda state: 1 / 0 > 1)
    async with harness(kind) as bus:
        await bus.bus.publish_many([Noted(key="A"), Ended(key="A")])
        await bus.advance(timedelta(minutes=10))

        (letter,) = await bus.dead_letters("door")
        assert letter.error_type == "ZeroDivisionError"
        assert letter.attempts == 5


async def test_stashed_for_a_predicate_it_runs_when_any_field_makes_it_true(harness: MakeHarness) -> None:
    class Counting(Saga, name="counting", key="key", on_unexpected="stash"):
        key: str
        status: str = "same"
        count: int = 0
        ended_at: int = 0

        @starts
        def noted(self, message: Noted) -> None:
            self.count += 1

        @handles(when=lambda state: state.count >= 3)
        def ended(self, message: Ended) -> None:
            self.ended_at = self.count

    async with harness(Counting) as bus:
        await bus.bus.publish_many([Noted(key="A"), Ended(key="A"), Noted(key="A"), Noted(key="A"), Noted(key="A")])
        await bus.idle()

        state = await bus.saga(Counting, "A")
        assert state is not None
        assert state.ended_at >= 3
