"""A queue table's statistics are always wrong, so no hot statement may leave its index to the planner's mood."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pymysql
import pytest
from tests.support.databases import MYSQL

from sagabus.store.loud import MOST_LOUD
from sagabus.stores.mysql import MysqlStore
from sagabus.stores.mysql.append_lookup import LOOK
from sagabus.stores.mysql.fetch_query import LaneQueries
from sagabus.stores.mysql.prepared import Form, forms
from sagabus.stores.mysql.schema import names
from sagabus.stores.mysql.statements import STATEMENTS
from sagabus.stores.mysql.survey_query import SurveyQueries
from sagabus.stores.sql.dialect import table_names
from sagabus.stores.sql.steps import Query

ROWS = 3000
PLACES = [("orders", "k7"), ("orders", "k9")]
POSITIONS = [(5,), (6,)]
LOUD = tuple(f"k{n}" for n in range(MOST_LOUD))

HOT: dict[str, Query] = {
    ask.name: ask
    for ask in (
        Query("head", (), [("orders", 1)]),
        Query("which_stored", (), POSITIONS),
        Query("remove", (), POSITIONS),
        Query("cancel_all_timers", (), PLACES),
        Query("let_go", (), POSITIONS),
        Query("retry", (5, 0, 1, 9, 9, 0, 0, None)),
        Query("mark", (0, 0), POSITIONS),
        Query("unmark", (), POSITIONS),
        Query("stash", (5, 0, 9, 0)),
        Query("wake", (), PLACES),
        Query("cancel_timers", (), [(*place, "payment") for place in PLACES]),
        Query("let_loose", (), PLACES),
        Query("known", (), [("orders", "m7")]),
        Query("look", ('["orders"]',), [("orders", "m7")]),
        Query("look_and_tell", ('["orders"]', "orders", 1, 100, "k7"), [("orders", "m7")]),
        Query("horizons", (), [("orders",)]),
        Query("horizon_of", ("c7",)),
        Query("at_positions", (), POSITIONS),
        Query("load", ("orders",), [("k7",)]),
        Query("anything_due", (10,), [("orders",)]),
        Query("suspects", ("orders", 3, 50, 10)),
        Query("suspects_past_loud", ("orders", 3, 50, 10, *LOUD)),
        Query("suspects_of_key", ("orders", 3, 50, "k7")),
        Query("ended_position"),
        Query("timer_is_set", ("orders", "k10", "payment")),
        Query("record", ("orders", "m7")),
        Query("renew", ("orders", "w", 1, 1, 1)),
        Query("take_lane", ("orders", 1, "w", 1, 1, 1, 1, None)),
        Query("expired_record", ("orders", ROWS, 999)),
        Query("purge_inbox", ("orders", 1000)),
        Query("purge_instances", ("orders", 1000, 100)),
        Query("purge_letters", ("orders", 1000, 100)),
        Query("purge_history", ("orders", 1000, 100)),
        Query("purge_journal", ("orders", 1000, 100)),
        Query("conversation_page", ("t1", 5, 7, 100)),
        Query("any_letter_at", (10,)),
        Query("letter_stop", (5, 10)),
        Query("letter_stop_of_status", (5, 10, "open")),
        Query("letter_heads", (5, 1000, "orders", 1, 2, 10)),
        Query("letter_heads_of_status", (5, 1000, "orders", 1, 2, 10, "open")),
        Query("letters_naming", ("t1", 10, 10)),
        Query("instance_page", ("orders", "k7", "open", 100, "k9")),
        Query("history_page", ("orders", "k7", 5, 100)),
        Query("next_channel", ("orders",)),
        Query("letter_counts", (100,)),
        Query("waiting_at", (5, 7, "7,8")),
        Query("noted_at", (5,), POSITIONS),
        Query("hold_of_key", ("orders", "k7")),
        Query("owner_of_lane", ("orders", 1, 5)),
        Query("letter_at", (10,)),
        Query("letters_of_key", ("orders", "k7", 10, 10)),
    )
}
LANES = {
    "_ends": ('[["orders", 1]]',),
    "_ready": ("orders", 1, 100, 50),
    "_scheduled": ("orders", 1, 1000, 50),
    "_standing": ("orders", 1, 100),
    "_sift": (
        *("orders", 1, 100, *LOUD, 50, "orders", 1, 90, 100, *LOUD, "orders", 1),
        *("orders", 1, 1000, 50, "orders", 1, 1000),
    ),
    "_sift_key": ("orders", 1, 100, "k7", 50, "orders", 1, 90, 100, "k7", "orders", 1),
    "_all_of_one": ("orders", 1, 100, 50, "orders", 1, 1000, 50, "orders", 1, 1000, "orders", 1, 100),
}
"""The queries of a fetch, and their parameters."""
SURVEYS = {
    "tally": ("orders", 1, 5, 1, 1000, 50, "7,8"),
    "oldest": ("orders", 1, 1000, "7,8"),
    "walk_at_once": ("orders", 1, 5, 0, 100, 0, 2**62, 50, "ready", *[None] * 5, 0, "7,8"),
    "walk_by_schedule": ("orders", 1, 5, 1, -1, 1000, 2**62, 50, "timer", *[None] * 5, 0, "7,8"),
    "stop_at_once": ("orders", 1, 0, 100, 0, 2**62, 625),
    "stop_by_schedule": ("orders", 1, 1, -1, 1000, 2**62, 625),
}
"""Of one lane, with the parameters in the order of their numbers."""
DERIVED = ("r", "ready")


@pytest.fixture(scope="module")
def database() -> Iterator[Any]:
    """The tables of a bus, with some thousand rows in each."""
    name = f"plans_{uuid4().hex[:12]}"
    url = MYSQL.rpartition("/")[0]
    connection = connect(url)
    with connection.cursor() as cursor:
        with suppress(pymysql.err.OperationalError):  # MariaDB has one form only, and MySQL this one too
            cursor.execute("SET SESSION explain_json_format_version = 1")
        cursor.execute(f"CREATE DATABASE {name}")
        asyncio.run(make_tables(f"{url}/{name}"))
        cursor.execute(f"USE {name}")
        for sql in filling():
            cursor.execute(sql)
        yield connection
        cursor.execute(f"DROP DATABASE {name}")
    connection.close()


def connect(url: str) -> Any:
    place = urlsplit(url)
    try:
        return pymysql.connect(
            host=place.hostname,
            port=place.port or 3306,
            user=place.username,
            password=place.password or "",
            autocommit=True,
        )
    except pymysql.err.OperationalError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no server: {error}")


async def make_tables(url: str) -> None:
    store = MysqlStore(url)
    await store.open()
    await store.close()


def filling() -> Iterator[str]:
    def values(form: str) -> str:
        return ", ".join(form.format(n=n, lane=n % 16, tenth=n if n % 10 == 0 else 0) for n in range(1, ROWS))

    yield (
        "INSERT INTO sagabus_envelope (channel, lane, due_at, message_id, message_type, partition_key, body, sent_at, "
        "attempt, timer, stashed, hops) VALUES "
        + values("('orders', {lane}, {tenth}, 'm{n}', 'x', 'k{n}', '{{}}', 1, 0, IF({tenth}, 'payment', NULL), 0, 0)")
    )
    yield (
        "INSERT INTO sagabus_instance (saga, `key`, version, read_version, state, completed_at, created_at, updated_at)"
        " VALUES " + values("('orders', 'k{n}', 1, 0, '{{}}', IF({n} % 2, {n}, NULL), 1, 1)")
    )
    yield (
        "INSERT INTO sagabus_history (saga, `key`, version, committed_at, message_id, message_type, completed, state) "
        "VALUES " + values("('orders', 'k{lane}', {n}, {n}, 'm{n}', 'x', 0, '{{}}')")
    )
    yield (
        "INSERT INTO sagabus_journal (correlation_id, handled_at, subscription, message_id, message_type, sent_at, "
        "attempt, outcome, duration, worker) VALUES "
        + values("('t{lane}', {n}, 'orders', 'm{n}', 'x', 1, 1, 'completed', 1, 'w')")
    )
    yield "INSERT INTO sagabus_inbox VALUES " + values("('orders', 'm{n}', 'f', {n})")
    yield "INSERT INTO sagabus_held_key VALUES " + values("('orders', 'k{n}', {n})")
    yield "INSERT INTO sagabus_horizon VALUES " + values("('c{n}', 1)")
    yield "INSERT INTO sagabus_lane VALUES " + values("('c{n}', 1, 'w', 1, 1, 1, 1, 1, NULL, NULL)")
    yield "INSERT INTO sagabus_lane VALUES ('orders', 1, 'w', 1, 1, 1, 1, 1, NULL, NULL)"
    yield (
        "INSERT INTO sagabus_dead_letter (channel, message_id, fingerprint, status, envelope, body, reason, attempts, "
        "last_failed_at, closed_at, parked) VALUES "
        + values("('orders', 'm{n}', 'f', IF({n} % 2, 'open', 'replayed'), '[]', '', '', 1, 1, {n}, 0)")
    )


@pytest.mark.parametrize("name", HOT)
def test_no_hot_statement_scans_a_table(database: Any, name: str) -> None:
    form = hot_forms()[name]
    (parameters,) = form.parameters(HOT[name])

    assert scans(database, form.ready.sql, parameters) == []


@pytest.mark.parametrize("name", LANES)
def test_no_query_of_a_fetch_scans_a_table(database: Any, name: str) -> None:
    sql = getattr(LaneQueries(sagabus_names()), name)

    assert scans(database, sql, LANES[name]) == []


@pytest.mark.parametrize("name", SURVEYS)
def test_a_look_goes_through_a_lane_by_its_index(database: Any, name: str) -> None:
    sql, order = SurveyQueries(sagabus_names())._each[name]
    parameters = [SURVEYS[name][place] for place in order]

    assert scans(database, sql, parameters) == []
    lanes = [table for table in tables(explained(database, sql, parameters)) if table["table_name"] == "e"]
    assert lanes != []
    assert all(each["key"] == "sagabus_envelope_due" for each in lanes)
    assert all(each["used_key_parts"][:3] == ["channel", "lane", "scheduled"] for each in lanes)
    if name.startswith(("walk", "stop")):
        (lane,) = lanes
        assert lane["used_key_parts"][3] == "due_at"
        text = json.dumps(explained(database, sql, parameters))
        assert '"filesort":' not in text
        assert '"using_filesort": true' not in text


@pytest.mark.parametrize("name", ["_ready", "_scheduled", "_standing"])
def test_a_lane_is_read_from_its_cursor_on(database: Any, name: str) -> None:
    plan = explained(database, getattr(LaneQueries(sagabus_names()), name), LANES[name])

    (lane,) = [table for table in tables(plan) if table["table_name"] == "e"]

    assert lane["key"] == "sagabus_envelope_due"
    assert lane["used_key_parts"][:4] == ["channel", "lane", "scheduled", "due_at"]
    text = json.dumps(plan)
    assert '"filesort":' not in text
    assert '"using_filesort": true' not in text


@pytest.mark.parametrize("name", ["_ends", "anything_due"])
def test_the_ends_of_a_lane_are_found_however_much_is_in_it(database: Any, name: str) -> None:
    """By what is read: where a lane comes from another table, a planner may go by the index and sort all the same."""
    if name in HOT:
        form = hot_forms()[name]
        sql, (parameters,) = form.ready.sql, form.parameters(HOT[name])
    else:
        sql, parameters = getattr(LaneQueries(sagabus_names()), name), LANES[name]

    assert rows_read(database, sql, parameters) < ROWS / 16 / 4


@pytest.mark.parametrize(
    ("name", "index", "parts"),
    [
        ("history_page", "sagabus_history_instance", ["saga", "key", "position"]),
        ("purge_history", "sagabus_history_committed", ["saga", "committed_at"]),
        ("purge_journal", "sagabus_journal_handled", ["subscription", "handled_at"]),
    ],
)
def test_a_history_is_read_and_forgotten_in_the_order_of_its_index(
    database: Any, name: str, index: str, parts: list[str]
) -> None:
    form = hot_forms()[name]
    (parameters,) = form.parameters(HOT[name])
    plan = explained(database, form.ready.sql, parameters)

    (found,) = [table for table in tables(plan) if table.get("key") == index]

    assert found["used_key_parts"] == parts
    text = json.dumps(plan)
    assert '"filesort":' not in text
    assert '"using_filesort": true' not in text


def sagabus_names() -> dict[str, str]:
    return names(table_names("sagabus_", "`"), "sagabus_")


def hot_forms() -> dict[str, Form]:
    return forms({**STATEMENTS, **LOOK}, sagabus_names())


def scans(connection: Any, sql: str, parameters: Any) -> list[tuple[str, str]]:
    """The tables that are read whole, or an index of which is."""
    return [
        (table["table_name"], table["access_type"])
        for table in tables(explained(connection, sql, parameters))
        if table.get("access_type") in ("ALL", "index")
        and table["table_name"] not in DERIVED
        and not table["table_name"].startswith("<")
    ]


def rows_read(connection: Any, sql: str, parameters: Any) -> int:
    """How many rows of tables and indexes a query has looked at."""
    with connection.cursor() as cursor:
        cursor.execute("FLUSH STATUS")
        cursor.execute(sql.replace("%", "%%").replace("?", "%s"), parameters)
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(count) for _, count in cursor.fetchall())


def explained(connection: Any, sql: str, parameters: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN FORMAT=JSON " + sql.replace("%", "%%").replace("?", "%s"), parameters)
        ((plan,),) = cursor.fetchall()
    return json.loads(plan)


def tables(plan: Any) -> list[dict[str, Any]]:
    """All tables of a plan, however deep."""
    if isinstance(plan, list):
        return [table for part in plan for table in tables(part)]
    if not isinstance(plan, dict):
        return []
    here = [plan] if "table_name" in plan else []
    return here + [table for part in plan.values() for table in tables(part)]
