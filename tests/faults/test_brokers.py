"""What goes wrong with a broker, on real ones of every kind: each number reaches the books once, and in order.

A kind of broker is a `Lab`. What only one kind can do has a file of its own.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.shop import CapturePayment, capture
from tests.support.brokers import AlteredLink, Lab, altered
from tests.support.databases import fresh_database
from tests.support.fork_server import ForkServer
from tests.support.two_services import KEYS, Pair, ask, books, check, have, is_empty, noted, pair, shop
from tests.support.waiting import until

from sagabus import Bus, Cause, MendRefused
from sagabus.clock import SystemClock
from sagabus.engine.bridges import bridge, outbound
from sagabus.policies.retry import Linear, RetryPolicy
from sagabus.transport import Delivery, Sent, WireMessage

pytestmark = [pytest.mark.faults, pytest.mark.share(3)]

PROGRAMS = "tests.support.two_services:"
CUTS = 4
SLOW_CUTS = 60


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Links are made again, and messages sent again, without long pauses."""
    monkeypatch.setattr(bridge, "_LONGEST_PAUSE", 0.2)
    soon = Linear(first=timedelta(milliseconds=20), step=timedelta(0))
    # So many attempts that no test is a race with them: another bus takes longer to open than eight of them.
    policy = RetryPolicy(attempts=10_000, backoff=soon, rules=outbound.RETRY.rules)
    monkeypatch.setattr(outbound, "RETRY", policy)


# --- the broker ends ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kill", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["killed", "stopped"])
async def test_a_broker_that_ends_in_the_middle_costs_nothing(lab: Lab, two_stores: Sequence[str], kill: bool) -> None:
    lab.may_end()
    async with lab, pair(two_stores, lab.transport) as both:
        await ends_in_the_middle(lab, both, kill=kill)


@pytest.mark.slow
async def test_a_broker_that_ends_costs_services_on_postgresql_nothing(lab: Lab, tmp_path: Path) -> None:
    lab.may_end()
    with fresh_database("postgres", tmp_path) as one, fresh_database("postgres", tmp_path) as other:
        async with lab, pair([one.url, other.url], lab.transport) as both:
            await ends_in_the_middle(lab, both, kill=True)


async def ends_in_the_middle(lab: Lab, both: Pair, *, kill: bool) -> None:
    await both.ask(range(1))
    await both.have(1)
    await lab.keep()
    await both.ask(range(1, 20))
    await both.have(2)
    restarting = asyncio.create_task(asyncio.to_thread(lab.server.restart, kill=kill))
    await both.ask(range(20, 30))
    await restarting

    await both.have(30)

    await both.check(30)


async def test_a_backlog_has_left_five_seconds_after_the_broker_is_back(
    lab: Lab, two_stores: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    async with lab, pair(two_stores, lab.transport) as both:
        await both.ask(range(1))
        await both.have(1)
        await lab.keep()
        await asyncio.to_thread(lab.server.stop)
        await both.ask(range(1, 21))
        await until(lambda: both.relay.health().waits)
        await until(lambda: both.ledger.health().waits)

        await asyncio.to_thread(lab.server.start)

        assert await both.have(21) < 5
        await both.check(21)


async def test_what_is_erased_while_the_broker_is_away_never_comes_to_it(lab: Lab, two_stores: Sequence[str]) -> None:
    mine, *others = KEYS
    async with lab, pair(two_stores, lab.transport) as both:
        await both.ask(range(1))
        await both.have(1)
        await lab.keep()
        await asyncio.to_thread(lab.server.stop)
        await both.ask(range(1, 3))
        await until(lambda: has_relayed(both.relay, len(KEYS) * 2))

        with pytest.raises(MendRefused, match="of broker:out"):
            await both.relay.mend.erase(key=mine, reason="a letter")
        await both.relay.mend.erase(key=mine, live=True, reason="a letter")
        await asyncio.to_thread(lab.server.start)

        await both.have(3, others)
        await until(lambda: is_empty(both.relay), every=0.01)
        assert await noted(both.ledger, mine) == [0]
        await check(both.ledger, 3, others)


async def has_relayed(relay: Bus, count: int) -> bool:
    """Whether so many messages wait for the broker, and nothing else does."""
    found = {each.channel: each.waiting for each in await relay.counts()}
    return {channel: waiting for channel, waiting in found.items() if waiting} == {"broker:out": count}


# --- the connection ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["sent", "received"])
@pytest.mark.parametrize("cuts", [CUTS, pytest.param(SLOW_CUTS, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
async def test_connections_end_after_any_byte_of_a_link(
    lab: Lab, two_stores: Sequence[str], direction: str, cuts: int
) -> None:
    """While a link is made, declares, sends, hears of confirms, receives, or acknowledges."""
    draw = random.Random(f"{direction} {cuts}")
    async with lab, pair(two_stores, lab.transport) as both:
        await one_round(lab, both, 0)
        before = getattr(lab.proxy, direction)
        await one_round(lab, both, 1)
        length, rounds = getattr(lab.proxy, direction) - before, 2
        for at in range(cuts):
            lab.proxy.end_after(**{direction: length * at // cuts + draw.randrange(length // cuts + 1) + 1})
            while lab.proxy.ended == at:  # a round may have fewer bytes than the one that was measured
                await one_round(lab, both, rounds)
                rounds += 1

        await both.check(rounds)


async def one_round(lab: Lab, both: Pair, number: int) -> None:
    """One number under each key, over links that have to be made first."""
    lab.proxy.cut()
    await both.ask([number])
    await both.have(number + 1)


# --- copies -------------------------------------------------------------------------------------------------------


class Doubling(AlteredLink):
    """Sends everything twice, as after a confirm that was lost."""

    async def send(self, messages: Sequence[WireMessage]) -> Sequence[Sent]:
        await self.link.send(messages)
        return await self.link.send(messages)


class Forgetful(AlteredLink):
    """Ends before the first acknowledgements, which come after the commit."""

    lost = 0

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        if Forgetful.lost < 5:
            Forgetful.lost += 1
            self.lab.proxy.cut()
            await self.link.ended()
        await self.link.settle(deliveries)


async def test_every_message_delivered_twice_takes_effect_once(lab: Lab, two_stores: Sequence[str]) -> None:
    async with lab, pair(two_stores, altered(lab, Doubling)) as both:
        await both.ask(range(10))
        await both.have(10)
        await until(lambda: is_settled(lab, "books"), every=0.2)

        await both.check(10)
        assert both.ledger.statistics["ledger", "duplicate"] >= 50


async def is_settled(lab: Lab, service: str) -> bool:
    return await lab.waiting(service) == 0


async def test_acknowledgements_lost_after_the_commit_cost_copies_only(
    lab: Lab, two_stores: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Forgetful, "lost", 0)
    async with lab, pair(two_stores, altered(lab, Forgetful)) as both:
        for number in range(8):
            await both.ask([number])
            await both.have(number + 1)
        await until(lambda: is_settled(lab, "books"), every=0.2)

        await both.check(8)
        assert Forgetful.lost == 5
        assert both.ledger.statistics["ledger", "duplicate"] >= 5


# --- what the broker does not take --------------------------------------------------------------------------------


async def test_a_command_without_a_receiver_waits_for_one(lab: Lab, two_stores: Sequence[str]) -> None:
    async with lab, Bus(two_stores[0], transport=lab.transport(), service="orders") as orders:
        await orders.send(CapturePayment(order_id="A1", amount=1))
        await until(lambda: orders.statistics["broker:out", "retried"] > 0)

        async with Bus(two_stores[1], capture, transport=lab.transport(), service="payments"):
            await until(lambda: is_empty(orders))

        assert await orders.dead_letters.list() == []


async def test_a_queue_that_is_full_costs_no_message(lab: Lab, two_stores: Sequence[str]) -> None:
    async with lab:
        async with pair(two_stores, lab.transport) as both:
            await both.ask(range(1))
            await both.have(1)
        async with shop(two_stores[1], lab.transport()) as relay:
            async with lab.full("books"):
                await ask(relay, range(1, 6))
                await until(lambda: relay.statistics["broker:out", "retried"] > 0)
            async with books(two_stores[0], lab.transport()) as ledger:
                await until(have(ledger, 6))

                await Pair(relay, ledger).check(6)


BROKEN: dict[str, tuple[dict[str, Any], bytes, Cause]] = {
    "no JSON": ({"sagabus-id": "f9", "sagabus-type": "shop.noted"}, b"}{", Cause.PERMANENT),
    "no header": ({}, b"hello", Cause.PERMANENT),
    "no text": ({"sagabus-id": "f9", "sagabus-type": "shop.noted"}, b"\xff\xfe{}", Cause.DAMAGED),
}


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        pytest.param(kind, place, marks=[pytest.mark.slow] * (number != place))
        for number, kind in enumerate(BROKEN)
        for place in range(3)
    ],
)
async def test_one_broken_message_costs_no_other(lab: Lab, two_stores: Sequence[str], kind: str, place: int) -> None:
    headers, body, cause = BROKEN[kind]
    batch = [(good(number), b'{"key":"k","number":%d}' % number) for number in range(2)]
    batch.insert(place, (headers, body))
    async with lab:
        async with books(two_stores[0], lab.transport()):
            pass  # its queue is there since
        for each in batch:
            await lab.put("books", *each)

        async with books(two_stores[0], lab.transport()) as ledger:
            await until(have(ledger, 2, ["k"]))
            await until(ledger.dead_letters.list)
            await until(lambda: is_settled(lab, "books"), every=0.2)

            (letter,) = await ledger.dead_letters.list()
            await check(ledger, 2, ["k"])
    assert letter.cause is cause


def good(number: int) -> dict[str, Any]:
    sent_at = str(SystemClock().now())
    return {"sagabus-id": f"f{number}", "sagabus-type": "shop.noted", "sagabus-sent-at": sent_at}


# --- a store that is slow -----------------------------------------------------------------------------------------


async def test_links_that_end_while_the_store_is_slow_cost_copies_only(
    lab: Lab, two_stores: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lab, pair(two_stores, lab.transport) as both:
        append, goes_on, begun = both.ledger.store.append, asyncio.Event(), asyncio.Event()

        async def slow(*arguments: Any) -> Any:
            begun.set()
            await goes_on.wait()
            return await append(*arguments)

        monkeypatch.setattr(both.ledger.store, "append", slow)
        await both.ask(range(5))
        await begun.wait()
        for _ in range(3):
            lab.proxy.cut()
            await until(lambda: not (both.relay.health().waits or both.ledger.health().waits))
        goes_on.set()

        await both.have(5)
        await both.check(5)


# --- several processes --------------------------------------------------------------------------------------------


async def test_two_bridges_of_a_service_share_its_queue_in_order(lab: Lab, two_stores: Sequence[str]) -> None:
    async with lab, pair(two_stores, lab.transport) as both:
        async with books(two_stores[0], lab.transport()), shop(two_stores[1], lab.transport()):
            await both.ask(range(10))
            await both.have(3)
            lab.proxy.cut()
            await both.ask(range(10, 15))
            await both.have(10)
        await both.ask(range(15, 20))
        await both.have(20)

        await both.check(20)


@contextmanager
def child(fork_server: ForkServer, program: str, store: str, broker: str) -> Iterator[int]:
    """A process that works until it is killed."""
    found = fork_server.start(PROGRAMS + program, store, broker)
    try:
        yield found
    finally:
        os.kill(found, signal.SIGKILL)
        end = fork_server.wait(found)
        assert end.killed, end.log


@pytest.mark.parametrize("program", ["keep_books", "keep_shop"])
async def test_the_process_of_a_bridge_is_killed_again_and_again(
    lab: Lab, two_stores: Sequence[str], fork_server: ForkServer, program: str
) -> None:
    store, others = (two_stores[0], shop) if program == "keep_books" else (two_stores[1], books)
    async with lab:
        async with pair(two_stores, lab.transport):
            pass  # what they need is there since
        reader, sender = books(two_stores[0], lab.transport()), shop(two_stores[1], lab.transport())
        await (reader if program == "keep_books" else sender).open(worker=False)
        async with sender if others is shop else reader:
            for round_ in range(3):
                await ask(sender, range(round_ * 5, round_ * 5 + 5))
                with child(fork_server, program, store, lab.url()):
                    await until(have(reader, round_ * 5 + 1), 30, every=0.01)
            with child(fork_server, program, store, lab.url()):
                await until(have(reader, 15), 30, every=0.01)

            await check(reader, 15)
        await (reader if program == "keep_books" else sender).close()


async def test_a_process_that_was_frozen_wakes_late_and_changes_nothing(
    lab: Lab, two_stores: Sequence[str], fork_server: ForkServer
) -> None:
    async with lab, shop(two_stores[1], lab.transport()) as relay:
        reader = books(two_stores[0], lab.transport())
        await reader.open(worker=False)
        with child(fork_server, "keep_books", two_stores[0], lab.url()) as zombie:
            await until(lambda: fork_server.has_said(zombie, "open"), 30)
            await ask(relay, range(5))
            await until(have(reader, 2), 30, every=0.001)
            os.kill(zombie, signal.SIGSTOP)
            async with books(two_stores[0], lab.transport()):
                await ask(relay, range(5, 10))
                await until(have(reader, 10), 40, every=0.05)
                os.kill(zombie, signal.SIGCONT)
                await ask(relay, range(10, 20))
                await until(have(reader, 20), 40, every=0.05)
            await until(lambda: is_settled(lab, "books"), 40, every=0.2)

            await check(reader, 20)
            assert await is_empty(relay)
        await reader.close()
