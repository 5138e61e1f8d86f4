"""De-duplication by what only the subscriber can evaluate: a business key, the conversation, the content."""

from datetime import timedelta
from typing import Any

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Ended, Noted

from sagabus import ConfigurationError, Deduplication, Duplicate, Settings, handler

STRATEGIES: list[tuple[str, Deduplication]] = [
    ("field", Deduplication(field="text")),
    ("function", Deduplication(by=lambda message: message.text)),
    ("content", Deduplication(by="content")),
]


def once(rule: Deduplication, seen: list[str]) -> Any:
    @handler("once", deduplication=rule)
    def take(message: Noted) -> None:
        seen.append(message.text)

    return take


@pytest.mark.parametrize(("name", "rule"), STRATEGIES)
async def test_the_first_takes_effect_and_the_others_are_discarded(
    harness: MakeHarness, name: str, rule: Deduplication
) -> None:
    seen: list[str] = []
    async with harness(once(rule, seen)) as bus:
        for text in ("one", "two", "one", "one"):
            receipt = await bus.publish(Noted(key="A", text=text))
            assert receipt.accepted

        counts = bus.bus.statistics
        assert (counts["once", "completed"], counts["once", "discarded"]) == (2, 2)


@pytest.mark.parametrize(("name", "rule"), STRATEGIES)
async def test_in_one_batch_too(harness: MakeHarness, name: str, rule: Deduplication) -> None:
    async with harness(once(rule, [])) as bus:
        await bus.bus.publish_many([Noted(key="A", text=text) for text in ("one", "two", "one", "one")])
        await bus.idle()

        counts = bus.bus.statistics
        assert (counts["once", "completed"], counts["once", "discarded"]) == (2, 2)


async def test_one_conversation_has_one_of_a_type(harness: MakeHarness) -> None:
    async with harness(once(Deduplication(by="correlation"), [])) as bus:
        for conversation in ("c1", "c2", "c1"):
            await bus.publish(Noted(key="A"), correlation_id=conversation)

        assert bus.bus.statistics["once", "completed"] == 2


async def test_the_message_id_keeps_counting(harness: MakeHarness) -> None:
    async with harness(once(Deduplication(field="text"), [])) as bus:
        await bus.publish(Noted(key="A", text="one"), message_id="m1")
        copy = await bus.publish(Noted(key="A", text="one"), message_id="m1")

        assert copy.status == "duplicate"


async def test_a_rule_may_belong_to_the_type(harness: MakeHarness) -> None:
    @handler("plain")
    def take(message: Noted) -> None: ...

    async with harness(take, settings=Settings(deduplication={Noted: Deduplication(field="text")})) as bus:
        for _ in range(3):
            await bus.publish(Noted(key="A", text="one"))

        assert bus.bus.statistics["plain", "completed"] == 1


PLACES = ["subscription", "type"]
"""Where a rule may be given: it counts for the same things in either place."""


def by(place: str, rule: Deduplication, **settings: Any) -> dict[str, Any]:
    """The definitions and settings of a bus with that rule."""

    @handler("once", deduplication=rule if place == "subscription" else None)
    def take(message: Noted) -> None: ...

    by_type = {Noted: rule} if place == "type" else {}
    return {"definition": take, "settings": Settings(deduplication=by_type, **settings)}


@pytest.mark.parametrize("place", PLACES)
async def test_on_duplicate_is_called_for_a_copy_by_key_and_by_id_wherever_the_rule_is(
    harness: MakeHarness, place: str
) -> None:
    told: list[Duplicate] = []
    given = by(place, Deduplication(field="text", on_duplicate=told.append))
    async with harness(given["definition"], settings=given["settings"]) as bus:
        await bus.publish(Noted(key="A", text="one"), message_id="m1")
        await bus.publish(Noted(key="A", text="one"), message_id="m2")  # found in the commit
        await bus.publish(Noted(key="A", text="one"), message_id="m1")  # found where it enters

    assert told == [Duplicate("once", "shop.noted", "m2"), Duplicate("once", "shop.noted", "m1")]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("days", [2, 30])
async def test_a_key_counts_for_its_window_and_no_longer(harness: MakeHarness, place: str, days: int) -> None:
    given = by(place, Deduplication(field="text", window=timedelta(days=days)))
    async with harness(given["definition"], settings=given["settings"]) as bus:
        for wait in (timedelta(days=days) - timedelta(hours=1), timedelta(hours=2), timedelta(0)):
            await bus.publish(Noted(key="A", text="one"))
            await bus.advance(wait)
            await bus.bus.purge()

        counts = bus.bus.statistics
        assert (counts["once", "completed"], counts["once", "discarded"]) == (2, 1)
        (subscription,) = (await bus.bus.store.routing()).subscriptions
        assert subscription.window == days * 86_400_000_000


async def test_a_channel_keeps_its_records_for_the_longest_window_of_what_it_receives(harness: MakeHarness) -> None:
    @handler("once")
    def take(message: Noted | Ended) -> None: ...

    rules = {Noted: Deduplication(field="text", window=timedelta(days=30)), Ended: Deduplication(field="key")}
    async with harness(take, settings=Settings(deduplication=rules)) as bus:
        await bus.publish(Noted(key="A", text="one"))
        await bus.advance(timedelta(days=29))
        await bus.bus.purge()
        await bus.publish(Noted(key="A", text="one"))

        assert bus.bus.statistics["once", "completed"] == 1


async def test_an_excluded_type_is_guarded_where_the_subscription_has_a_rule_of_its_own(harness: MakeHarness) -> None:
    @handler("plain")
    def plain(message: Noted) -> None: ...

    given = by("subscription", Deduplication())
    async with harness(given["definition"], plain, settings=Settings(deduplication={Noted: None})) as bus:
        await bus.publish(Noted(key="A"), message_id="m1")
        again = await bus.publish(Noted(key="A"), message_id="m1")

    assert again.subscriptions == {"once": "duplicate", "plain": "accepted"}


async def test_a_failed_run_has_claimed_nothing(harness: MakeHarness) -> None:
    seen: list[str] = []
    take = once(Deduplication(field="text"), seen)
    async with harness(take) as bus:
        bus.fail(take)
        await bus.publish(Noted(key="A", text="one"))
        await bus.advance(timedelta(seconds=2))

        assert seen == ["one"]


async def test_a_callback_hears_of_the_duplicate(harness: MakeHarness) -> None:
    told: list[Duplicate] = []
    async with harness(once(Deduplication(field="text", on_duplicate=told.append), [])) as bus:
        await bus.publish(Noted(key="A", text="one"), message_id="m1")
        await bus.publish(Noted(key="A", text="one"), message_id="m2")

        assert told == [Duplicate("once", "shop.noted", "m2")]


async def test_the_record_ends_with_its_window(harness: MakeHarness) -> None:
    seen: list[str] = []
    async with harness(once(Deduplication(field="text", window=timedelta(days=2)), seen)) as bus:
        await bus.publish(Noted(key="A", text="one"))
        await bus.advance(timedelta(days=1))
        await bus.publish(Noted(key="A", text="one"))
        await bus.advance(timedelta(days=2))
        await bus.bus.purge()
        await bus.publish(Noted(key="A", text="one"))

        assert bus.bus.statistics["once", "completed"] == 2


def test_windows_under_a_day_have_to_be_meant() -> None:
    with pytest.raises(ConfigurationError, match="short_window"):
        Deduplication(window=timedelta(hours=23))
    with pytest.raises(ConfigurationError, match="short_retention"):
        Settings(retention=timedelta(hours=23))

    assert Deduplication(window=timedelta(hours=1), short_window=True).window == timedelta(hours=1)
