"""What is kept of an error where the classes of its message are not known, or cannot be read."""

from typing import Annotated, Any

import pytest

from sagabus import Bus, Context, Hidden, Saga, event, handler, starts
from sagabus.engine.failure_texts import FailureTexts
from sagabus.envelope import Envelope
from sagabus.text import HIDDEN


@event("texts.noted")
class Noted:
    key: str
    card: Annotated[str, Hidden]
    note: str = ""


@handler("other")
def other(message: Noted) -> None: ...


class Notes(Saga, name="notes", key="key"):
    key: str
    token: Annotated[str, Hidden] = ""

    @starts
    def noted(self, message: Noted, ctx: Context) -> None: ...


OTHER, NOTES = Bus("memory:", other, Notes).definitions
ERROR = ValueError("card c4rd-5ecret, note n0te-plain, token t0ken-5ecret")
BODY = b'{"key":"A","card":"c4rd-5ecret","note":"n0te-plain"}'


def envelope(message_type: str = "texts.noted", body: bytes = BODY) -> Envelope:
    return Envelope(message_id="m", message_type=message_type, body=body, channel="other")


@pytest.mark.parametrize(("known", "note"), [(Noted, "n0te-plain"), (None, HIDDEN)], ids=["by the sender", "by nobody"])
def test_of_a_class_that_nothing_knows_no_value_is_repeated(known: type[object] | None, note: str) -> None:
    texts = FailureTexts(class_of={"texts.sent": known}.get)

    failure = texts.of_run(OTHER, envelope("texts.sent"), ERROR)

    assert failure.text == f"card {HIDDEN}, note {note}, token t0ken-5ecret"
    assert failure.text in failure.traceback


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"[" * 5_000 + b"]" * 5_000, b"\xff"])
def test_a_body_that_is_none_costs_nothing(body: bytes) -> None:
    assert FailureTexts().of_run(OTHER, envelope(body=body), ERROR).text == str(ERROR)


def test_a_state_that_has_no_json_form_any_more_is_looked_through_field_by_field() -> None:
    state = Notes(key="A", token="t0ken-5ecret")
    state.key = {object()}  # type: ignore[assignment]

    failure = FailureTexts().of_run(NOTES, envelope(), ERROR, [state])

    assert failure.text == f"card {HIDDEN}, note n0te-plain, token {HIDDEN}"


def test_what_hides_cannot_be_read_and_the_error_is_kept_by_its_type(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("c4rd-5ecret")

    monkeypatch.setattr("sagabus.codec.masks.hidden_paths", broken)

    failure = FailureTexts().of_run(OTHER, envelope(), ERROR)

    assert (failure.said, failure.traceback) == ("ValueError", "")
    assert "what texts.noted hides cannot be read: RuntimeError" in caplog.text
    assert "c4rd" not in caplog.text
