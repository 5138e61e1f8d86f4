"""The user's own transaction carries messages, on every database, through every library: his commit is the publish."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import asyncpg
import psycopg
import pymysql
import pytest
from sqlalchemy import NullPool, create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from tests.scenarios.conftest import MakeHarness
from tests.scenarios.shop import CapturePayment, Noted, Tally, capture
from tests.scenarios.ways_to_join import WAYS, Way, insert, mysql_place
from tests.support.databases import MYSQL, POSTGRES, Database
from tests.support.lock_waits import one_waits
from tests.support.waiting import until

from sagabus import (
    Bus,
    NoOpenTransaction,
    StoreBusy,
    StoreError,
    TransactionLost,
    UnsupportedCapability,
    WrongDatabase,
    handler,
)

Take = Callable[[str], Database]

every_way = pytest.mark.parametrize(("kind", "way"), WAYS, ids=[f"{kind}-{way.__name__[3:]}" for kind, way in WAYS])

handled: list[str] = []


@handler("noting", key="key")
def note(message: Noted) -> None:
    handled.append(message.key)


@pytest.fixture(autouse=True)
def nothing_handled() -> None:
    handled.clear()


@pytest.fixture
def postgres(take: Take) -> Any:
    database = take("postgres")
    database.make()
    return database


@pytest.fixture
def mysql(take: Take) -> Any:
    database = take("mysql")
    database.make()
    return database


async def until_handled(*keys: str) -> None:
    await until(lambda: sorted(handled) == sorted(keys), 10)


@every_way
async def test_rows_and_messages_share_his_commit_and_his_rollback(take: Take, kind: str, way: Way) -> None:
    database = take(kind)
    database.make()
    async with Bus(database.url, note) as bus:
        receipts = [await way(database, bus, key, commits) for key, commits in (("A", True), ("B", False), ("C", True))]

        await bus.idle(10)

    assert [receipt.status for receipt in receipts] == ["accepted"] * 3
    assert sorted(handled) == ["A", "C"]
    assert database.rows("id") == [("A",), ("C",)]


@every_way
async def test_a_bus_that_was_never_opened_will_do(take: Take, kind: str, way: Way) -> None:
    database = take(kind)
    database.make()
    async with Bus(database.url, note):
        publisher = Bus(database.url)
        receipts = [await way(database, publisher, key, True) for key in ("A", "B")]

        await until_handled("A", "B")

    assert [receipt.subscriptions for receipt in receipts] == [{"noting": "accepted"}] * 2


async def test_a_worker_of_another_bus_is_prompt(postgres: Any) -> None:
    async with Bus(postgres.url, note):
        await asyncio.sleep(0.5)  # by now it looks as seldom as it ever does
        publisher = Bus(postgres.url)
        connection = await asyncpg.connect(POSTGRES)
        async with connection.transaction():
            await publisher.join(connection).publish(Noted(key="A"))
        await connection.close()
        committed = asyncio.get_running_loop().time()

        await until_handled("A")

        assert asyncio.get_running_loop().time() - committed < 0.5


async def test_a_thread_without_an_event_loop_will_do(postgres: Any) -> None:
    def view(bus: Bus) -> None:
        with psycopg.connect(POSTGRES) as connection:
            joined = bus.join(connection)
            joined.publish_many([Noted(key=key) for key in "AB"])
            joined.send(CapturePayment(order_id="1", amount=1))

    async with Bus(postgres.url, note, capture) as bus:
        threads = [threading.Thread(target=view, args=(bus,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)

        await bus.idle(10)

    assert sorted(handled) == ["A"] * 4 + ["B"] * 4


async def test_a_copy_is_known_to_every_joined_transaction(postgres: Any) -> None:
    async with Bus(postgres.url, note) as bus:
        await bus.publish(Noted(key="A"), message_id="m1")
        with psycopg.connect(POSTGRES) as connection:
            joined = bus.join(connection)
            statuses = [joined.publish(Noted(key="A"), message_id=name).status for name in ("m1", "m2", "m2")]
        statuses.append((await bus.publish(Noted(key="A"), message_id="m2")).status)

    assert statuses == ["duplicate", "accepted", "duplicate", "duplicate"]


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
async def test_a_race_costs_neither_transaction_on_mysql(mysql: Any, isolation: str) -> None:
    """Two transactions publish one id; the second waits for the first, whose record it then has to find."""

    def slower(bus: Bus) -> str:
        with closing(pymysql.connect(**mysql_place())) as connection:
            cursor = connection.cursor()
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
            cursor.execute(insert(mysql), ("slow",))
            joined = bus.join(connection)
            joined.publish(Noted(key="other"))
            began.set()
            status = joined.publish(Noted(key="A"), message_id="m1").status
            connection.commit()
            return status

    began = threading.Event()
    async with Bus(mysql.url, note) as bus:
        with closing(pymysql.connect(**mysql_place())) as connection:
            first = bus.join(connection).publish(Noted(key="A"), message_id="m1")
            second = asyncio.create_task(asyncio.to_thread(slower, bus))
            await asyncio.to_thread(began.wait)
            await one_waits(mysql)
            connection.commit()

        assert (first.status, await second) == ("accepted", "duplicate")
        await bus.idle(10)

    assert sorted(handled) == ["A", "other"]
    assert mysql.rows("id") == [("slow",)]


async def test_a_race_costs_neither_transaction_on_postgres(postgres: Any) -> None:
    async with Bus(postgres.url, note) as bus:
        quick, slow = [await asyncpg.connect(POSTGRES) for _ in range(2)]
        async with slow.transaction():
            await slow.execute(insert(postgres, "$1"), "slow")
            async with quick.transaction():
                first = await bus.join(quick).publish(Noted(key="A"), message_id="m1")
                second = asyncio.create_task(bus.join(slow).publish(Noted(key="A"), message_id="m1"))
                await one_waits(postgres)
                assert not second.done()
            assert (first.status, (await second).status) == ("accepted", "duplicate")
        for connection in (quick, slow):
            await connection.close()

    assert postgres.rows("id") == [("slow",)]


async def others_work(url: str) -> None:
    async with asyncio.timeout(5), Bus(url, note) as bus:
        await bus.publish(Noted(key="B"))
        await until_handled("B")


async def test_while_he_takes_his_time_others_open_and_work_on_postgres(postgres: Any) -> None:
    async with Bus(postgres.url, note):
        pass
    connection = await asyncpg.connect(POSTGRES)
    async with connection.transaction():
        await Bus(postgres.url).join(connection).publish(Noted(key="A"))
        await others_work(postgres.url)
    await connection.close()


async def test_while_he_takes_his_time_others_open_and_work_on_mysql(mysql: Any) -> None:
    async with Bus(mysql.url, note):
        pass
    with closing(pymysql.connect(**mysql_place())) as connection:
        Bus(mysql.url).join(connection).publish(Noted(key="A"))
        await others_work(mysql.url)
        connection.commit()


# --- what is refused --------------------------------------------------------------------------------------------------


async def test_without_a_transaction_nothing_would_be_held_back(postgres: Any, mysql: Any) -> None:
    plain = await asyncpg.connect(POSTGRES)
    async_engine = create_async_engine(POSTGRES.replace(":", "+asyncpg:", 1), isolation_level="AUTOCOMMIT")
    engine = create_engine(POSTGRES.replace(":", "+psycopg:", 1), isolation_level="AUTOCOMMIT", poolclass=NullPool)
    by_mysql = pymysql.connect(**mysql_place(), autocommit=True)
    with psycopg.connect(POSTGRES, autocommit=True) as each, Session(engine) as session:
        for bus, connection in (
            (Bus(postgres.url), each),
            (Bus(postgres.url), session),
            (Bus(postgres.url), plain),
            (Bus(mysql.url), by_mysql),
        ):
            with pytest.raises(NoOpenTransaction):
                bus.join(connection)
    async with AsyncSession(async_engine) as session:
        with pytest.raises(NoOpenTransaction):
            await Bus(postgres.url).join(session).publish(Noted(key="A"))
    await plain.close()
    await async_engine.dispose()
    by_mysql.close()


async def test_a_connection_that_is_closed_has_no_transaction(postgres: Any, mysql: Any) -> None:
    by_psycopg, by_pymysql = psycopg.connect(POSTGRES), pymysql.connect(**mysql_place())
    by_psycopg.close()
    by_pymysql.close()

    with pytest.raises(NoOpenTransaction):
        Bus(postgres.url).join(by_psycopg)
    with pytest.raises(NoOpenTransaction):
        Bus(mysql.url).join(by_pymysql)


async def test_a_transaction_that_has_failed_says_so(postgres: Any) -> None:
    async with Bus(postgres.url, note) as bus:
        with psycopg.connect(POSTGRES) as connection:
            with pytest.raises(psycopg.Error):
                connection.execute("SELECT 1 / 0")
            with pytest.raises(TransactionLost, match="failed"):
                bus.join(connection)
            connection.rollback()
            bus.join(connection).publish(Noted(key="A"))
        broken = await asyncpg.connect(POSTGRES)
        async with broken.transaction():
            with pytest.raises(asyncpg.PostgresError):
                await broken.execute("SELECT 1 / 0")
            with pytest.raises(TransactionLost, match="failed"):
                await bus.join(broken).publish(Noted(key="B"))
        await broken.close()
        await bus.idle(10)

    assert handled == ["A"]


async def test_a_failed_publish_leaves_the_transaction_as_it_was(postgres: Any) -> None:
    async with Bus(postgres.url, note) as bus:
        with psycopg.connect(POSTGRES) as connection:
            connection.execute(insert(postgres), ("A",))
            joined = bus.join(connection)
            connection.execute("SET LOCAL lock_timeout = '50ms'")
            with psycopg.connect(POSTGRES) as other:
                bus.join(other).publish(Noted(key="A"), message_id="m1")
                with pytest.raises(StoreError):
                    joined.publish(Noted(key="A"), message_id="m1")
            joined.publish(Noted(key="B"))
        await bus.idle(10)

    assert sorted(handled) == ["A", "B"]
    assert postgres.rows("id") == [("A",)]


async def test_a_wrong_database_costs_the_transaction_nothing(postgres: Any) -> None:
    bus = Bus(f"{POSTGRES}?schema=nowhere")
    with psycopg.connect(POSTGRES) as connection:  # the bus was never opened there
        connection.execute(insert(postgres), ("A",))
        with pytest.raises(WrongDatabase):
            bus.join(connection)
    with closing(pymysql.connect(**mysql_place())) as connection:
        for url in (postgres.url, f"{MYSQL}?prefix=nowhere_"):
            with pytest.raises(WrongDatabase):
                Bus(url).join(connection)
    with pytest.raises(UnsupportedCapability, match="psycopg"):
        bus.join(object())

    assert postgres.rows("id") == [("A",)]


async def test_tables_of_the_same_names_elsewhere_are_found_out(postgres: Any) -> None:
    url = POSTGRES + f"?prefix={postgres.name}_"  # in whatever schema comes first
    async with Bus(f"{url}&search_path={postgres.name}", note) as bus:
        other = Bus(url, note)
        await other.open(worker=False)
        with psycopg.connect(POSTGRES) as connection:
            other.join(connection).publish(Noted(key="A"))
            with pytest.raises(WrongDatabase, match="other tables"):
                bus.join(connection)
            connection.rollback()
            for (table,) in connection.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
                "AND relname LIKE %s",
                (postgres.name + "%",),
            ).fetchall():
                connection.execute(f'DROP TABLE "{table}"')
        await other.close()


async def test_what_he_joined_is_a_part_of_his_savepoint(postgres: Any) -> None:
    async with Bus(postgres.url, note) as bus:
        with psycopg.connect(POSTGRES) as connection:
            bus.join(connection).publish(Noted(key="A"))
            with pytest.raises(ZeroDivisionError), connection.transaction():  # noqa: PT012  # the block is what is tested
                bus.join(connection).publish(Noted(key="B"), message_id="m1")
                raise ZeroDivisionError
            again = bus.join(connection).publish(Noted(key="C"), message_id="m1")
        await bus.idle(10)

    assert again.status == "accepted"
    assert sorted(handled) == ["A", "C"]


async def test_a_harness_can_be_joined_too(on_database: MakeHarness, database: Database) -> None:
    by = {"sqlite": "sqlite3", "postgres": "psycopg", "mysql": "pymysql"}[database.kind]
    way = next(way for kind, way in WAYS if kind == database.kind and way.__name__ == f"by_{by}")
    async with on_database(Tally) as bus:
        await way(database, bus.bus, "A", True)
        await bus.idle()

        assert await bus.saga(Tally, "A") == Tally(key="A", numbers=[0])


async def test_a_connection_that_would_garble_texts_is_refused(mysql: Any) -> None:
    async with Bus(mysql.url, note) as bus:
        with (
            closing(pymysql.connect(**mysql_place(), charset="latin1")) as connection,
            pytest.raises(StoreError, match="utf8mb4"),
        ):
            bus.join(connection)


async def test_the_error_of_a_deadlock_says_what_it_cost(mysql: Any) -> None:
    def crossing(bus: Bus, mine: str, others: str) -> str:
        with closing(pymysql.connect(**mysql_place())) as connection:
            bus.join(connection).publish(Noted(key=mine), message_id=mine)
            both.wait()
            try:
                bus.join(connection).publish(Noted(key=others), message_id=others)
            except StoreBusy as error:
                return str(error)
            connection.commit()
            return "committed"

    both = threading.Barrier(2)
    async with Bus(mysql.url, note) as bus:
        answers = await asyncio.gather(
            *(asyncio.to_thread(crossing, bus, mine, others) for mine, others in (("A", "B"), ("B", "A")))
        )
        await bus.idle(10)

    told, committed = sorted(answers, key=lambda answer: answer == "committed")
    assert committed == "committed"
    assert "rolled the whole transaction back" in told
    assert sorted(handled) == ["A", "B"]
