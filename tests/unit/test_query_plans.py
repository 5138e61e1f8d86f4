"""A queue table's statistics are always wrong, so no hot statement may leave its index to the planner's mood."""

import re

import apsw
import pytest

from sagabus.stores.sql.steps import Query
from sagabus.stores.sqlite import schema
from sagabus.stores.sqlite.sets import Values
from sagabus.stores.sqlite.statements import STATEMENTS

HOT = (
    "before_append",
    "fetch",
    "ready",
    "ready_of_others",
    "ready_of_key",
    "last_ready",
    "due",
    "next_due",
    "anything_due",
    "instances",
    "stashed",
    "remove",
    "which_stored",
    "create_instances",
    "change_instances",
    "cancel_all_timers",
    "let_go",
    "mark",
    "unmark",
    "cancel_timers",
    "known",
    "horizon_of",
    "let_loose",
    "suspects",
    "suspects_past_loud",
    "suspects_of_key",
    "head",
    "expired_record",
    "purge_inbox",
    "purge_instances",
    "purge_letters",
    "record_history",
    "history_page",
    "purge_history",
    "note_handled",
    "conversation_page",
    "purge_journal",
    "any_letter_at",
    "letter_stop",
    "letter_stop_of_status",
    "letter_heads",
    "letter_heads_of_status",
    "letters_naming",
    "next_channel",
    "tally",
    "oldest",
    "letter_counts",
    "walk_at_once",
    "walk_by_schedule",
    "stop_at_once",
    "stop_by_schedule",
    "waiting_at",
    "noted_at",
    "hold_of_key",
    "owner_of_lane",
    "letter_at",
    "letters_of_key",
)

SMALL = {"fetch": ("worker", "held_key"), "before_append": ("held_key",)}
"""Which tables these look through: they have a few rows, or are looked at for whether they have any."""


def planned(name: str) -> list[str]:
    connection = apsw.Connection(":memory:")
    schema.migrate(connection, "memory", 1)
    sql = STATEMENTS[name].sql
    parameters = max((int(number) for number in re.findall(r"\?(\d+)", sql)), default=sql.count("?"))
    return [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, ("[]",) * parameters)]


@pytest.mark.parametrize("name", HOT)
def test_no_hot_statement_scans_a_table(name: str) -> None:
    plan = planned(name)

    scans = [step for step in plan if re.search(r"SCAN (sagabus_|[deihl]\b)", step)]
    small = tuple(f"SCAN sagabus_{table}" for table in SMALL.get(name, ()))
    assert [step for step in scans if not step.startswith(small)] == []


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("history_page", "sagabus_history_instance (saga=? AND key=? AND rowid>?)"),
        ("purge_history", "sagabus_history_committed (saga=? AND committed_at<?)"),
        ("conversation_page", "sagabus_journal_conversation (correlation_id=? AND handled_at>?)"),
        ("purge_journal", "sagabus_journal_handled (subscription=? AND handled_at<?)"),
    ],
)
def test_a_history_is_read_and_forgotten_in_the_order_of_its_index(name: str, index: str) -> None:
    plan = planned(name)

    assert [step for step in plan if step.endswith(index)] != []
    assert [step for step in plan if "TEMP B-TREE" in step] == []


@pytest.mark.parametrize(
    ("name", "stretch"),
    [
        ("walk_at_once", "due_at=? AND position>? AND position<?"),
        ("stop_at_once", "due_at=? AND position>? AND position<?"),
        ("walk_by_schedule", "due_at>? AND due_at<?"),
        ("stop_by_schedule", "due_at>? AND due_at<?"),
        ("tally", "due_at>? AND due_at<?"),
    ],
)
def test_a_look_enters_each_lane_where_it_begins(name: str, stretch: str) -> None:
    lanes = [step for step in planned(name) if "INDEX sagabus_envelope_due" in step]

    assert lanes != []
    assert [step for step in lanes if not step.endswith(f"(channel=? AND lane=? AND {stretch})")] == []


@pytest.mark.parametrize("name", [name for name, form in STATEMENTS.items() if isinstance(form, Values)])
def test_a_set_of_any_size_is_written_by_texts_that_the_driver_keeps_prepared(name: str) -> None:
    longest = apsw.Connection(":memory:").cache_stats()["max_cacheable_bytes"]

    texts = {sql for size in range(1, 3_000, 50) for sql, _ in STATEMENTS[name].parts(Query(name, rows=[()] * size))}

    assert max(map(len, texts)) <= longest
    assert len(texts) <= 7
