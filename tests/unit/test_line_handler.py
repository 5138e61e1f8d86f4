"""The lines of a commit in one go are those that records would make, one by one."""

import io
import json
import logging
from collections.abc import Iterator, Sequence

import pytest

from sagabus.envelope import Cause, Envelope
from sagabus.observer import Commit
from sagabus.outcome import Completed, DeadLettered, Effects, Outcome
from sagabus.telemetry import message_record
from sagabus.telemetry.fields import Fields, MessageFields
from sagabus.telemetry.json_lines import JsonLines
from sagabus.telemetry.line_handler import LineHandler
from sagabus.telemetry.message_log import MessageLog
from sagabus.telemetry.text_lines import TextLines

FORMATTERS = pytest.mark.parametrize("formatter", [JsonLines(), TextLines()], ids=["json", "text"])
ODD = [
    'x", "saga": "y',
    'a"b',
    "a\\b",
    "x\n2026-01-01 ERROR forged",
    "\x1b[31m",
    "Zoë",
    '", "level": "error',
    "\u2028",
    "",
]


def envelope(number: int, key: str | None = "A", channel: str = "notes", **more: object) -> Envelope:
    return Envelope(f"m{number}", "shop.noted", b"{}", channel, partition_key=key, **more)  # type: ignore[arg-type]


def done(number: int, key: str | None = "A", **more: object) -> Completed:
    return Completed(envelope(number, key, **more), Effects())


def commit_of(*outcomes: Outcome) -> Commit:
    return Commit(outcomes, (), [0.25 / (place + 1) for place in range(len(outcomes))], sagas={"trips"})


MIXED = commit_of(
    done(1),
    done(2, correlation_id="c", attempt=2),
    DeadLettered(envelope=envelope(3), reason="no such order", cause=Cause.FAILED),
    done(4, None),
    done(5, timer="late"),
    *(done(6 + place, key) for place, key in enumerate(ODD)),
    *(done(20 + place, correlation_id=key) for place, key in enumerate(ODD)),
    *(done(40 + place, key, channel="trips") for place, key in enumerate(ODD)),
    done(60, channel="trips", timer="late"),
    DeadLettered(envelope=envelope(61, channel="trips"), reason="no such trip", cause=Cause.FAILED),
    done(62, channel="trips"),
    done(63),
)


class Counting(LineHandler):
    """Knows how often it was written to."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__(io.StringIO())
        self.setFormatter(formatter)
        self.flushes = 0

    def flush(self) -> None:
        self.flushes += 1

    @property
    def lines(self) -> Sequence[str]:
        return self.stream.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger("sagabus.messages")
    found.setLevel(logging.INFO)
    yield found
    for each in (*found.handlers,):
        found.removeHandler(each)
    found.filters.clear()
    found.setLevel(logging.NOTSET)


@pytest.fixture
def at_once(logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    """All records have one time, so that lines can be compared."""
    monkeypatch.setattr(logging.time, "time", lambda: 1_700_000_000.5)  # type: ignore[attr-defined]


@FORMATTERS
@pytest.mark.usefixtures("at_once")
def test_the_lines_of_a_commit_are_those_of_its_records(logger: logging.Logger, formatter: logging.Formatter) -> None:
    quick, records = Counting(formatter), logging.StreamHandler(io.StringIO())
    records.setFormatter(formatter)
    quick.addFilter(MessageFields())
    logger.addHandler(quick)
    logger.addHandler(records)

    MessageLog().committed(MIXED)

    assert quick.lines == records.stream.getvalue().splitlines()
    assert len(quick.lines) == len(MIXED.handled)
    assert quick.flushes == 1


@FORMATTERS
def test_no_record_is_made_for_messages_as_most_are(
    logger: logging.Logger, formatter: logging.Formatter, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = Counting(formatter)
    logger.addHandler(quick)
    monkeypatch.delattr(message_record, "message_record")

    MessageLog().committed(commit_of(*(done(number, channel=("notes", "trips")[number % 2]) for number in range(50))))

    assert len(quick.lines) == 50
    assert quick.flushes == 1


@FORMATTERS
def test_a_forged_value_never_adds_a_line_or_a_field(logger: logging.Logger, formatter: logging.Formatter) -> None:
    quick = Counting(formatter)
    logger.addHandler(quick)

    MessageLog().committed(MIXED)

    assert all(line.isprintable() for line in quick.lines)
    assert not any(line.startswith("2026-01-01") for line in quick.lines)
    if isinstance(formatter, JsonLines):
        found = [json.loads(line) for line in quick.lines]
        assert {each["level"] for each in found} == {"info"}
        assert {(each["subscription"], each.get("saga")) for each in found} == {("notes", None), ("trips", "trips")}


def without_key(fields: dict[str, object]) -> Fields:
    return {name: value for name, value in fields.items() if name != "key"}


def test_what_is_redacted_is_not_in_the_lines(logger: logging.Logger) -> None:
    quick = Counting(JsonLines())
    logger.addHandler(quick)

    MessageLog(without_key).committed(commit_of(done(1, "secret")))

    assert [json.loads(line)["message_id"] for line in quick.lines] == ["m1"]
    assert "secret" not in "".join(quick.lines)


@pytest.mark.parametrize("place", ["handler", "logger"])
def test_a_filter_of_the_application_sees_every_message(logger: logging.Logger, place: str) -> None:
    quick = Counting(TextLines())
    logger.addHandler(quick)
    (quick if place == "handler" else logger).addFilter(lambda record: record.message_id == "m2")

    MessageLog().committed(commit_of(done(1), done(2)))

    assert ["m2" in line for line in quick.lines] == [True]


def test_what_the_applications_own_factory_adds_is_a_field_of_each_line(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Marked(logging.LogRecord):
        def __init__(self, *args: object, **more: object) -> None:
            super().__init__(*args, **more)  # type: ignore[arg-type]
            self.service = "shop"

    quick = Counting(JsonLines())
    logger.addHandler(quick)
    monkeypatch.setattr(logging, "_logRecordFactory", Marked)

    MessageLog().committed(commit_of(done(1)))

    assert [json.loads(line)["service"] for line in quick.lines] == ["shop"]


def test_a_handler_above_the_level_gets_nothing(logger: logging.Logger) -> None:
    quick = Counting(TextLines())
    quick.setLevel(logging.WARNING)
    logger.addHandler(quick)

    MessageLog().committed(commit_of(done(1)))

    assert quick.lines == []


def test_a_stream_that_fails_disturbs_no_commit(logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    quick, seen = Counting(TextLines()), list[logging.LogRecord]()
    monkeypatch.setattr(quick, "handleError", seen.append)
    quick.stream.close()
    logger.addHandler(quick)

    MessageLog().committed(commit_of(done(1)))

    assert [record.name for record in seen] == ["sagabus.messages"]


def test_with_another_formatter_it_is_a_handler_as_any_other(logger: logging.Logger) -> None:
    other = Counting(logging.Formatter("%(message_id)s"))
    logger.addHandler(other)

    MessageLog().committed(commit_of(done(1), done(2)))

    assert other.lines == ["m1", "m2"]


class Marked(JsonLines):
    """What an application makes of ours."""

    def format(self, record: logging.LogRecord) -> str:
        return f"shop {super().format(record)}"


class Upper(Counting):
    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).upper()


class Ended(Counting):
    terminator = ";\n"


@pytest.mark.parametrize(
    ("handler", "line"),
    [(Counting(Marked()), "shop {"), (Upper(TextLines()), " COMPLETED IN 0."), (Ended(TextLines()), "attempt 1;")],
    ids=["formatter", "handler", "terminator"],
)
def test_what_an_application_makes_of_ours_writes_its_own_lines(
    logger: logging.Logger, handler: Counting, line: str
) -> None:
    logger.addHandler(handler)

    MessageLog().committed(commit_of(done(1), done(2)))

    assert [line in each for each in handler.lines] == [True, True]


@FORMATTERS
def test_a_commit_that_was_not_timed_has_its_lines(logger: logging.Logger, formatter: logging.Formatter) -> None:
    quick = Counting(formatter)
    logger.addHandler(quick)

    MessageLog().committed(Commit([done(1), done(2)]))

    assert ["in 0.000000 s" in line for line in quick.lines] == [True, True]
