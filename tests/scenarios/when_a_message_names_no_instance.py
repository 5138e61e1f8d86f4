"""A subscription that finds no key decides alone, by its policy. Publishers and other subscribers are not concerned."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest
from tests.scenarios.conftest import MakeHarness

from sagabus import AsyncConnection, Bus, Context, Saga, command, event, handler, handles, starts
from sagabus.envelope import Cause
from sagabus.testing import Harness


@event("keyless.started")
class Started:
    process: str


@event("keyless.succeeded")
class Succeeded:
    process: str
    parent: Any = None


@command("keyless.close")
class Close:
    parent: str | None = None


@event("keyless.cause")
class Happened:
    process: str
    parent: Any = None


def broken(message: Succeeded) -> str:
    raise LookupError("no parent")


def parents(key: Any, policy: Literal["ignore", "dead-letter"] = "dead-letter") -> type[Saga]:
    class Parents(Saga, name="parents", key="process", on_missing="ignore", on_no_key=policy):
        process: str
        done: int = 0

        @starts
        def started(self, message: Started) -> None: ...

        @handles(key=key)
        def succeeded(self, message: Succeeded) -> None:
            self.done += 1

        @handles(key="parent")
        def close(self, message: Close) -> None: ...

    return Parents


SEEN: list[str] = []


@handler("log", key="parent")
def log(message: Succeeded) -> None:
    SEEN.append(message.process)


@handler("plain")
def plain(message: Succeeded) -> None:
    SEEN.append(message.process)


@handler("relay")
def relay(message: Happened, ctx: Context) -> None:
    ctx.publish(Succeeded(process=message.process, parent=message.parent))


async def by_its_bus(bus: Harness, parent: Any) -> None:
    await bus.bus.publish(Succeeded(process="K", parent=parent))


async def by_many(bus: Harness, parent: Any) -> None:
    await bus.bus.publish_many([Succeeded(process="K", parent=parent), Started(process="other")])


async def by_a_handler(bus: Harness, parent: Any) -> None:
    await bus.bus.publish(Happened(process="K", parent=parent))


async def in_a_transaction(bus: Harness, parent: Any) -> None:
    async with bus.bus.transaction() as tx:
        tx.publish(Succeeded(process="K", parent=parent))


async def by_a_bus_without_definitions(bus: Harness, parent: Any) -> None:
    stranger = Bus(bus.bus.store, clock=bus.clock)
    stranger._routing.learn(await bus.bus.store.routing())  # it shares the open store of the other
    stranger._opened = True
    await stranger.publish(Succeeded(process="K", parent=parent))


Publish = Callable[[Harness, Any], Awaitable[None]]
PUBLISHERS: list[Publish] = [by_its_bus, by_many, by_a_handler, in_a_transaction, by_a_bus_without_definitions]
NO_KEYS: dict[str, tuple[Any, Any]] = {
    "a field that is None": ("parent", None),
    "an empty field": ("parent", ""),
    "a function that gives None": (lambda message: message.parent, None),
    "a function that gives nothing": (lambda message: message.parent or "", None),
}
UNUSABLE: dict[str, tuple[Any, Any]] = {
    "a field that is no plain value": ("parent", [1]),
    "a field that is too long": ("parent", "x" * 501),
    "a function that raises": (broken, "P"),
    "a function that gives a truth value": (lambda message: True, "P"),
}


@pytest.mark.parametrize("how", NO_KEYS)
async def test_it_is_dead_lettered_there_alone(harness: MakeHarness, how: str) -> None:
    SEEN.clear()
    key, parent = NO_KEYS[how]
    async with harness(parents(key), log, plain, relay) as bus:
        for publish in PUBLISHERS:
            await publish(bus, parent)
        await bus.idle()

        letters = [(letter.envelope.channel, letter.cause) for letter in await bus.dead_letters()]
        assert letters == [("parents", Cause.NO_KEY)] * 5
        assert SEEN == ["K"] * 10
        assert bus.bus.statistics["parents", "no key"] == 5


@pytest.mark.parametrize("how", NO_KEYS)
async def test_a_saga_may_ignore_it_and_counts_it(harness: MakeHarness, how: str) -> None:
    SEEN.clear()
    key, parent = NO_KEYS[how]
    async with harness(parents(key, "ignore"), log, plain, relay) as bus:
        for publish in PUBLISHERS:
            await publish(bus, parent)
        await bus.idle()

        assert await bus.dead_letters() == []
        assert SEEN == ["K"] * 10
        assert bus.bus.statistics["parents", "no key"] == bus.bus.statistics["parents", "discarded"] == 5


@pytest.mark.parametrize("how", UNUSABLE)
async def test_an_unusable_key_costs_that_subscription_only(harness: MakeHarness, how: str) -> None:
    SEEN.clear()
    key, parent = UNUSABLE[how]
    async with harness(parents(key, "ignore"), plain, relay) as bus:
        for publish in PUBLISHERS:
            await publish(bus, parent)
        await bus.idle()

        letters = [(letter.envelope.channel, letter.cause) for letter in await bus.dead_letters()]
        assert letters == [("parents", Cause.PERMANENT)] * 5
        assert SEEN == ["K"] * 5


async def test_a_handler_with_an_unusable_key_holds_its_message(harness: MakeHarness) -> None:
    SEEN.clear()
    async with harness(log, plain) as bus:
        await bus.publish(Succeeded(process="K", parent=[1]))

        (letter,) = await bus.dead_letters()
        assert (letter.envelope.channel, SEEN) == ("log", ["K"])


async def test_a_command_is_decided_by_its_receiver_too(harness: MakeHarness) -> None:
    async with harness(parents("parent")) as bus:
        await bus.send(Close())

        (letter,) = await bus.dead_letters()
        assert letter.reason == "no key: keyless.close names no instance: its field 'parent' is empty"


async def test_others_with_a_key_go_on(harness: MakeHarness) -> None:
    saga = parents(lambda message: message.parent)
    async with harness(saga) as bus:
        await bus.publish(Started(process="P"))
        await bus.bus.publish_many([Succeeded(process=str(n), parent="P" if n % 2 else None) for n in range(10)])
        await bus.idle()

        state: Any = await bus.saga(saga, "P")
        assert (state.done, len(await bus.dead_letters())) == (5, 5)


async def test_so_it_is_where_the_method_wants_the_open_transaction(on_database: MakeHarness) -> None:
    class Lent(Saga, name="lent", key="parent"):
        parent: str

        @starts
        async def begun(self, message: Succeeded, connection: AsyncConnection) -> None: ...

    async with on_database(Lent) as bus:
        await bus.publish(Succeeded(process="K"))

        (letter,) = await bus.dead_letters()
        assert letter.cause is Cause.NO_KEY
