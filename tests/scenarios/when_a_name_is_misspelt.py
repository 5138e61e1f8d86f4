"""What nothing names is refused with the nearest name; what is merely empty is not."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Noted, OrderSaga, Tally

from sagabus import Bus, Saga, UnknownName, handler, handles, starts

LOOKS: dict[str, Callable[[Bus, str], Awaitable[Any]]] = {
    "get": lambda bus, name: bus.sagas.get(name, "A"),
    "list": lambda bus, name: bus.sagas.list(name),
    "history": lambda bus, name: bus.sagas.history(name, "A"),
    "timers": lambda bus, name: bus.timers.list(name),
    "dead letters": lambda bus, name: bus.dead_letters.list(name),
}


class Elsewhere(Saga, name="elsewhere", key="key"):
    """A saga of a bus that has gone."""

    key: str

    @starts
    @handles
    def noted(self, message: Noted) -> None: ...


def name_of(saga: type[Saga]) -> str:
    assert saga.__sagabus_saga__ is not None
    return saga.__sagabus_saga__.name


@pytest.mark.parametrize("look", LOOKS)
async def test_a_name_that_nothing_has_is_refused_with_the_nearest_one(harness: MakeHarness, look: str) -> None:
    async with harness(Tally) as bus:
        name = name_of(Tally)

        with pytest.raises(UnknownName, match=f"did you mean {name}") as refused:
            await LOOKS[look](bus.bus, f"{name}x")

    assert name in refused.value.known


SAGA_LOOKS: dict[str, Callable[[Bus, str], Awaitable[Any]]] = {
    **{name: look for name, look in LOOKS.items() if name != "dead letters"},
    "unchanged": lambda bus, name: bus.inspect.unchanged(name, timedelta(hours=1)),
    "steps": lambda bus, name: bus.inspect.history(name, "A"),
    "cancel": lambda bus, name: bus.mend.cancel(name, "A", version=1, reason="a test"),
    "cancel timer": lambda bus, name: bus.mend.cancel_timer(name, "A", "late", reason="a test"),
}


@handler("noting")
def noting(message: Noted) -> None: ...


@pytest.mark.parametrize("look", SAGA_LOOKS)
async def test_an_unknown_saga_is_refused_with_sagas_only(harness: MakeHarness, look: str) -> None:
    async with harness(Tally, Elsewhere, noting) as bus:
        await bus.publish(Noted(key="A", number=1))
        declares_one = Bus(bus.bus.store, Tally)

        for each in (bus.bus, declares_one, Bus(bus.bus.store)):
            with pytest.raises(UnknownName) as refused:
                await SAGA_LOOKS[look](each, "nothing")
            assert refused.value.known == ("elsewhere", name_of(Tally))


@pytest.mark.parametrize("look", LOOKS)
async def test_a_known_name_without_rows_is_empty(harness: MakeHarness, look: str) -> None:
    async with harness(Tally) as bus:
        assert not await LOOKS[look](bus.bus, name_of(Tally))


@pytest.mark.parametrize("look", LOOKS)
async def test_a_subscription_that_was_removed_is_known_by_what_it_left(harness: MakeHarness, look: str) -> None:
    async with harness(Tally, Elsewhere) as bus:
        await bus.publish(Noted(key="A", number=1))
        await bus.bus.store.unregister("elsewhere", "noted")
        with_elsewhere = Bus(bus.bus.store, Tally)

        await LOOKS[look](with_elsewhere, "elsewhere")


async def test_a_status_that_dead_letters_do_not_have_is_refused(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        with pytest.raises(UnknownName, match="did you mean replayed"):
            await bus.bus.dead_letters.list(status="replaid")


async def test_a_status_that_the_saga_does_not_declare_is_refused(harness: MakeHarness) -> None:
    async with harness(OrderSaga) as bus:
        assert await bus.bus.sagas.list(OrderSaga, status="paid") == []

        with pytest.raises(UnknownName, match="did you mean paid"):
            await bus.bus.sagas.list("orders", status="payed")


async def test_a_class_that_was_asked_for_reads_its_own_state(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        await bus.publish(Noted(key="A", number=1))
        other = Bus(bus.bus.store)

        record = await other.sagas.get(Tally, "A")
        untyped = await other.sagas.get(name_of(Tally), "A")

    assert record is not None
    assert isinstance(record.state, Tally)
    assert untyped is not None
    assert isinstance(untyped.state, dict)
