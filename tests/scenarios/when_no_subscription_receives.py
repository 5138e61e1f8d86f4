"""Events without any receiver: the receipt, the log and the counts say so, and a receiver that is new is found."""

import logging
from collections.abc import Awaitable, Callable

import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Do, Noted
from tests.scenarios.ways_to_join import begun
from tests.support.databases import Database

from sagabus import Bus, ConfigurationError, Context, Receipt, Settings, Unroutable, handler

REFUSING = Settings(unheard="refuse")

Way = Callable[[Bus], Awaitable[Receipt | str]]


@handler("doer")
def other(message: Do) -> None: ...


@handler("noting")
def note(message: Noted) -> None: ...


async def by_publish(bus: Bus) -> Receipt | str:
    return await bus.publish(Noted(key="A"))


async def by_publish_many(bus: Bus) -> Receipt | str:
    return (await bus.publish_many([Do(key="A"), Noted(key="A")]))[1]


async def by_transaction(bus: Bus) -> Receipt | str:
    async with bus.transaction() as tx:
        return tx.publish(Noted(key="A"))


WAYS: list[Way] = [by_publish, by_publish_many, by_transaction]


@pytest.mark.parametrize("way", WAYS)
async def test_the_receipt_and_the_counts_say_so_and_the_log_once(
    harness: MakeHarness, caplog: pytest.LogCaptureFixture, way: Way
) -> None:
    async with harness(other) as bus:
        with caplog.at_level(logging.WARNING, "sagabus"):
            receipts = [await way(bus.bus) for _ in range(3)]

        assert bus.bus.statistics["shop.noted", "unheard"] == 3
    assert [record.levelname for record in caplog.records if record.module == "event_log"] == ["WARNING"]
    for receipt in receipts:
        if isinstance(receipt, Receipt):
            assert (receipt.status, receipt.accepted, receipt.subscriptions) == ("unheard", False, {})


async def test_a_handler_that_publishes_for_no_subscription_is_counted_too(caplog: pytest.LogCaptureFixture) -> None:
    @handler("teller")
    def tell(message: Do, ctx: Context) -> None:
        ctx.publish(Noted(key="A"))

    async with Bus("memory:", tell) as bus:
        with caplog.at_level(logging.WARNING, "sagabus"):
            await bus.publish_many([Do(key="A"), Do(key="B")])
            await bus.idle()

        assert bus.statistics["shop.noted", "unheard"] == 2
    assert [record.levelname for record in caplog.records if record.module == "event_log"] == ["WARNING"]


@pytest.mark.parametrize("way", WAYS)
async def test_it_can_be_refused(harness: MakeHarness, way: Way) -> None:
    async with harness(other, settings=REFUSING) as bus:
        with pytest.raises(Unroutable, match=r"no subscription receives the event .shop\.noted"):
            await way(bus.bus)

        assert bus.bus.statistics["doer", "completed"] == 0


async def test_a_joined_transaction_gets_it_too(database: Database, on_database: MakeHarness) -> None:
    async with on_database(other) as bus, on_database(other, settings=REFUSING) as refusing:
        with begun(database) as connection:
            receipt = bus.bus.join(connection).publish(Noted(key="A"))
            with pytest.raises(Unroutable):
                refusing.bus.join(connection).publish(Noted(key="A"))

        assert receipt.status == "unheard"
        assert bus.bus.statistics["shop.noted", "unheard"] == 1


async def test_refused_in_a_handler_it_fails_the_run(harness: MakeHarness) -> None:
    @handler("teller")
    def tell(message: Do, ctx: Context) -> None:
        ctx.publish(Noted(key="A"))

    async with harness(tell, settings=REFUSING) as bus:
        await bus.send(Do(key="A"))

        assert bus.bus.statistics["teller", "retried"] == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("settings", [Settings(), REFUSING], ids=["warn", "refuse"])
async def test_a_publisher_that_was_there_first_finds_a_subscription_that_is_new(
    database: Database, way: Way, settings: Settings
) -> None:
    first = Bus(database.url, settings=settings)
    await first.open(worker=False)
    async with Bus(database.url, note, other) as later:
        answer = await way(first)
        await first.send(Do(key="B"))
        await later.idle(20)

        assert isinstance(answer, str) or answer.status == "accepted"
        assert later.statistics["noting", "completed"] == 1
    assert first.statistics["shop.noted", "unheard"] == 0
    await first.close()


def test_only_known_words_are_settings() -> None:
    with pytest.raises(ConfigurationError, match=r"Settings\.unheard must be 'warn' or 'refuse', not 'raise'"):
        Settings(unheard="raise")  # type: ignore[arg-type]  # that is the mistake
