"""A message that waits for a broker is work that is not done: it is named and refused, or erased and never sent."""

import pytest
from tests.conftest import Take
from tests.scenarios.shop import Do
from tests.support.two_services import KEYS, books, have, is_empty, noted, shop
from tests.support.waiting import until

from sagabus import Bus, MendRefused
from sagabus.transports.memory import MemoryBroker, MemoryTransport

MINE, OTHER = KEYS[:2]
OUT = "broker:out"
WHY = {"reason": "asked by letter", "by": "ann"}


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def url(kind: str, take: Take) -> str:
    return "memory:" if kind == "memory" else take(kind).url


async def ask(relay: Bus, count: int) -> None:
    """Have the relay send so many events under each of two keys, and wait until it has."""
    await relay.publish_many([Do(key=key, number=number) for number in range(count) for key in (MINE, OTHER)])
    await until(lambda: has_relayed(relay))


async def has_relayed(relay: Bus) -> bool:
    return not any(each.waiting for each in await relay.counts() if each.channel == "relay")


def rests(relay: Bus) -> bool:
    """Whether the worker has put down what it had fetched."""
    return any(f"{OUT} is paused" in each for each in relay.health().waits)


async def left(relay: Bus) -> dict[str, int]:
    return dict((await relay.mend.erase(key=MINE, dry_run=True)).counts)


async def test_what_waits_is_named_and_refused_and_on_request_never_sent(url: str, broker: MemoryBroker) -> None:
    relay = shop(url, MemoryTransport(broker))
    async with books("memory:", MemoryTransport(broker)) as ledger, relay:
        await relay.idle(20)
        broker.stop()
        await ask(relay, 2)

        with pytest.raises(MendRefused, match=rf"ready of {OUT} \(shop.noted .*instance of relay"):
            await relay.mend.erase(key=MINE, **WHY)
        done = await relay.mend.erase(key=MINE, live=True, **WHY)

        assert (dict(done.counts), await left(relay)) == ({"messages and timers": 2, "saga instances": 1}, {})
        broker.start()
        await until(have(ledger, 2, [OTHER]))
        await until(lambda: is_empty(relay))
        assert {message.key for message in broker.sent} == {OTHER}
        assert await relay.dead_letters.list() == []


async def test_what_a_bridge_has_fetched_may_leave_unless_it_is_paused(url: str, broker: MemoryBroker) -> None:
    relay = shop(url, MemoryTransport(broker))
    async with books("memory:", MemoryTransport(broker)) as ledger, relay:
        await relay.idle(20)
        broker.is_silent = True
        await ask(relay, 3)
        await until(lambda: {message.key for message in broker.sent} == {MINE, OTHER})  # none of them is confirmed

        await relay.mend.pause(OUT, **WHY)
        await until(lambda: rests(relay))
        await relay.mend.erase(key=MINE, live=True, **WHY)
        broker.is_silent = False
        await relay.mend.resume(OUT, **WHY)

        await until(have(ledger, 3, [OTHER]))
        await until(lambda: is_empty(relay))
        assert await left(relay) == {}
        assert [message.key for message in broker.sent].count(MINE) == 1
        await ask(relay, 1)
        await until(have(ledger, 2, [MINE]))
        assert await noted(ledger, MINE) == [0, 0]
