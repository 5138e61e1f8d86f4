"""A queue table's statistics are always wrong, so no hot statement may leave its index to the planner's mood."""

import re

import apsw
import pytest

from sagabus.stores.sqlite import appending, leasing, letters, reading, schema, settling

STATEMENTS = {
    "ready": reading._READY,
    "due": reading._DUE,
    "next due": reading._NEXT,
    "anything due": reading._DUE_AT_ALL,
    "instances": reading._INSTANCES,
    "stash": reading._STASH,
    "remove": settling._REMOVE,
    "cancel all timers": settling._CANCEL_ALL,
    "let go": settling._LET_GO,
    "cancel timers": appending._CANCEL,
    "known ids": appending._KNOWN,
    "let loose": appending._LET_LOOSE,
    "suspects": leasing._SUSPECTS,
    "expired ids": letters._EXPIRED,
    "tombstones": letters._TOMBSTONES,
    "closed letters": letters._CLOSED,
    "save": settling._SAVE._texts[1].replace("?", "1"),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_hot_statement_scans_a_table(name: str) -> None:
    connection = apsw.Connection(":memory:")
    schema.migrate(connection, "memory", 1)
    sql = STATEMENTS[name]
    parameters = max((int(number) for number in re.findall(r"\?(\d+)", sql)), default=0)

    plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, ("[]",) * parameters)]

    assert [step for step in plan if re.search(r"SCAN (sagabus_|[deihl]\b)", step)] == []
