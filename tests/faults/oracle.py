"""What is left when all is done, read with other means than the library's own; and what it must be without faults."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from tests.faults.application import PLANNED
from tests.support.databases import Database, SqliteDatabase

from sagabus.testing.campaign.oracle import NOTED, Audit
from sagabus.testing.campaign.orders import CUSTOMERS, ORDERS
from sagabus.testing.campaign.reading import SELECTS, Taken, audited

SAGAS = "i.saga, i.key, i.version, i.status, i.completed_at IS NOT NULL, i.state, i.timers"


def found_in(database: Database, table: str, columns: str = "*", where: str = "") -> list[tuple[Any, ...]]:
    """Rows of the bus's own; where ids are bytes, as what they say."""
    return [
        tuple(value.decode() if isinstance(value, bytes) else value for value in row)
        for row in database.of_bus(table, columns, where)
    ]


def left_by(database: Database) -> dict[str, Any]:
    """Everything that must be the same after every fault, and on every database."""
    sagas = found_in(database, "instance", SAGAS, "AS i")
    return {
        "effects": {one.table: database.rows("*", one.table) for one in SELECTS.values()},
        "rows": {name: Counter(database.run(one.sql)) for name, one in SELECTS.items()},
        "placed": database.rows("*", "placed"),
        "sagas": {(saga, key): (*rest, _state(saga, key, state)) for saga, key, *rest, state, _ in sagas},
        "history": history_in(database),
        "timers": sorted((saga, key, timers) for saga, key, *_, timers in sagas if timers),
        "dead": sorted(found_in(database, "dead_letter", "channel, message_id, status, reason, body")),
        "inbox": sorted(found_in(database, "inbox", "channel, message_id")),
        "waiting": found_in(database, "envelope"),
        "held": found_in(database, "held_key"),
        "file": database.run("PRAGMA integrity_check") if isinstance(database, SqliteDatabase) else [("ok",)],
    }


def history_in(database: Database) -> dict[tuple[str, str], Any]:
    """Of each instance with a history: its versions in order, what made them, and the state at its end."""
    found: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    key = "`key`" if database.kind == "mysql" else "key"
    columns = f"position, saga, {key}, version, message_id, message_type, timer, completed, state"
    for _, *place, version, message, kind, timer, completed, state in sorted(found_in(database, "history", columns)):
        found.setdefault((place[0], place[1]), []).append((version, message, kind, timer, completed, state))
    return {
        place: (
            [row[0] for row in rows],
            sorted((row[1:4] for row in rows), key=repr),
            _state(*place, rows[-1][5]),
        )
        for place, rows in found.items()
    }


def lanes_owned(database: Database) -> int:
    count: int = database.of_bus("lane", "count(*)", "WHERE owner IS NOT NULL")[0][0]
    return count


def _state(saga: str, key: str, text: str) -> Any:
    state = json.loads(text)
    if saga == CUSTOMERS:
        state["closed"].sort()  # its orders close in any order
    elif key == "early":
        state["steps"].sort(key=lambda step: step.startswith(f"{NOTED} "))  # it comes some time after the start
    return state


def check_undisturbed(left: dict[str, Any]) -> None:
    """What the oracle expects of the plan, so that not everything rests on comparing the library with itself."""
    sagas, effects = left["sagas"], left["effects"]
    taken = {key: Taken(state["status"], tuple(state["steps"])) for key, (*_, state) in of_saga(sagas, ORDERS)}
    closed = {key: state["closed"] for key, (*_, state) in of_saga(sagas, CUSTOMERS)}
    assert audited(PLANNED.values(), left["rows"], taken, closed) == Audit(completed=len(PLANNED))
    assert {key: value[:3] for key, value in of_saga(sagas, ORDERS)} == {
        key: (5 if order.noted else 4, "closed", 1) for key, order in PLANNED.items()
    }
    assert {key: value[0] for key, value in of_saga(sagas, CUSTOMERS)} == {"Ada": 4, "Bob": 1}
    assert {place: (versions, state) for place, (versions, _, state) in left["history"].items()} == {
        (ORDERS, key): (list(range(1, value[0] + 1)), value[3]) for key, value in of_saga(sagas, ORDERS)
    }
    begun = [row[:2] for row in left["history"][ORDERS, "plain"][1]]
    assert begun.count(("submit-plain", "campaign.order_submitted")) == 1
    assert [row[:3] for row in left["dead"]] == [("noise", "noise-1", "open")]
    assert (left["waiting"], left["held"], left["timers"]) == ([], [], [])
    assert left["placed"] == [("in-transaction",)]
    assert left["file"] == [("ok",)]
    message_ids = [row[:2] for row in effects["campaign_journal"]]
    assert len(set(message_ids)) == len(message_ids)
    charges = [charge for *_, charge in effects["campaign_payment"]]
    assert len(set(charges)) == len(charges)


def of_saga(sagas: dict[tuple[str, str], Any], name: str) -> list[tuple[str, Any]]:
    return [(key, value) for (saga, key), value in sagas.items() if saga == name]
