"""Everything wrong is told when the bus is built, in one list."""

from datetime import timedelta
from typing import Any, Literal

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Do, Ended, Noted, Tally

from sagabus import Bus, ConfigurationError, Context, Saga, Settings, event, handler, handles, starts, timer
from sagabus.testing import Harness


@event("odd.keyless")
class Keyless:
    other: str


class Broken(Saga, name="broken", key="key", patience=timedelta(0)):
    key: str
    needed: int
    status: Literal["new", "old"] = "new"

    @handles
    def keyless(self, message: Keyless) -> None: ...

    @handles(when="ancient")
    def noted(self, message: Noted, ctx: Context) -> None:
        ctx.set_timer("nobody", after=timedelta(1))

    @timer("lonely")
    def with_message(self, message: Noted) -> None: ...


@handler("one")
def one(message: Do) -> None: ...


@handler("two")
def two(message: Do) -> None: ...


def problems(*definitions: Any, **options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Bus("memory:", *definitions, **options)
    return "\n".join(caught.value.problems)


EXPECTED = [
    "nothing can start it",
    "no field 'key' to correlate by",
    "'ancient' is not among those of the saga",
    "sets timer 'nobody'",
    "a timer method takes ctx only",
    "patience must",
    "command 'shop.do' has 2 receivers: one, two",
]


def test_all_problems_of_all_definitions_are_listed_at_once() -> None:
    found = problems(Broken, one, two)

    assert [text for text in EXPECTED if text not in found] == []


def test_two_subscriptions_of_one_name() -> None:
    @handler("tally")
    def other(message: Ended) -> None: ...

    assert "two subscriptions are named 'tally'" in problems(Tally, other)


def test_two_classes_of_one_wire_name() -> None:
    @event("shop.noted")
    class Other:
        key: str

    @handler("other")
    def other(message: Other) -> None: ...

    assert "used by two classes" in problems(Tally, other)


def test_what_is_no_definition() -> None:
    def plain(message: Noted) -> None: ...

    found = problems(plain, 42, int)

    assert found.count("neither a Saga class nor a function") == 3


def test_a_required_field_that_the_start_does_not_give() -> None:
    class Needy(Saga, name="needy", key="key"):
        key: str
        needed: int

        @starts
        def noted(self, message: Noted) -> None: ...

    assert "does not give needed" in problems(Needy)


def test_signatures_that_cannot_be() -> None:
    @handler("none")
    def none() -> None: ...

    @handler("bare")
    def bare(message) -> None: ...  # type: ignore[no-untyped-def]

    @handler("alien")
    def alien(message: int) -> None: ...

    @handler("pair")
    def pair(first: Noted, second: Ended) -> None: ...

    @handler("thread", thread=True)
    async def thread(message: Noted) -> None: ...

    found = problems(none, bare, alien, pair, thread)

    for text in ("takes no message", "has no annotation", "is no message", "more than one message", "thread=True"):
        assert text in found


@pytest.mark.parametrize("name", ["", "1st", "a b", "x" * 129, "sagabus.mine", "ä"])
def test_names_that_cannot_be(name: str) -> None:
    @handler(name)
    def named(message: Noted) -> None: ...

    assert "name" in problems(named)


@pytest.mark.parametrize("option", ["history", "restart"])
def test_what_is_on_or_off_and_was_given_something_else(option: str) -> None:
    class Vague(Saga, name="vague", key="key", **{option: timedelta(days=30)}):  # type: ignore[misc]  # what a type checker would tell
        key: str

        @starts
        def noted(self, message: Noted) -> None: ...

    assert f"{option} must be True or False, not datetime.timedelta(days=30)" in problems(Vague)


def test_options_without_a_name() -> None:
    with pytest.raises(ConfigurationError, match="name"):

        class Nameless(Saga, key="key"):
            key: str


def test_settings_are_listed_too() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(concurrency=0, lease=timedelta(0), retention=timedelta(hours=1), grace=timedelta(seconds=-1))
    with pytest.raises(ConfigurationError, match="history_retention must be greater than zero"):
        Settings(history_retention=timedelta(0))

    assert len(caught.value.problems) == 4


@pytest.mark.parametrize("url", ["", "orders.db", "oracle://x", "sqlite://host/x", "sqlite:///", "sqlite:///x?y=1"])
def test_store_urls_that_name_none(url: str) -> None:
    assert problems_of_url(url)


def problems_of_url(url: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        Bus(url, Tally)
    return caught.value.problems


async def test_a_second_receiver_on_the_same_store_is_refused_at_the_start(harness: MakeHarness) -> None:
    async with harness(one) as bus:
        other = Bus(bus.bus.store.store, two)
        with pytest.raises(ConfigurationError, match="receiver"):
            await other.open()

        assert bus.bus.definitions[0].name == "one"


def test_a_good_one_is_taken() -> None:
    bus = Harness(Tally, one).bus

    assert [definition.name for definition in bus.definitions] == ["tally", "one"]
