"""Connections end after any byte of an exchange, in either direction: which statements ran is for the rows to say."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tests.conftest import Take
from tests.faults.tasks import Step
from tests.support.databases import SERVERS, ServerDatabase
from tests.support.proxied_bus import Wire, published, wired

from sagabus import Bus, StoreUnavailable

pytestmark = pytest.mark.faults

CUTS = 3
SLOW_CUTS = 150


@pytest.fixture(params=SERVERS)
def database(request: pytest.FixtureRequest, take: Take) -> ServerDatabase:
    database = take(request.param)
    assert isinstance(database, ServerDatabase)
    return database


async def one_round(bus: Bus, wire: Wire, number: int) -> None:
    """One message through all readers, from connections that have to be made first."""
    wire.proxy.cut()
    await published(bus, Step(key=f"K{number % 5}", number=number // 5), f"step-{number}")
    await wire.emptied()


@pytest.mark.parametrize("direction", ["sent", "received"])
@pytest.mark.parametrize("cuts", [CUTS, pytest.param(SLOW_CUTS, marks=pytest.mark.slow)])
async def test_each_effect_happens_once_wherever_the_connection_ends(
    database: ServerDatabase, direction: str, cuts: int
) -> None:
    draw = random.Random(f"{direction} {cuts}")
    async with wired(database) as wire, wire.bus(*wire.readers()) as bus:
        await one_round(bus, wire, 0)
        before = getattr(wire.proxy, direction)
        await one_round(bus, wire, 1)
        length = getattr(wire.proxy, direction) - before
        for at in range(cuts):
            wire.proxy.end_after(**{direction: length * at // cuts + draw.randrange(length // cuts + 1) + 1})
            await one_round(bus, wire, at + 2)
            await wire.proxy.until(lambda proxy, cuts=at + 1: proxy.ended == cuts)

        total = cuts + 2
        wire.check({f"K{key}": len(range(key, total, 5)) for key in range(5)})


async def test_a_connection_that_ends_while_it_is_looked_over_is_unavailable(database: ServerDatabase) -> None:
    async with wired(database) as wire, wire.bus(*wire.readers()) as bus:
        await one_round(bus, wire, 0)
        first_question = b"pg_is_in_recovery" if database.kind == "postgres" else b"@@sql_mode"
        wire.proxy.refuse()
        wire.proxy.cut()
        with pytest.raises(StoreUnavailable):
            await bus.publish(Step(key="K0", number=1), message_id="step-1")
        wire.proxy.swallow_reply_after(first_question)
        wire.proxy.accept()

        await published(bus, Step(key="K0", number=1), "step-1")
        await wire.emptied()

        await wire.proxy.until(lambda proxy: proxy.swallowed == 1)
        wire.check({"K0": 2})


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
async def test_a_connection_that_ends_once_it_was_looked_over_is_unavailable(
    database: ServerDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ended(native: Any) -> int:
        await native.close()
        return 0

    monkeypatch.setattr("sagabus.stores.postgres.connecting.timeline_of", ended)
    with pytest.raises(StoreUnavailable, match="connection is closed"):
        await Bus(database.url).open()
