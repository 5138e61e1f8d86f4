"""What is left when all is done, read with other means than the library's own; and what it must be without faults."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.faults.application import ORDERS, TABLES


def prepare(path: Path, tables: str = TABLES) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(tables)


def query(path: Path, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(sql, parameters).fetchall()


def left_by(path: Path) -> dict[str, Any]:
    """Everything that must be the same after every fault."""
    sagas = query(
        path, "SELECT saga, key, version, status, completed_at IS NOT NULL, state, timers FROM sagabus_instance"
    )
    return {
        "ledger": sorted(query(path, "SELECT * FROM ledger")),
        "placed": query(path, "SELECT * FROM placed"),
        "sagas": {(saga, key): (*rest, _state(saga, key, state)) for saga, key, *rest, state, _ in sagas},
        "timers": sorted((saga, key, timers) for saga, key, *_, timers in sagas if timers),
        "dead": sorted(query(path, "SELECT channel, message_id, status, reason, body FROM sagabus_dead_letter")),
        "inbox": sorted(query(path, "SELECT channel, message_id FROM sagabus_inbox")),
        "waiting": query(path, "SELECT * FROM sagabus_envelope"),
        "held": query(path, "SELECT * FROM sagabus_held_key"),
        "file": query(path, "PRAGMA integrity_check"),
    }


def lanes_owned(path: Path) -> int:
    count: int = query(path, "SELECT count(*) FROM sagabus_lane WHERE owner IS NOT NULL")[0][0]
    return count


def _state(saga: str, key: str, text: str) -> Any:
    state = json.loads(text)
    if saga == "customers":
        state["closed"].sort()  # its orders close in any order
    elif key == "early":
        state["steps"].sort()  # what was stashed comes some time after the start
    return state


def check_undisturbed(left: dict[str, Any]) -> None:
    """The result by hand, so that not everything rests on comparing the library with itself."""
    per_order = {
        "orders": 4,
        "customers": 1,
        "capture": 1,
        "reserve": 1,
        "mailer": 1,
        "auditor": 1,
    }
    counted = {name: [row[2] for row in left["ledger"] if row[0] == name] for name in (*per_order, "noise")}
    expected = {name: sorted(list(ORDERS) * times) for name, times in per_order.items()}
    expected["orders"] = sorted([*expected["orders"], "early"])
    assert {name: sorted(rows) for name, rows in counted.items()} == {**expected, "noise": []}
    assert {key: value[:3] for key, value in left["sagas"].items() if key[0] == "orders"} == {
        ("orders", order): (5 if order == "early" else 4, "closed", 1) for order in ORDERS
    }
    assert {key: value[0] for key, value in left["sagas"].items() if key[0] == "customers"} == {
        ("customers", "Ada"): 4,
        ("customers", "Bob"): 1,
    }
    steps = [step.split()[0] for step in left["sagas"][("orders", "plain")][3]["steps"]]
    assert steps == ["submitted", "captured", "reserved", "closed"]
    assert all(row[3] == "reserved 1" for row in left["ledger"] if row[3].startswith("reserved"))
    assert [row[:3] for row in left["dead"]] == [("noise", "noise-1", "open")]
    assert (left["waiting"], left["held"], left["timers"]) == ([], [], [])
    assert left["file"] == [("ok",)]
    message_ids = [row[:2] for row in left["ledger"]]
    assert len(set(message_ids)) == len(message_ids)
