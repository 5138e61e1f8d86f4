"""The transactional outbox: rows and messages commit together, whoever owns the transaction."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.scenarios.conftest import MakeHarness, rows, table
from tests.scenarios.shop import CapturePayment, Noted, Tally, capture

from sagabus import Bus, NoOpenTransaction, UnsupportedCapability, WrongDatabase
from sagabus.clock import moment

INSERT = "INSERT INTO ledger VALUES (?, ?)"
Connect = Callable[[Path], Any]


@pytest.fixture(autouse=True)
def ledger(file: Path) -> None:
    table(file)


@pytest.fixture(params=["apsw", "sqlite3", "sqlite3 with a row factory"])
def connection(request: pytest.FixtureRequest, file: Path) -> Iterator[Any]:
    if request.param == "apsw":
        native: Any = apsw.Connection(str(file))
    else:
        native = sqlite3.connect(file, isolation_level=None)
        native.row_factory = sqlite3.Row if "factory" in request.param else None
    yield native
    native.close()


async def test_in_memory_the_block_carries_messages(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        async with bus.bus.transaction() as tx:
            tx.publish(Noted(key="A", number=1))
            tx.publish(Noted(key="A", number=2))
            during = await bus.record(Tally, "A")
        await bus.idle()

        assert during is None
        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=[1, 2])


async def test_the_callers_commit_is_the_publish(on_file: MakeHarness, file: Path, connection: Any) -> None:
    async with on_file(Tally) as bus:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(INSERT, ("A", 1))
        receipt = bus.bus.join(connection).publish(Noted(key="A", number=1), message_id="m1")
        before = len(await bus.bus.store.inspect.envelopes("tally"))
        connection.execute("COMMIT")
        copy = await bus.publish(Noted(key="A", number=1), message_id="m1")

        assert (receipt.status, before, copy.status) == ("accepted", 0, "duplicate")
        await bus.advance(moment(bus.clock.now() + 1_000_000) - moment(bus.clock.now()))
        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=[1])
    assert rows(file) == [("A", 1)]


async def test_the_callers_rollback_takes_it_back(on_file: MakeHarness, file: Path, connection: Any) -> None:
    async with on_file(Tally, capture) as bus:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(INSERT, ("A", 1))
        joined = bus.bus.join(connection)
        joined.publish_many([Noted(key="A"), (Noted(key="B"), "m2")])
        joined.send(CapturePayment(order_id="A", amount=1))
        connection.execute("ROLLBACK")
        receipt = await bus.publish(Noted(key="B"), message_id="m2")

        assert receipt.status == "accepted"
        assert await bus.record(Tally, "A") is None
    assert rows(file) == []


async def test_copies_are_known_inside_the_callers_transaction(on_file: MakeHarness, connection: Any) -> None:
    async with on_file(Tally) as bus:
        await bus.publish(Noted(key="A"), message_id="m1")
        connection.execute("BEGIN IMMEDIATE")
        receipts = bus.bus.join(connection).publish_many([(Noted(key="A"), "m1"), (Noted(key="A"), "m2")])
        again = bus.bus.join(connection).publish(Noted(key="A"), message_id="m2")
        connection.execute("COMMIT")

        assert [receipt.status for receipt in receipts] == ["accepted", "duplicate"][::-1]
        assert again.status == "duplicate"


async def test_without_an_open_transaction_it_says_so(on_file: MakeHarness, connection: Any) -> None:
    async with on_file(Tally) as bus:
        with pytest.raises(NoOpenTransaction):
            bus.bus.join(connection)
        connection.execute("BEGIN")
        joined = bus.bus.join(connection)
        connection.execute("COMMIT")
        with pytest.raises(NoOpenTransaction):
            joined.publish(Noted(key="A"))


@pytest.mark.parametrize("driver", [lambda path: apsw.Connection(str(path)), sqlite3.connect])
@pytest.mark.parametrize("where", ["other.db", ":memory:"])
async def test_another_database_is_refused(on_file: MakeHarness, file: Path, driver: Connect, where: str) -> None:
    stranger = driver(Path(where) if where == ":memory:" else file.with_name(where))
    stranger.execute("BEGIN")
    async with on_file(Tally) as bus:
        with pytest.raises(WrongDatabase):
            bus.bus.join(stranger)
    stranger.close()


async def test_what_is_no_connection_is_refused(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        with pytest.raises(UnsupportedCapability):
            bus.bus.join(object())


@pytest.mark.parametrize("opens", [False, True])
async def test_a_process_that_only_publishes_needs_no_worker(
    on_file: MakeHarness, file: Path, connection: Any, opens: bool
) -> None:
    async with on_file(Tally):
        pass
    publisher = Bus(f"sqlite:///{file}")
    if opens:
        await publisher.open(worker=False)
    connection.execute("BEGIN IMMEDIATE")
    receipt = publisher.join(connection).publish(Noted(key="A"))
    connection.execute("COMMIT")
    await publisher.close()

    assert receipt.subscriptions == {"tally": "accepted"}


async def test_many_at_once_are_all_or_nothing(harness: MakeHarness) -> None:
    async with harness(Tally) as bus:
        with pytest.raises(Exception, match="number"):
            await bus.bus.publish_many([Noted(key="A", number=1), Noted(key="A", number="two")])  # type: ignore[arg-type]
        receipts = await bus.bus.publish_many([Noted(key="A", number=n) for n in range(100)])
        nothing = await bus.bus.publish_many([])
        await bus.idle()

        assert {receipt.status for receipt in receipts} == {"accepted"}
        assert nothing == []
        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=list(range(100)))
