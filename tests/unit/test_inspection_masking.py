"""What is shown of records by the classes that are known, of those too that cannot be read."""

import json
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from sagabus import Bus, Cause, DeadLetter, Envelope, Hidden, Saga, event, handler, starts
from sagabus.bus.inspection.masking import Masks
from sagabus.bus.views import SagaRecord
from sagabus.clock import moment
from sagabus.codec.masks import HIDDEN
from sagabus.errors import StateInvalid

S = "s3cret"


@event("masking.charged", aliases=["masking.old"])
class Charged:
    key: str
    card: Annotated[str, Hidden]


@event("masking.plain")
class Plain:
    key: str


class Charges(Saga, name="masking.charges", key="key"):
    key: str
    card: Annotated[str, Hidden] = ""

    @starts
    def charged(self, message: Charged) -> None: ...


@handler("masking.plain", key="key")
def plain(message: Plain) -> None: ...


MASKS = Masks(Bus("memory:", Charges, plain).definitions)
BODY = {"key": "A1", "card": S}
SHOWN = {"key": "A1", "card": HIDDEN}


def letter(body: bytes, *, channel: str = "masking.charges", name: str = "masking.charged", **more: Any) -> DeadLetter:
    envelope = Envelope(message_id="m1", message_type=name, body=body, channel=channel, **more)
    return DeadLetter(id=1, envelope=envelope, reason="", cause=Cause.FAILED)


def record(state: Any, error: Any = None) -> SagaRecord[Any]:
    return SagaRecord(
        saga="masking.charges",
        key="A1",
        version=1,
        status=None,
        completed=False,
        state=state,
        error=error,
        timers={},
        created_at=moment(0),
        updated_at=moment(0),
    )


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (letter(json.dumps(BODY).encode()), SHOWN),
        (letter(json.dumps(BODY).encode(), name="masking.old"), SHOWN),
        (letter(json.dumps(BODY).encode(), channel="broker:in"), SHOWN),
        (letter(json.dumps(BODY).encode(), name="masking.other"), {"key": HIDDEN, "card": HIDDEN}),
        (letter(json.dumps({"key": "x", "row": S}).encode(), damage="lane"), {"key": HIDDEN, "row": HIDDEN}),
        (letter(S.encode()), HIDDEN),
        (letter(b"\xff" + S.encode()), HIDDEN),
    ],
)
def test_of_a_dead_letter_that_is_shown_what_its_class_shows(found: DeadLetter, shown: object) -> None:
    assert json.loads(MASKS.over(found).envelope.body) == shown


def test_of_a_message_without_marks_all_is_shown_damaged_or_not() -> None:
    for body in (b'{"key":1,"odd":2}', b"\xffno json", b""):
        assert MASKS.over(letter(body, name="masking.plain")).envelope.body == body


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (record(dict(BODY)), SHOWN),
        (record(Charges(key="A1", card=S)), SHOWN),
        (record(S), HIDDEN),
        (record({**BODY, "older": S}), {**SHOWN, "older": HIDDEN}),
        (record({"key": S, "state": S}, StateInvalid("masking.charges", "", "x")), {"key": HIDDEN, "state": HIDDEN}),
    ],
)
def test_of_a_state_that_is_shown_what_its_class_shows(found: SagaRecord[Any], shown: object) -> None:
    assert MASKS.over(found).state == shown


@dataclass
class Entry:
    verb: str
    value: Any
    shown: Any


ENTRIES = {
    "fields of a state": Entry("saga.patch", {"version": 1, "fields": BODY}, {"version": 1, "fields": SHOWN}),
    "no fields": Entry("saga.cancel", {"version": 1}, {"version": 1}),
    "a body": Entry(
        "dead-letter.edit",
        {"message_type": "masking.charged", "body": json.dumps(BODY)},
        {"message_type": "masking.charged", "body": '{"key":"A1","card":"(hidden)"}'},
    ),
    "a body of an older release, which did not say its type": Entry(
        "dead-letter.edit", {"body": json.dumps(BODY)}, {"body": '{"key":"(hidden)","card":"(hidden)"}'}
    ),
    "a body that is no JSON": Entry("dead-letter.edit", {"body": S}, {"body": '"(hidden)"'}),
    "no object": Entry("saga.patch", S, HIDDEN),
    "nothing": Entry("saga.patch", None, None),
    "without values": Entry("subscription.pause", {"paused": True}, {"paused": True}),
}


@pytest.mark.parametrize("what", ENTRIES)
def test_of_the_audit_log_that_is_shown_what_the_class_shows(what: str) -> None:
    entry = ENTRIES[what]

    assert MASKS.over_change(entry.verb, "masking.charges", entry.value) == entry.shown
