"""A queue table's statistics are always wrong, so no hot statement may leave its index to the planner's mood."""

import re

import apsw
import pytest

from sagabus.stores.sqlite import schema
from sagabus.stores.sqlite.statements import STATEMENTS

HOT = (
    "ready",
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
    "cancel_timers",
    "known",
    "let_loose",
    "suspects",
    "head",
    "expired_record",
    "purge_inbox",
    "purge_instances",
    "purge_letters",
)


@pytest.mark.parametrize("name", HOT)
def test_no_hot_statement_scans_a_table(name: str) -> None:
    connection = apsw.Connection(":memory:")
    schema.migrate(connection, "memory", 1)
    sql = STATEMENTS[name].sql
    parameters = max((int(number) for number in re.findall(r"\?(\d+)", sql)), default=sql.count("?"))

    plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, ("[]",) * parameters)]

    assert [step for step in plan if re.search(r"SCAN (sagabus_|[deihl]\b)", step)] == []
