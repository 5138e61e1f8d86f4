"""A message that goes to the dead letters on its way in: said in the publishing process, by every way to publish."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import Do, Noted
from tests.scenarios.ways_to_join import begun
from tests.support.databases import POSTGRES, Database

from sagabus import Bus, ConfigurationError, Context, MessageIdCollision, MessageTooOld, Receipt, handler
from sagabus.clock import moment
from sagabus.errors import SagaBusError

Way = Callable[..., Awaitable[Receipt | str]]


@handler("noting")
def note(message: Noted | Do) -> None: ...


async def by_publish(bus: Bus, number: int, **options: Any) -> Receipt | str:
    return await bus.publish(Noted(key="A", number=number), message_id="m1", **options)


async def by_send(bus: Bus, number: int, **options: Any) -> Receipt | str:
    return await bus.send(Do(key="A", number=number), message_id="m1", **options)


async def by_publish_many(bus: Bus, number: int, **options: Any) -> Receipt | str:
    return (await bus.publish_many([(Noted(key="A", number=number), "m1")], **options))[0]


async def by_transaction(bus: Bus, number: int, **options: Any) -> Receipt | str:
    async with bus.transaction() as tx:
        return tx.publish(Noted(key="A", number=number), message_id="m1", **options)


WAYS: list[Way] = [by_publish, by_send, by_publish_many, by_transaction]


@pytest.mark.parametrize("way", WAYS)
async def test_other_content_is_an_error_line_a_count_and_a_status(
    harness: MakeHarness, caplog: pytest.LogCaptureFixture, way: Way
) -> None:
    async with harness(note) as bus:
        await way(bus.bus, 1)
        with caplog.at_level(logging.ERROR, "sagabus"):
            receipt = await way(bus.bus, 2)

        assert bus.bus.statistics["noting", "collision"] == 1
        assert len(await bus.dead_letters()) == 1
    assert [record.levelname for record in caplog.records if record.module == "event_log"] == ["ERROR"]
    assert isinstance(receipt, str) or (receipt.status, receipt.accepted) == ("collision", False)


@pytest.mark.parametrize("way", WAYS)
async def test_the_publisher_may_ask_for_an_error(harness: MakeHarness, way: Way) -> None:
    async with harness(note) as bus:
        await way(bus.bus, 1, on_collision="raise")
        with pytest.raises(MessageIdCollision, match="m1") as caught:
            await way(bus.bus, 2, on_collision="raise")
        await way(bus.bus, 1, on_collision="raise")

        # In a transaction of the bus the error comes before the commit, and rolls everything back.
        assert len(await bus.dead_letters()) == (0 if way is by_transaction else 1)
    assert (caught.value.message_id, caught.value.subscription) == ("m1", "noting")


async def test_a_message_below_the_horizon_is_reported_in_the_same_ways(
    harness: MakeHarness, caplog: pytest.LogCaptureFixture
) -> None:
    async with harness(note) as bus:
        sent_at = moment(bus.clock.now())
        await by_publish(bus.bus, 1, sent_at=sent_at)
        await bus.advance(timedelta(days=8))
        await bus.bus.purge()
        with caplog.at_level(logging.ERROR, "sagabus"):
            receipt = await by_publish(bus.bus, 1, sent_at=sent_at)
            with pytest.raises(MessageTooOld, match="m1"):
                await by_publish(bus.bus, 1, sent_at=sent_at, on_collision="raise")

        assert bus.bus.statistics["noting", "too old"] == 2
    assert isinstance(receipt, Receipt)
    assert receipt.status == "too old"
    assert [record.levelname for record in caplog.records if record.module == "event_log"] == ["ERROR", "ERROR"]


@pytest.mark.parametrize("commits", [True, False])
async def test_a_joined_transaction_gets_the_error_at_the_call_and_decides(
    database: Database, on_database: MakeHarness, commits: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with on_database(note) as bus:
        await by_publish(bus.bus, 1)
        with suppress(MessageIdCollision), begun(database) as connection, caplog.at_level(logging.ERROR, "sagabus"):
            options: dict[str, Any] = {} if commits else {"on_collision": "raise"}
            receipt = bus.bus.join(connection).publish(Noted(key="A", number=2), message_id="m1", **options)
            assert receipt.status == "collision"

        assert len(await bus.dead_letters()) == int(commits)
        assert bus.bus.statistics["noting", "collision"] == 1
    assert [record.levelname for record in caplog.records if record.module == "event_log"] == ["ERROR"]


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
async def test_a_transaction_that_is_awaited_gets_the_error_in_the_same_way(
    database: Database, on_database: MakeHarness
) -> None:
    async with on_database(note) as bus, await psycopg.AsyncConnection.connect(POSTGRES) as connection:
        await by_publish(bus.bus, 1)
        await connection.execute("SELECT 1")
        joined = bus.bus.join(connection)

        receipts = await joined.publish_many([(Noted(key="A", number=2), "m1")])
        with pytest.raises(MessageIdCollision):
            await joined.publish(Noted(key="A", number=3), message_id="m1", on_collision="raise")

        assert [receipt.status for receipt in receipts] == ["collision"]
        assert bus.bus.statistics["noting", "collision"] == 2


async def test_a_handler_that_uses_an_id_twice_is_named_too(
    harness: MakeHarness, caplog: pytest.LogCaptureFixture
) -> None:
    @handler("teller", key="key")
    def tell(message: Do, ctx: Context) -> None:
        ctx.publish(Noted(key="A", number=message.number), message_id="mine")

    @handler("listener")
    def listen(message: Noted) -> None: ...

    async with harness(tell, listen) as bus:
        with caplog.at_level(logging.ERROR, "sagabus"):
            await bus.bus.publish_many([Do(key="A", number=n) for n in (1, 2, 1)])
            await bus.idle()

        counts = bus.bus.statistics
        assert (counts["listener", "collision"], counts["listener", "duplicate"], counts["teller", "completed"]) == (
            1,
            1,
            3,
        )
        assert len(await bus.dead_letters()) == 1
    assert {record.levelname for record in caplog.records if record.module == "event_log"} == {"ERROR"}


async def test_all_of_a_batch_are_reported_though_one_raises(harness: MakeHarness) -> None:
    async with harness(note) as bus:
        first = [(Noted(key="A", number=n), f"m{n}") for n in range(3)]
        await bus.bus.publish_many(first)
        with pytest.raises(MessageIdCollision, match="m0"):
            await bus.bus.publish_many(
                [(Noted(key="A", number=n + 9), f"m{n}") for n in range(3)], on_collision="raise"
            )

        assert bus.bus.statistics["noting", "collision"] == 3


@pytest.mark.parametrize("way", WAYS)
async def test_another_word_is_refused_at_the_call(harness: MakeHarness, way: Way) -> None:
    async with harness(note) as bus:
        with pytest.raises(ConfigurationError, match="on_collision must be 'log' or 'raise'"):
            await way(bus.bus, 1, on_collision="ignore")


def test_the_errors_are_of_the_family() -> None:
    assert issubclass(MessageIdCollision, SagaBusError)
    assert issubclass(MessageTooOld, SagaBusError)
