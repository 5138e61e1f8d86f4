"""An old and a new release on one store: what only the new one knows reaches it at once, and keeps its order."""

from dataclasses import field
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.when_two_workers_share_a_store import glances, lanes

from sagabus import Cause, Saga, Settings, event, handler, starts
from sagabus.store import Subscription
from sagabus.testing import Harness, ManualClock

HOUR = timedelta(hours=1)


@event("releases.known")
class Known:
    key: str


@event("releases.later")
class Later:
    key: str


@event("releases.else")
class Else:
    key: str


Seen = list[tuple[int, str]]
KNOWN: dict[int, Any] = {1: Known, 2: Known | Later, 3: Known | Else}


def release(number: int, seen: Seen) -> Any:
    """The handler of one release: the first knows less than the others, each of which knows one type of its own."""

    def note(message: Any) -> None:
        seen.append((number, f"{type(message).__name__} {message.key}"))

    note.__annotations__["message"] = KNOWN[number]
    return handler("notes", key="key")(note)


async def test_messages_of_a_later_type_reach_the_later_release_in_order(
    on_database: MakeHarness, clock: ManualClock
) -> None:
    seen: Seen = []
    async with (
        on_database(release(1, seen), clock=clock) as first,
        on_database(release(2, seen), clock=clock) as second,
    ):
        await glances(clock, first, second, number=30)
        assert (lanes(first), lanes(second)) == (0, 16)

        for n in range(8):
            await second.bus.publish_many([Later(key=f"K{n}"), Known(key=f"K{n}")])
        await second.idle()

        assert {number for number, _ in seen} == {2}
        for n in range(8):
            assert [name for _, name in seen if name.endswith(f"K{n}")] == [f"Later K{n}", f"Known K{n}"]
        assert await second.dead_letters() == []


async def test_the_earlier_release_works_again_once_the_later_one_has_gone(
    on_database: MakeHarness, clock: ManualClock
) -> None:
    seen: Seen = []
    async with on_database(release(1, seen), clock=clock) as first:
        async with on_database(release(2, seen), clock=clock) as second:
            await glances(clock, first, second, number=30)
            await second.bus.publish(Known(key="K"))
            await second.idle()
        await glances(clock, first, number=30)
        await first.publish(Known(key="K"))
        await first.idle()

        assert (lanes(first), seen) == (16, [(2, "Known K"), (1, "Known K")])


class Line(msgspec.Struct):
    sku: str


class GiftLine(msgspec.Struct):
    sku: str
    gift: bool = False


class OldBasket(Saga, name="baskets", key="key"):
    key: str
    lines: list[Line] = field(default_factory=list)

    @starts
    def known(self, message: Known) -> None:
        self.lines.append(Line("old"))


class NestedBasket(Saga, name="baskets", key="key"):
    key: str
    lines: list[GiftLine] = field(default_factory=list)

    @starts
    def known(self, message: Known) -> None:
        self.lines.append(GiftLine("new", gift=True))


class RenamedBasket(Saga, name="baskets", key="key", version=2, renamed={"lines": "items"}):
    key: str
    items: list[Line] = field(default_factory=list)

    @starts
    def known(self, message: Known) -> None:
        self.items.append(Line("new"))


@pytest.mark.parametrize("later", [NestedBasket, RenamedBasket], ids=["nested", "renamed"])
async def test_states_that_an_earlier_release_would_cut_go_to_the_later_one(
    on_database: MakeHarness, clock: ManualClock, later: type[Saga]
) -> None:
    async with on_database(OldBasket, clock=clock) as first:
        await first.publish(Known(key="A"))
        async with on_database(later, clock=clock) as second:
            await glances(clock, first, second, number=30)
            assert (lanes(first), lanes(second)) == (0, 16)

            for _ in range(2):
                await first.bus.publish(Known(key="A"))
            await second.idle()
            state = await second.saga(later, "A")

    found = getattr(state, "items", None) or getattr(state, "lines", [])
    assert [line.sku for line in found] == ["old", "new", "new"]


async def test_an_unknown_message_holds_back_its_own_key_only(harness: MakeHarness) -> None:
    seen: Seen = []
    async with harness(release(1, seen)) as bus:
        await _register(bus)
        await bus.publish(Later(key="A"), wait=False)
        await bus.publish(Known(key="A"), wait=False)
        await bus.publish(Known(key="B"), wait=False)
        await bus.advance(timedelta(minutes=1))

        assert seen == [(1, "Known B")]
        (letters, counts) = await bus.dead_letters(), await bus.bus.counts()
        assert (letters, [each.held for each in counts]) == ([], [1])


async def test_a_message_that_no_live_worker_knows_is_dead_after_an_hour(
    harness: MakeHarness, clock: ManualClock
) -> None:
    seen: Seen = []
    async with harness(release(1, seen), clock=clock, settings=Settings(lease=3 * HOUR)) as bus:
        await _register(bus)
        await bus.publish(Later(key="A"), wait=False)
        await bus.publish(Known(key="A"), wait=False)
        for minutes in (1, 70, *[1] * 50):  # the first makes it wait; then, as long as it takes to be settled
            clock.advance(timedelta(minutes=minutes))
            await glances(clock, bus, number=10)
            if await bus.dead_letters():
                break
        await bus.idle()

        assert [letter.cause for letter in await bus.dead_letters()] == [Cause.UNKNOWN]
        assert seen == [(1, "Known A")]


async def test_a_message_waits_longer_than_that_while_a_live_worker_knows_it(
    on_database: MakeHarness, clock: ManualClock
) -> None:
    """That worker belongs to a release that knows one type less: of two such, the later one works."""
    seen: Seen = []
    options: Any = {"clock": clock, "settings": Settings(lease=3 * HOUR)}
    async with on_database(release(2, seen), **options) as first:
        clock.advance(timedelta(seconds=1))
        async with on_database(release(3, seen), **options) as second:
            await glances(clock, first, second, number=30)
            assert (lanes(first), lanes(second)) == (0, 16)
            await second.bus.publish(Later(key="A"))
            for _ in range(3):
                clock.advance(timedelta(minutes=31))
                await glances(clock, first, second, number=10)

            assert (seen, await second.dead_letters()) == ([], [])
            await second.bus.close()
            for _ in range(50):
                clock.advance(timedelta(seconds=10))
                await glances(clock, first, number=10)
                if seen:
                    break
            assert seen == [(2, "Later A")]


async def _register(harness: Harness) -> None:
    """What a bus of the later release does when it opens."""
    later = Subscription(message_type="releases.later", channel="notes", kind="event", key="key")
    harness.bus._routing.learn(await harness.bus.store.register([later]))
