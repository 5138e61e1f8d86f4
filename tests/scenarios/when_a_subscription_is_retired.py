"""A handler or a saga is gone from the code, and messages wait for it: people on call see it, and end it for good."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from tests.conftest import Take
from tests.support.waiting import until

from sagabus import Bus, Context, Linear, MendRefused, RetryPolicy, Saga, UnknownName, event, handler, starts, timer
from sagabus.store import Store
from sagabus.stores.memory import MemoryStore

every_store = pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres", "mysql"])
HOUR = timedelta(hours=1)
WHY = {"reason": "the ledger has moved", "by": "ann"}


@event("retired.noted")
class Noted:
    key: str


class Case(Saga, name="cases", key="key"):
    key: str

    @starts
    def noted(self, message: Noted, ctx: Context) -> None:
        ctx.set_timer("reminder", after=HOUR)

    @timer("reminder")
    def remind(self, ctx: Context) -> None: ...


@handler("ledger", key="key", retry=RetryPolicy(attempts=5, backoff=Linear(HOUR), jitter=False))
def ledger(message: Noted) -> None:
    raise ConnectionError("no line")


@handler("mail", key="key")
def mail(message: Noted) -> None: ...


@asynccontextmanager
async def retired(kind: str, take: Take) -> AsyncIterator[tuple[str | Store, Bus]]:
    """A store with a timer and messages of each kind for a saga and a handler; and a bus that has neither of them."""
    place = MemoryStore() if kind == "memory" else take(kind).url
    async with Bus(place, Case, ledger) as former:
        await former.publish(Noted(key="A"), message_id="fails")
        await until(
            lambda: former.statistics["ledger", "retried"] == 1 and former.statistics["cases", "completed"] == 1
        )
        await former.publish(Noted(key="A"), message_id="held")
        await former.publish(Noted(key="B"), message_id="later", delay=HOUR)
        await until(lambda: former.statistics["cases", "completed"] == 2)
    bus = Bus(place, mail)
    await bus.open()
    try:
        yield place, bus
    finally:
        await bus.close()


async def kinds(bus: Bus, name: str) -> list[str]:
    return sorted(each.kind for each in (await bus.inspect.messages(name)).messages)


async def commands(bus: Bus) -> list[str | None]:
    """What the doctor says to type, about what the retired subscriptions left."""
    found = (await bus.doctor(target="shop:bus")).findings
    return [each.command for each in found if each.where in {"ledger", "cases"}]


async def remove(bus: Bus, names: Sequence[str] = ("ledger", "cases")) -> None:
    for name in names:
        await bus.store.unregister(name, "retired.noted")


@every_store
async def test_the_doctor_says_how_to_remove_what_this_bus_does_not_declare(kind: str, take: Take) -> None:
    async with retired(kind, take) as (_, bus):
        before = await commands(bus)
        await remove(bus)
        after = await commands(bus)

    assert before == [f"sagabus subscriptions remove shop:bus {name} --force" for name in ("cases", "ledger")]
    assert after == [f"sagabus mend cancel-all shop:bus {name} --reason TEXT" for name in ("cases", "ledger")]


@every_store
async def test_what_waits_there_ends_for_good_and_nothing_is_left_that_the_doctor_finds(kind: str, take: Take) -> None:
    async with retired(kind, take) as (place, bus):
        assert await kinds(bus, "ledger") == ["held", "retrying", "scheduled"]
        assert await kinds(bus, "cases") == ["scheduled", "timer"]
        await remove(bus)
        heard: list[int] = []

        assert await bus.mend.cancel_all("ledger", **WHY, progress=heard.append) == 3
        assert await bus.mend.cancel_all("cases", **WHY) == 2
        assert await bus.mend.cancel_all("cases", **WHY) == 0

        assert heard == [1, 2, 3]
        assert [await kinds(bus, name) for name in ("ledger", "cases")] == [[], []]
        assert [each for each in (await bus.doctor()).findings if each.where != "store"] == []
        verbs = [each.verb for each in (await bus.inspect.audit("ledger", target="A")).entries]
        assert verbs == ["message.cancel", "message.cancel"]
        verbs = [each.verb for each in (await bus.inspect.audit("cases")).entries]
        assert sorted(verbs) == ["message.cancel", "timer.cancel"]

    async with Bus(place, Case, ledger) as again:
        receipt = await again.publish(Noted(key="A"), message_id="held")
    assert [receipt.subscriptions[name] for name in ("ledger", "cases")] == ["duplicate", "duplicate"]


@every_store
async def test_what_may_still_be_handled_is_refused(kind: str, take: Take) -> None:
    async with retired(kind, take) as (place, bus):
        with pytest.raises(MendRefused, match=r"ledger receives retired\.noted"):
            await bus.mend.cancel_all("ledger", **WHY)
        with pytest.raises(UnknownName, match="ledgers"):
            await bus.mend.cancel_all("ledgers", **WHY)
        await bus.store.unregister("mail", "retired.noted")
        with pytest.raises(MendRefused, match="mail is declared here"):
            await bus.mend.cancel_all("mail", **WHY)
        async with Bus(place) as other:
            with pytest.raises(MendRefused, match="1 live worker serves mail"):
                await other.mend.cancel_all("mail", **WHY)
        assert await kinds(bus, "ledger") == ["held", "retrying", "scheduled"]
