"""Old and new senders and receivers of one message type: versions, upcasters, and the names that it had."""

from typing import Any

import pytest
from tests.scenarios.conftest import MakeHarness

from sagabus import Bus, ConfigurationError, Context, Deduplication, Saga, Settings, command, event, handler, starts
from sagabus.engine.knowledge import known_types
from sagabus.message import VERSION_HEADER, version_in

heard: list[Any] = []


@event("changing.placed")
class OldPlaced:
    key: str
    amount: int


@event(
    "changing.placed",
    version=3,
    upcast={1: lambda old: {**old, "currency": "EUR"}, 2: lambda old: {**old, "total": old["amount"] * 100}},
    renamed={"currency": "unit"},
    aliases=["changing.ordered"],
)
class Placed:
    key: str
    total: int
    unit: str


@event("changing.ordered")
class Ordered:
    key: str
    amount: int


@event("changing.noted")
class Noted:
    key: str


@command("changing.do")
class OldDo:
    key: str


@command("changing.perform", aliases=["changing.do"])
class Perform:
    key: str


@handler("old")
def take_old(message: OldPlaced | Ordered) -> None:
    heard.append(message)


@handler("old", key="key")
def take_new(message: Placed | Perform, ctx: Context) -> None:
    heard.append(message)


@handler("old")
def take_versions(message: Placed) -> None:
    heard.append(message)


class Placing(Saga, name="placing", key="key"):
    key: str
    total: int = 0

    @starts
    def placed(self, message: Placed) -> None:
        heard.append(message)


@pytest.fixture(autouse=True)
def nothing_heard() -> None:
    heard.clear()


async def sent_before(make: MakeHarness, message: object, *definitions: Any) -> Any:
    """A harness of the new release, on a store in which the old one left a message."""
    old = make(*definitions)
    await old.bus.open(worker=False)
    await old.publish(message, wait=False)
    return old


async def test_a_message_of_an_older_version_goes_through_the_upcasters(harness: MakeHarness) -> None:
    old = await sent_before(harness, OldPlaced(key="A", amount=3), take_old)

    async with Bus(old.bus.store.store, take_new) as new:
        await new.idle()

    assert heard == [Placed(key="A", total=300, unit="EUR")]


async def test_a_message_under_its_old_name_is_received_as_the_new_one(harness: MakeHarness) -> None:
    old = await sent_before(harness, Ordered(key="A", amount=2), take_old)

    async with Bus(old.bus.store.store, take_new) as new:
        await new.idle()

    assert heard == [Placed(key="A", total=200, unit="EUR")]


@pytest.mark.parametrize("receiver", [take_new, Placing])
async def test_an_old_publisher_reaches_a_new_receiver_under_the_old_name(harness: MakeHarness, receiver: Any) -> None:
    async with harness(receiver) as new:
        publisher = Bus(new.bus.store)
        await publisher.open(worker=False)
        await publisher.publish(Ordered(key="A", amount=1))
        await new.idle()

    assert heard == [Placed(key="A", total=100, unit="EUR")]


async def test_a_command_that_was_renamed_has_one_receiver_under_both_names(harness: MakeHarness) -> None:
    async with harness(take_new) as bus:
        await bus.publish(OldDo(key="A"))
        await bus.publish(Perform(key="B"))

    assert heard == [Perform(key="A"), Perform(key="B")]


async def test_a_message_of_a_newer_version_waits_for_who_knows_it(harness: MakeHarness) -> None:
    async with harness(take_old) as bus:
        await bus.publish(Placed(key="A", total=1, unit="EUR"))
        await bus.publish(OldPlaced(key="B", amount=1))
        (waiting,) = await bus.bus.store.inspect.envelopes("old")

    assert heard == [OldPlaced(key="B", amount=1)]
    assert (waiting.message_type, waiting.attempt) == ("changing.placed", 0)


def test_a_release_with_a_higher_version_knows_more_and_so_gets_the_lanes() -> None:
    class Second(Placing, name="placing", key="key", version=2): ...

    old, new, saga, second = (
        known_types(*Bus("memory:", each).definitions) for each in (take_old, take_versions, Placing, Second)
    )

    assert set(old) < set(new)
    assert set(new) - set(old) == {f"{name} version {n}" for name in old for n in (2, 3)}
    assert set(second) - set(saga) == {"saga state version 2"}


async def test_the_version_travels_in_a_header_with_others(harness: MakeHarness) -> None:
    async with harness(take_old) as bus:
        await bus.publish(Placed(key="A", total=1, unit="EUR"), headers={"mine": "x"})
        (stored,) = await bus.bus.store.inspect.envelopes("old")

    assert stored.headers == {"mine": "x", VERSION_HEADER: "3"}


async def test_headers_that_are_passed_on_say_no_version_of_another_message(harness: MakeHarness) -> None:
    @handler("forwarder")
    def forward(message: Placed | Noted, ctx: Context) -> None:
        if isinstance(message, Placed):
            ctx.publish(Noted(key=message.key), headers=ctx.headers)
        else:
            heard.append(dict(ctx.headers))

    async with harness(forward) as bus:
        await bus.publish(Placed(key="A", total=1, unit="EUR"), headers={"mine": "x"})

    assert heard == [{"mine": "x"}]


async def test_a_harness_hears_a_message_of_a_version_that_nothing_receives(harness: MakeHarness) -> None:
    placed = Placed(key="A", total=1, unit="EUR")

    @handler("placing")
    def place(message: Noted, ctx: Context) -> None:
        ctx.publish(placed)

    async with harness(place) as bus:
        await bus.publish(Noted(key="A"))

    assert bus.published.of(Placed) == [placed]


@pytest.mark.parametrize("by", [Deduplication(field="key"), {Placed: Deduplication(field="key")}])
async def test_a_business_key_counts_under_the_old_name_as_under_the_new_one(harness: MakeHarness, by: Any) -> None:
    settings = Settings(deduplication=by) if isinstance(by, dict) else Settings()

    @handler("old", deduplication=None if isinstance(by, dict) else by)
    def take(message: Placed) -> None: ...

    async with harness(take, settings=settings) as bus:
        await bus.publish(Ordered(key="A", amount=1))
        await bus.publish(Placed(key="A", total=100, unit="EUR"))
        await bus.publish(Ordered(key="A", amount=1))

    assert (bus.bus.statistics["old", "completed"], bus.bus.statistics["old", "discarded"]) == (1, 2)


@pytest.mark.parametrize("text", ["", "x", "-1", "٣", "1.5"])
def test_a_version_that_is_none_counts_as_the_first(text: str) -> None:
    assert version_in({VERSION_HEADER: text}) == 1


def test_a_name_that_another_class_has_is_refused() -> None:
    @handler("both")
    def both(message: Placed | Ordered) -> None: ...

    with pytest.raises(ConfigurationError, match=r"changing\.ordered.*used by two classes"):
        Bus("memory:", both)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"versoin": 2}, "did you mean version"),
        ({"version": 0}, "whole number from 1"),
        ({"version": 2, "upcast": {2: dict}}, "not below version=2"),
        ({"renamed": {"a": "key"}}, "needs version=2"),
        ({"aliases": ["1x"]}, "begin with a letter"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):

        @event("changing.wrong", **options)
        class Wrong:
            key: str


@pytest.mark.parametrize("declare", [event, command])
def test_a_declaration_without_a_name_says_what_to_write(declare: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf'@{declare.__name__}\("orders\..*before .*Nameless'):

        @declare
        class Nameless:
            key: str
