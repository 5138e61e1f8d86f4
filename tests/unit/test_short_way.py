"""The short way of PostgreSQL: one statement does every effect of a flush, or the shared logic does the flush."""

from dataclasses import fields
from typing import Any

import msgspec
import pytest

from sagabus.envelope import Cause, Envelope
from sagabus.outcome import (
    Claim,
    Completed,
    DeadLettered,
    Discarded,
    Effects,
    Marked,
    Outcome,
    RetryAt,
    Save,
    Stashed,
    Statement,
)
from sagabus.store import Batch, JournalRow
from sagabus.stores.postgres import flushing
from sagabus.stores.postgres.flushing import LEFT, TAKEN, HotStatements, Written
from sagabus.stores.sql.dialect import TABLES
from sagabus.stores.sql.planning import Plan

HOT = HotStatements({name: f"sagabus_{name}" for name in TABLES})
MESSAGE = Envelope(message_id="m1", message_type="t", body=b"{}", channel="orders", partition_key="A1", position=7)
SENT = Envelope(message_id="m2", message_type="t", body=b"{}", channel="billing", partition_key="A1")
TIMER = Envelope(message_id="m3", message_type="t", body=b"{}", channel="orders", partition_key="A1", timer="late")
SAVE = Save("orders", "A1", base=1, state=b"{}", status=None, timers={}, completed=False)
ROW = JournalRow("talk", "orders", "m1", "t", "A1", None, None, 1, 1, "completed", None, 1, 7, "w")

PLAN: dict[str, Any] = {
    "removed": [7],
    "first": {("orders", "A1"): 1},
    "last": {("orders", "A1"): SAVE},
    "sent": [SENT],
    "timers": {("orders", "A1"): {"late": TIMER}},
    "cancelled": {("orders", "A1", "late"): None},
    "recorded": [(MESSAGE, SAVE)],
    "woken": [("orders", "A1")],
    "finished": {("orders", "A1"): None},
    "claims": [("orders", "k", "f", 1)],
    "statements": [Statement("SELECT 1", ())],
    "marked": {(0, 0): [7]},
    "unmarked": [7],
    "journal": [ROW],
    "others": [RetryAt(envelope=MESSAGE, delay=1)],
}
EFFECTS: dict[str, Any] = {
    "save": SAVE,
    "sent": (SENT,),
    "cancelled": ("late",),
    "statements": (Statement("SELECT 1", ()),),
    "claims": (Claim("k", b"f"),),
    "unheard": True,
}
SAVED: dict[str, Any] = {
    "saga": "others",
    "key": "B2",
    "base": 2,
    "state": b'{"a":1}',
    "status": "paid",
    "timers": {"late": "m3"},
    "completed": True,
    "wakes": True,
    "leaves_timers": False,
    "shape": "s1",
    "recorded": True,
}
OTHERS: list[Outcome] = [
    RetryAt(envelope=MESSAGE, delay=1),
    Marked(MESSAGE),
    Marked(MESSAGE, deaths=-1),
    Stashed(MESSAGE, 1),
    DeadLettered(envelope=MESSAGE, reason="no", cause=Cause.FAILED),
]


def flushed(*outcomes: Outcome) -> Written | None:
    return HOT.flush(Batch(outcomes, 1, {("orders", 0): 1}), now=5)


def test_what_it_takes_and_leaves_is_all_that_a_plan_has() -> None:
    names = [field.name for field in fields(Plan)]

    assert sorted([*TAKEN, *LEFT]) == sorted(names)
    assert set(LEFT) == {"woken", "claims", "statements", "marked", "unmarked", "others"}
    assert list(PLAN) == names, "say here what a new effect looks like"


@pytest.mark.parametrize("name", list(PLAN))
def test_each_part_of_a_plan_is_written_or_left(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = {"first": PLAN["first"], "last": PLAN["last"]} if name in ("first", "last") else {name: PLAN[name]}

    def written(**parts: Any) -> Written | None:
        monkeypatch.setattr(flushing, "plan", lambda *_: Plan(**parts))
        return flushed()

    found = written(**alone)

    assert (found is None) == (name in LEFT)
    assert found is None or found != written()


@pytest.mark.parametrize("name", [name for name in EFFECTS if name != "unheard"])
def test_each_effect_of_a_run_is_written_or_left(name: str) -> None:
    assert list(EFFECTS) == list(Effects.__struct_fields__), "say here what a new effect looks like"

    found = flushed(Completed(MESSAGE, Effects(**{name: EFFECTS[name]})))

    assert found is None or found != flushed(Completed(MESSAGE, Effects()))


def test_that_no_subscription_received_an_event_rests_on_the_routing_alone() -> None:
    """Which every flush of the short way is compared with, whatever it sends."""
    found = flushed(Completed(MESSAGE, Effects(unheard=True)))

    assert Effects(unheard=True).is_routed
    assert found is not None
    assert found.parameters[0] == 1


@pytest.mark.parametrize("name", list(SAVED))
def test_each_part_of_a_save_is_written_or_left(name: str) -> None:
    assert list(SAVED) == list(Save.__struct_fields__), "say here what a new part of a save looks like"
    before = SAVE if name != "leaves_timers" else msgspec.structs.replace(SAVE, completed=True)

    found = flushed(Completed(MESSAGE, Effects(save=msgspec.structs.replace(before, **{name: SAVED[name]}))))

    assert found is None or found != flushed(Completed(MESSAGE, Effects(save=before)))


def test_every_other_outcome_is_left_but_a_discarded_one() -> None:
    assert [flushed(outcome) for outcome in OTHERS] == [None] * len(OTHERS)
    assert flushed(Discarded(MESSAGE, "ignored")) == flushed(Completed(MESSAGE, Effects()))
