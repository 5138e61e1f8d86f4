"""What a MySQL or MariaDB server does to transactions, and what the store makes of it."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import asyncmy
import pytest
from tests.support.databases import MYSQL, server_database
from tests.support.private_servers import connect_mysql, query, require
from tests.support.waiting import until

from sagabus.envelope import Envelope
from sagabus.errors import (
    SchemaTooNew,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreReadOnly,
    StoreUnavailable,
    TransactionLost,
)
from sagabus.outcome import Admission, Completed, Effects, Save, Statement, Verdict
from sagabus.store import Batch, Cursor, Subscription
from sagabus.stores.mysql import MysqlStore
from sagabus.stores.mysql.schema import migrations, names, statements_of
from sagabus.stores.sql.dialect import table_names
from sagabus.stores.sql.steps import Query
from sagabus.stores.sqlite.schema import MIGRATIONS
from sagabus.testing.servers import PrivateMariaDB

pytestmark = pytest.mark.faults

SERVER = MYSQL.rpartition("/")[0]
HOSTILE = {
    "sql_mode": "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT",
    "transaction_isolation": "REPEATABLE-READ",
    "autocommit": "0",
    "completion_type": "CHAIN",
    "character_set_server": "latin1",
    "collation_server": "latin1_swedish_ci",
    "lc_messages": "fr_FR",
    "lower_case_table_names": "1",
    "max_allowed_packet": "1048576",
    "default_time_zone": "+05:30",
}
"""What an administrator may have set, all of it against us."""


@pytest.fixture
def url() -> Iterator[str]:
    """A database of the test's own."""
    server_database("mysql").close()  # or the test is skipped
    name = f"faults_{uuid4().hex[:12]}"
    asyncio.run(query(MYSQL, f"CREATE DATABASE {name}"))
    yield f"{SERVER}/{name}"
    asyncio.run(query(MYSQL, f"DROP DATABASE {name}"))


@pytest.fixture(scope="module")
def hostile() -> Iterator[PrivateMariaDB]:
    require(PrivateMariaDB)
    with PrivateMariaDB(HOSTILE) as server:
        yield server


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[MysqlStore]:
    store = MysqlStore(url)
    await store.open()
    try:
        await store.register([Subscription(message_type="x", channel="orders", kind="event")])
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def with_ledger(url: str) -> AsyncIterator[MysqlStore]:
    await query(
        url,
        "CREATE TABLE ledger (id VARCHAR(100) PRIMARY KEY, amount INT NOT NULL)",
        "INSERT INTO ledger VALUES ('a', 0), ('b', 0)",
    )
    async with opened(url) as store:
        yield store


def message(message_id: str = "m1", key: str | None = "A1", **fields: Any) -> Envelope:
    chosen = {"lane": 0, "sent_at": 10**15, "guarded": True, "body": b"{}"} | fields
    return Envelope(message_id=message_id, message_type="x", channel="orders", partition_key=key, **chosen)


async def append(store: MysqlStore, *messages: Envelope) -> list[Admission]:
    answers = await store.append(messages, (await store.routing()).version)
    assert answers is not None
    return list(answers)


async def stored(store: MysqlStore) -> list[Envelope]:
    return list(await store.inspect.envelopes("orders", limit=10_000))


async def commit(store: MysqlStore, *outcomes: Completed) -> list[Verdict]:
    answers = await store.commit(Batch(outcomes, (await store.routing()).version, {}))
    return [answer.verdict for answer in answers]


def save(key: str, state: str = "{}", status: str | None = None) -> Save:
    return Save(saga="orders", key=key, base=0, state=state.encode(), status=status, timers={}, completed=False)


def pay(name: str, amount: int = 1) -> Statement:
    return Statement("UPDATE ledger SET amount = amount + %s WHERE id = %s", (amount, name))


# --- transactions that the server ends --------------------------------------------------------------------------------


async def test_a_deadlock_hidden_by_the_user_leaves_nothing(url: str) -> None:
    async with with_ledger(url) as store:
        caught: list[BaseException] = []
        both = asyncio.Barrier(2)

        async def transfer(name: str, first: str, second: str) -> bool:
            with suppress(StoreBusy):
                async with store.transaction() as unit:
                    await unit.append([message(name)], (await store.routing()).version)
                    await unit.connection.execute(pay(first).sql, pay(first).parameters)
                    await both.wait()
                    try:
                        await unit.connection.execute(pay(second).sql, pay(second).parameters)
                    except StoreError as error:
                        caught.append(error)
                    await unit.commit()
                    return True
            return False

        done = await asyncio.gather(transfer("m1", "a", "b"), transfer("m2", "b", "a"))

        assert sorted(done) == [False, True]
        assert [type(error) for error in caught] == [StoreBusy]
        assert [each.message_id for each in await stored(store)] == ["m1" if done[0] else "m2"]
        assert await query(url, "SELECT SUM(amount) FROM ledger") == [(2,)]


async def test_deadlocks_of_statements_are_never_taken_for_their_fault(url: str) -> None:
    async with with_ledger(url) as store, opened(url) as other:
        for number in range(20):
            await append(store, message(f"m{number}", f"k{number}"))
        envelopes = await stored(store)

        async def settle(handle: MysqlStore, envelope: Envelope, order: str) -> list[Verdict]:
            effects = Effects(statements=tuple(pay(name) for name in order))
            while True:
                with suppress(StoreBusy):  # others were quicker too often
                    return await commit(handle, Completed(envelope, effects))

        verdicts = await asyncio.gather(
            *(
                settle(store, each, "ab") if number % 2 else settle(other, each, "ba")
                for number, each in enumerate(envelopes)
            )
        )

        assert verdicts == [[Verdict.COMMITTED]] * 20
        assert await query(url, "SELECT id, amount FROM ledger ORDER BY id") == [("a", 20), ("b", 20)]


async def test_a_lock_that_is_not_let_go_in_time_is_the_database_being_busy(url: str) -> None:
    async with with_ledger(url) as other, opened(f"{url}?deadline=6") as store, other.transaction() as holder:
        await holder.connection.execute(pay("a").sql, pay("a").parameters)

        async with store.transaction() as unit:
            await unit.append([message()], (await store.routing()).version)
            with pytest.raises(StoreBusy):
                await unit.connection.execute(pay("a").sql, pay("a").parameters)
            with pytest.raises(StoreBusy):
                await unit.commit()  # one statement was undone, the rest of the transaction was not

        assert await stored(store) == []


@pytest.mark.parametrize("ending", ["ROLLBACK", "COMMIT", "CREATE TABLE implicit (x INT)"])
async def test_a_transaction_that_ended_by_itself_is_not_reported_as_committed(url: str, ending: str) -> None:
    async with opened(url) as store:
        async with store.transaction() as unit:
            await unit.append([message()], (await store.routing()).version)
            await unit._link.native.cursor().execute(ending)
            with pytest.raises(TransactionLost):
                await unit.commit()

        assert await append(store, message("m2")) == [Admission.ACCEPTED]


async def test_a_killed_connection_takes_its_transaction_and_no_other_with_it(url: str) -> None:
    async with opened(url) as store:
        async with store.transaction() as unit:
            await unit.append([message()], (await store.routing()).version)
            await query(url, f"KILL {unit._link.native.thread_id()}")
            with pytest.raises(StoreUnavailable):
                await unit.commit()

        assert await stored(store) == []
        assert await append(store, message()) == [Admission.ACCEPTED]


async def test_connections_that_died_at_rest_are_replaced(url: str) -> None:
    async with opened(url) as store:
        await asyncio.gather(*(append(store, message(f"m{number}")) for number in range(5)))
        for (number,) in await query(url, "SELECT id FROM information_schema.processlist WHERE db = DATABASE()"):
            with suppress(Exception):
                await query(MYSQL, f"KILL {number}")
        await until(lambda: not any(link.usable for link in store._pool._idle))  # the server ends them in its time

        assert await append(store, message("m5")) == [Admission.ACCEPTED]


async def test_a_cancelled_statement_costs_its_connection(url: str) -> None:
    async with opened(url) as store:

        async def wait_long() -> None:
            async with store.transaction() as unit:
                await unit.append([message()], (await store.routing()).version)
                await unit.connection.execute("SELECT SLEEP(2)")  # which holds what it has locked to its end

        running = asyncio.create_task(wait_long())
        look = "SELECT 1 FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'SELECT SLEEP%'"
        await until(lambda: query(url, look))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        assert await stored(store) == []
        assert await append(store, message()) == [Admission.ACCEPTED]


async def test_the_server_takes_one_statement_at_a_time(url: str) -> None:
    async with opened(url) as store, store.transaction() as unit:
        with pytest.raises(Exception, match="1064"):
            await unit._link.native.cursor().execute("SELECT 1; SELECT 2")


async def test_a_percent_sign_is_one(url: str) -> None:
    async with with_ledger(url) as store, store.transaction() as unit:
        assert await unit.connection.execute("SELECT id FROM ledger WHERE id LIKE 'a%'") == (("a",),)
        assert await unit.connection.execute("SELECT id FROM ledger WHERE id = %s", ["a"]) == (("a",),)


async def test_what_an_append_relies_on_stays_until_it_commits(url: str) -> None:
    async with opened(url) as store, store._pool.link() as link:
        await link.begin()
        found = await link.answer(Query("look", ('["orders"]',), [("orders", "m1")]))
        blocked = []
        for sql in (
            "UPDATE sagabus_meta SET value = 2 WHERE name = 'routing'",
            "UPDATE sagabus_horizon SET stamp = 2",
            "UPDATE sagabus_lane SET epoch = 2",
        ):
            with suppress(asyncmy.errors.OperationalError):
                await query(url, "SET SESSION innodb_lock_wait_timeout = 1", sql)
                blocked.append(sql)
        await link.rollback()

        assert [list(row) for row in found.rows] == [[0, None, None, None, 2], [2, "orders", None, None, 0]]
        assert blocked == ["UPDATE sagabus_lane SET epoch = 2"]


@pytest.mark.parametrize("seed", range(5))
async def test_few_lanes_and_many_are_fetched_alike(url: str, seed: int) -> None:
    draw = random.Random(seed)
    async with opened(url) as store, store._pool.link() as link:
        some = [
            message(f"m{n}", f"k{n % 40}", lane=draw.randrange(4), due_at=draw.choice([0, 0, 0, 50, 60, 10**17]))
            for n in range(200)
        ]
        await append(store, *some)
        held = ", ".join(f"('orders', 'k{n}', {draw.choice([0, 7])})" for n in range(5))
        await query(url, f"INSERT INTO sagabus_held_key VALUES {held}")
        positions = [each.position for each in await stored(store)]
        for _ in range(10):
            cursors = [("orders", lane, draw.choice([0, *positions])) for lane in range(4)]
            after = {(channel, lane): at for channel, lane, at in draw.sample(cursors, draw.randint(1, 4))}
            limit = draw.choice([3, 100])
            few = await store._lane_queries._few(after, limit, 55, link.rows)
            many = await store._lane_queries._many(after, limit, 55, link.rows)

            assert sorted(map(repr, few.rows)) == sorted(map(repr, many.rows))


# --- ids and sizes ----------------------------------------------------------------------------------------------------


async def test_look_alikes_stay_different_everywhere(url: str) -> None:
    names = ["A1", "a1", "a1 ", "á1", "A1\t", "😀", "😁", "%s", "?1", "\\", "'", '"', "😀" * 200]
    async with opened(url) as store:
        answers = await append(store, *(message(name, name) for name in names))
        answers += await append(store, *(message(name, name) for name in names))
        envelopes = await stored(store)
        timer = {"timer": "payment", "delay": 10**9, "guarded": False}
        outcomes = [
            Completed(envelope, Effects(save=save(name, name, name), sent=(message(f"t{number}", name, **timer),)))
            for number, (envelope, name) in enumerate(zip(envelopes, names, strict=True))
        ]
        verdicts = await commit(store, *outcomes)
        loaded = await store.load("orders", names)

        assert answers == [Admission.ACCEPTED] * len(names) + [Admission.DUPLICATE] * len(names)
        assert [each.message_id for each in envelopes] == names
        assert verdicts == [Verdict.COMMITTED] * len(names)
        assert [each.instance and each.instance.state.decode() for each in loaded] == names
        assert [each.partition_key for each in await stored(store)] == names


async def test_the_longest_keys_fit(url: str) -> None:
    key, other = "😀" * 500, "😀" * 499 + "😁"
    async with opened(url) as store:
        await append(store, message("m1", key), message("m2", other), message("t1", key, timer="😀" * 128, delay=1))
        first, second, timer = await stored(store)

        assert (
            await commit(
                store,
                Completed(first, Effects(save=save(key, "1"))),
                Completed(second, Effects(save=save(other, "2"))),
            )
            == [Verdict.COMMITTED] * 2
        )
        assert [each.instance and each.instance.state for each in await store.load("orders", [key, other])] == [
            b"1",
            b"2",
        ]
        assert timer.timer == "😀" * 128


async def test_an_id_that_does_not_fit_is_refused_not_cut(url: str) -> None:
    async with opened(url) as store:
        for message_id in ("x" * 900, "x" * 3000):
            with pytest.raises(StoreError):
                await append(store, message(message_id))

        assert await stored(store) == []


async def test_a_set_larger_than_a_packet_goes_in_several(hostile: PrivateMariaDB) -> None:
    async with opened(f"{hostile.url}?prefix=large_") as store:
        bodies = [b'"' + bytes([97 + number]) * 100_000 + b'"' for number in range(20)]

        await append(store, *(message(f"m{number}", body=body) for number, body in enumerate(bodies)))

        assert [each.body for each in await stored(store)] == bodies


# --- the server's settings --------------------------------------------------------------------------------------------


async def test_a_server_set_against_us_changes_nothing(hostile: PrivateMariaDB) -> None:
    async with opened(f"{hostile.url}?prefix=Hostile_") as store, opened(f"{hostile.url}?prefix=Hostile_") as other:
        await append(store, message("é😀\\'", "A1", headers={"ä": "\\"}))
        (envelope,) = await stored(other)
        effects = Effects(save=save("A1", '{"é":"\\\\"}'))
        again = Effects(save=save("A1"))

        assert envelope.headers == {"ä": "\\"}
        assert await commit(store, Completed(envelope, effects)) == [Verdict.COMMITTED]
        assert await commit(other, Completed(envelope, again)) == [Verdict.GONE]
        assert (await other.load("orders", ["A1"]))[0].instance.state == '{"é":"\\\\"}'.encode()  # type: ignore[union-attr]
        assert (await other.fetch([Cursor("orders", 0, 0)], 10)).envelopes == ()
        with pytest.raises(StoreError):
            await append(store, message("x" * 900))


async def test_a_read_only_server_is_refused_and_one_that_becomes_so_is_reported(hostile: PrivateMariaDB) -> None:
    await query(hostile.url, "GRANT ALL ON test.* TO bound@'%'")
    bound = hostile.url.replace("root@", "bound@") + "?prefix=bound_"
    async with opened(bound) as store:
        await query(hostile.url, "SET GLOBAL read_only = 1")
        try:
            with pytest.raises(StoreReadOnly):
                await append(store, message())
            for address in (bound, hostile.url):
                with pytest.raises(StoreReadOnly, match="point the bus at the primary"):
                    await MysqlStore(address).open()
        finally:
            await query(hostile.url, "SET GLOBAL read_only = 0")

        assert await append(store, message()) == [Admission.ACCEPTED]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("/test", "/no_such_database"), "CREATE DATABASE"),
        (("root@", "root:wrong@"), "check the user and the password"),
        (("127.0.0.1", "no-such-host.invalid"), "check that the server runs"),
    ],
)
async def test_what_cannot_be_reached_comes_with_the_way_out(
    hostile: PrivateMariaDB, change: tuple[str, str], why: str
) -> None:
    with pytest.raises(StoreUnavailable, match=why):
        await MysqlStore(hostile.url.replace(*change)).open()


async def test_a_socket_can_be_used(hostile: PrivateMariaDB) -> None:
    ((path,),) = await query(hostile.url, "SELECT @@socket")

    async with opened(f"mysql://root@localhost/test?prefix=socket_&unix_socket={path}") as store:
        assert await append(store, message()) == [Admission.ACCEPTED]


# --- the schema -------------------------------------------------------------------------------------------------------


async def test_many_processes_may_start_at_once(url: str) -> None:
    stores = [MysqlStore(url) for _ in range(8)]

    await asyncio.gather(*(store.open() for store in stores))

    for store in stores:
        await store.close()
    assert await query(url, "SELECT COUNT(*) FROM sagabus_schema_version") == [(len(MIGRATIONS),)]
    assert await query(url, "SELECT COUNT(*) FROM sagabus_meta") == [(3,)]


@pytest.mark.share(6)
@pytest.mark.parametrize("first", range(1, 7))
async def test_a_migration_that_was_cut_short_anywhere_is_finished(url: str, first: int) -> None:
    found = migrations(names(table_names("sagabus_", "`"), "sagabus_"))
    statements = [statement for migration in found for statement in statements_of(migration.script)]
    for done in range(first, len(statements) + 1, 6):
        for table in table_names("sagabus_", "`").values():
            await query(url, f"DROP TABLE IF EXISTS {table}")
        await query(url, *statements[:done])

        async with opened(url) as store:
            assert await append(store, message()) == [Admission.ACCEPTED]


async def test_another_release_is_recognised_by_its_schema(url: str) -> None:
    async with opened(url):
        pass
    await query(url, "INSERT INTO sagabus_schema_version VALUES (99, 'x', 1)")
    with pytest.raises(SchemaTooNew):
        await MysqlStore(url).open()
    await query(url, "DELETE FROM sagabus_schema_version WHERE version = 99")
    await query(url, "UPDATE sagabus_schema_version SET checksum = 'other'")
    with pytest.raises(StoreCorrupt):
        await MysqlStore(url).open()


async def test_tables_without_transactions_are_refused(url: str) -> None:
    async with opened(url):
        pass
    await query(url, "ALTER TABLE sagabus_horizon ENGINE = MyISAM")

    with pytest.raises(StoreError, match="sagabus_horizon is MyISAM"):
        await MysqlStore(url).open()


async def test_tables_may_be_in_another_database_of_the_server(url: str) -> None:
    schema = url.rpartition("/")[2]

    async with opened(f"{MYSQL}?schema={schema}&prefix=o'dd`{{x}}%25s_") as store:
        assert await append(store, message()) == [Admission.ACCEPTED]
        assert await append(store, message()) == [Admission.DUPLICATE]

    found = await query(url, "SELECT COUNT(*) FROM `o'dd``{x}%s_envelope`")
    assert found == [(1,)]


async def test_a_late_commit_is_not_passed_over(url: str) -> None:
    async with opened(url) as store:
        async with store.transaction() as late:
            await late.append([message("late")], (await store.routing()).version)
            await append(store, message("soon"))
            first = await store.fetch([Cursor("orders", 0, 0)], 10)
            await late.commit()
        second = await store.fetch([Cursor("orders", 0, first.envelopes[-1].position)], 10)

        assert [each.message_id for each in first.envelopes] == ["soon"]
        assert [each.message_id for each in second.envelopes] == ["late"]


async def test_the_database_clock_is_not_led_astray_by_time_zones(hostile: PrivateMariaDB) -> None:
    async with opened(f"{hostile.url}?prefix=clock_") as store, store._pool.link() as link:
        ((seconds,),) = await link.query("SELECT UNIX_TIMESTAMP()", ())

        assert abs(await link.now() - seconds * 1_000_000) < 3_000_000


async def test_the_age_of_an_open_transaction_goes_by_no_time_zone(hostile: PrivateMariaDB) -> None:
    async with opened(f"{hostile.url}?prefix=age_") as store:
        other = await connect_mysql(hostile.url)
        async with other.cursor() as cursor:
            await cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            conditions = await store.inspect.conditions()
        other.close()

    assert conditions.oldest_transaction is not None
    assert 0 <= conditions.oldest_transaction < 60_000_000


async def test_an_error_that_is_hidden_leaves_no_half_of_a_transaction(url: str) -> None:
    async with with_ledger(url) as other, opened(f"{url}?deadline=6") as store, other.transaction() as holder:
        await holder._link.native.cursor().execute("SELECT * FROM sagabus_meta FOR UPDATE")

        async with store.transaction() as unit:
            await unit.connection.execute(pay("a").sql, pay("a").parameters)
            with pytest.raises(StoreBusy):
                await unit.append([message()], 2)
            with pytest.raises(TransactionLost):
                await unit.connection.execute(pay("b").sql, pay("b").parameters)
            with pytest.raises(StoreError):
                await unit.commit()

    assert await query(url, "SELECT SUM(amount) FROM ledger") == [(0,)]


async def test_statements_at_the_same_time_take_turns(url: str) -> None:
    async with with_ledger(url) as store, store.transaction() as unit:
        found = await asyncio.gather(*(unit.connection.execute("SELECT %s", [number]) for number in range(50)))

        assert found == [((number,),) for number in range(50)]
