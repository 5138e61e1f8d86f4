"""A queue table's statistics are always wrong, so no hot statement may leave its index to the planner's mood.

Each statement is planned as a prepared one is after some use, without looking at its values; on tables that are new,
on tables that were measured while they were empty, and on full ones. The settings are those of the store's connections.
"""

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from sagabus.stores.postgres import PostgresStore
from sagabus.stores.postgres.connecting import _PLANNING
from sagabus.stores.postgres.flushing import _STATEMENTS as HOT_WRITES
from sagabus.stores.postgres.statements import STATEMENTS
from sagabus.stores.postgres.store import rows_of
from sagabus.stores.sql.dialect import DOLLARS, ready, table_names

URL = os.environ.get("SAGABUS_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")
LARGE = ("envelope", "instance", "inbox", "dead_letter", "held_key", "history", "journal")
HOT = (
    *("fetch", "fetch_few", "at_positions", "load", "anything_due", "suspects"),
    *("sift", "sift_key", "suspects_past_loud", "suspects_of_key"),
    *("remove", "create_instances", "change_instances", "cancel_all_timers", "cancel_timers", "let_go", "let_loose"),
    *("wake", "known", "remember", "record", "expired_record", "purge_inbox", "purge_instances", "purge_letters"),
    *("retry", "mark", "unmark", "stash", "hold", "timer_is_set", "flush", "append", "append_and_tell"),
    *("record_history", "flush_and_record", "history_page", "purge_history"),
    *("note_handled", "flush_and_note", "flush_record_and_note", "conversation_page", "purge_journal"),
)
LOOKS = (
    *("next_channel", "tally", "oldest", "letter_counts"),
    *("walk_at_once", "walk_by_schedule", "stop_at_once", "stop_by_schedule"),
    *("waiting_at", "noted_at", "hold_of_key", "letter_at", "letters_of_key"),
    *("any_letter_at", "letters_naming", "letter_stop", "letter_stop_of_status"),
    *("letter_heads", "letter_heads_of_status"),
)
"""They may sort what they have counted, which is bounded."""
FULL = """
INSERT INTO {envelope} (channel, lane, due_at, message_id, message_type, partition_key, body, sent_at, attempt, stashed,
    hops) SELECT 'c' || n % 4, n % 16, CASE WHEN n % 10 = 0 THEN 1800000000000000 ELSE 0 END, 'm' || n, 't', 'k' || n,
    '{{}}', 1, 0, 0, 0 FROM generate_series(1, 20000) AS n;
INSERT INTO {instance} SELECT 's' || n % 4, 'k' || n, 1, 0, '{{}}', NULL, NULL, CASE WHEN n % 2 = 0 THEN n END, 1, 1
    FROM generate_series(1, 20000) AS n;
INSERT INTO {history} (saga, key, version, committed_at, message_id, message_type, completed, state)
    SELECT 's' || n % 4, 'k' || n / 10, n % 10 + 1, n, 'm' || n, 't', 0, '{{}}' FROM generate_series(1, 20000) AS n;
INSERT INTO {journal} (correlation_id, handled_at, subscription, message_id, message_type, sent_at, attempt, outcome,
    duration, worker) SELECT 't' || n / 100, n, 'c' || n % 4, 'm' || n, 't', 1, 1, 'completed', 1, 'w'
    FROM generate_series(1, 20000) AS n;
INSERT INTO {inbox} SELECT 'c' || n % 4, 'm' || n, 'f', n FROM generate_series(1, 20000) AS n;
"""


class Rig:
    """One schema, and a connection to it as the store makes them."""

    def __init__(self) -> None:
        self.schema = f"plans_{uuid4().hex[:12]}"
        self.tables = table_names("sagabus_", '"', self.schema)
        statements = ready({**STATEMENTS, **HOT_WRITES}, self.tables, rows_of, DOLLARS)
        self.sql = {name: statement.sql for name, statement in statements.items()}
        self.loop = asyncio.new_event_loop()

    def run(self, call: Any) -> Any:
        return self.loop.run_until_complete(call)

    async def begin(self, state: str) -> None:
        store = PostgresStore(f"{URL}?schema={self.schema}")
        await store.open()
        await store.close()
        self.connection = await asyncpg.connect(
            URL, statement_cache_size=0, server_settings={**_PLANNING, "plan_cache_mode": "force_generic_plan"}
        )
        if state == "measured while empty":
            for table in LARGE:
                await self.connection.execute(f"VACUUM ANALYZE {self.tables[table]}")
        if state != "new":
            await self.connection.execute(FULL.format_map(self.tables))
        if state == "full":
            for table in LARGE:
                await self.connection.execute(f"VACUUM ANALYZE {self.tables[table]}")

    async def end(self) -> None:
        await self.connection.execute(f"DROP SCHEMA {self.schema} CASCADE")
        await self.connection.close()

    async def plan(self, name: str) -> Any:
        sql = self.sql[name]
        await self.connection.execute(f"PREPARE asked AS {sql}")
        count = await self.connection.fetchval(
            "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'asked'"
        )
        nulls = f"({', '.join(['NULL'] * count)})" if count else ""
        found = await self.connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE asked{nulls}")
        await self.connection.execute("DEALLOCATE asked")
        return json.loads(found)[0]["Plan"]


@pytest.fixture(scope="module", params=["new", "measured while empty", "full"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    found = Rig()
    found.run(found.begin(request.param))
    yield found
    found.run(found.end())
    found.loop.close()


def nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


@pytest.mark.parametrize("name", HOT)
def test_no_hot_statement_reads_or_sorts_a_whole_table(rig: Rig, name: str) -> None:
    plan = list(nodes(rig.run(rig.plan(name))))

    large = {f"sagabus_{table}" for table in LARGE}
    scans = [node for node in plan if node.get("Relation Name") in large and node["Node Type"] != "ModifyTable"]
    # Whether any key is held at all is told by the first entry of an index.
    whole = [node for node in scans if "Index Cond" not in node and node["Relation Name"] != "sagabus_held_key"]
    sorted_ = [node for node in plan if "Sort" in node["Node Type"] and reads(node, large)]
    assert [(node["Node Type"], node["Relation Name"]) for node in whole] == []
    assert [node["Sort Key"] for node in sorted_] == []


@pytest.mark.parametrize("name", LOOKS)
def test_no_look_reads_a_whole_table_or_sorts_what_has_no_limit(rig: Rig, name: str) -> None:
    plan = list(nodes(rig.run(rig.plan(name))))

    large = {f"sagabus_{table}" for table in LARGE}
    scans = [node for node in plan if node.get("Relation Name") in large]
    whole = [node for node in scans if "Index Cond" not in node and node["Relation Name"] != "sagabus_held_key"]
    sorted_ = [node for node in plan if "Sort" in node["Node Type"] and reads_without_limit(node, large)]
    assert scans != []
    assert [(node["Node Type"], node["Relation Name"]) for node in whole] == []
    assert [node["Sort Key"] for node in sorted_] == []


def test_the_ids_that_a_channel_knows_and_its_horizon_are_found_by_primary_keys(rig: Rig) -> None:
    plan = [node for name in ("known", "horizon_of") for node in nodes(rig.run(rig.plan(name)))]

    found = {
        node["Relation Name"]: node.get("Index Cond", "")
        for node in plan
        if "sagabus" in str(node.get("Relation Name"))
    }
    assert "channel" in found["sagabus_inbox"]
    assert "message_id" in found["sagabus_inbox"]
    assert "channel" in found["sagabus_horizon"]


@pytest.mark.parametrize("name", ["sift", "sift_key"])
def test_what_stands_before_a_cursor_is_looked_through_from_the_floor_to_the_cursor_only(rig: Rig, name: str) -> None:
    plan = list(nodes(rig.run(rig.plan(name))))

    conditions = [node["Index Cond"] for node in plan if node.get("Index Name") == "sagabus_envelope_due"]
    assert [each for each in conditions if "due_at = 0" in each and '"position" > $4' in each and "<= $3" in each]


@pytest.mark.parametrize("name", ["fetch", "fetch_few", "anything_due"])
def test_a_lane_is_entered_and_left_by_the_index(rig: Rig, name: str) -> None:
    plan = list(nodes(rig.run(rig.plan(name))))

    conditions = [node["Index Cond"] for node in plan if node.get("Index Name") == "sagabus_envelope_due"]
    lanes = [condition for condition in conditions if "due_at <=" in condition or "due_at = 0" in condition]
    assert len(lanes) >= 1
    assert [condition for condition in lanes if "channel =" not in condition or "lane =" not in condition] == []


@pytest.mark.parametrize(
    ("name", "index", "fields"),
    [
        ("history_page", "sagabus_history_instance", ("saga =", "key =", '"position" >')),
        ("purge_history", "sagabus_history_committed", ("saga =", "committed_at <")),
        ("conversation_page", "sagabus_journal_conversation", ("correlation_id =", "ROW(handled_at", '"position"')),
        ("purge_journal", "sagabus_journal_handled", ("subscription =", "handled_at <")),
    ],
)
def test_a_history_is_read_and_forgotten_by_its_index(rig: Rig, name: str, index: str, fields: tuple[str, ...]) -> None:
    plan = list(nodes(rig.run(rig.plan(name))))

    (condition,) = [node["Index Cond"] for node in plan if node.get("Index Name") == index]
    assert [field for field in fields if field not in condition] == []


def reads_without_limit(node: Any, tables: set[str]) -> bool:
    if node["Node Type"] == "Limit":
        return False
    below = node.get("Plans", ())
    return node.get("Relation Name") in tables or any(reads_without_limit(each, tables) for each in below)


def reads(node: Any, tables: set[str]) -> bool:
    return any(below.get("Relation Name") in tables for below in nodes(node))
