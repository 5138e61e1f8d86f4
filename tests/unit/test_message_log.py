"""Lines about messages, and the message at hand in the user's own lines: safe, without bodies, and only if wanted."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from tests.scenarios.shop import Noted

from sagabus import Context, RetryPolicy, Saga, handler, starts, timer
from sagabus.telemetry.fields import Fields, MessageContext, MessageFields, add_message_fields, current_fields
from sagabus.telemetry.json_lines import JsonLines
from sagabus.telemetry.line_handler import LineHandler
from sagabus.telemetry.message_log import MessageLog
from sagabus.testing import Harness

FORGED = "x\n2026-01-01 ERROR forged\x1b[31m"
mine = logging.getLogger("tests.mine")


class Lines(logging.Handler):
    """Keeps every record, as a handler of the application's would get it."""

    def __init__(self, *filters: logging.Filter) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        for each in filters:
            self.addFilter(each)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def only(self, name: str) -> list[logging.LogRecord]:
        return [record for record in self.records if record.name == name]


@pytest.fixture
def listen() -> Iterator[Any]:
    root, lines = logging.getLogger(), list[Lines]()
    levels = {logger: logger.level for logger in (root, logging.getLogger("sagabus"))}
    root.setLevel(logging.INFO)
    logging.getLogger("sagabus").setLevel(logging.NOTSET)

    def add(*filters: logging.Filter) -> Lines:
        lines.append(Lines(*filters))
        root.addHandler(lines[-1])
        return lines[-1]

    yield add
    for logger, level in levels.items():
        logger.setLevel(level)
    for each in lines:
        root.removeHandler(each)


@handler("notes", key="key", retry=RetryPolicy(attempts=2))
async def notes(message: Noted, ctx: Context) -> None:
    await asyncio.sleep(0)
    mine.info("mine")
    if message.number:
        raise ValueError("the card 4111 was refused")


class Ticking(Saga, name="ticking", key="key"):
    key: str

    @starts
    def noted(self, message: Noted, ctx: Context) -> None:
        mine.info("mine")
        ctx.set_timer("tick", after=timedelta(minutes=1))

    @timer("tick")
    def tick(self) -> None:
        mine.info("mine")


async def test_each_message_leaves_one_line_with_its_fields(listen: Any) -> None:
    lines = listen()
    async with Harness(notes, observers=[MessageLog()]) as bus:
        await bus.publish(Noted(key="A"), message_id="m1")
        await bus.publish(Noted(key="B", number=1), message_id="m2", correlation_id="c")
        await bus.advance(timedelta(minutes=1))

    found = [vars(record) for record in lines.only("sagabus.messages")]
    assert [(each["message_id"], each["result"], each["attempt"]) for each in found] == [
        ("m1", "completed", 1),
        ("m2", "retried", 1),
        ("m2", "dead-lettered", 2),
    ]
    assert (found[0]["subscription"], found[0]["key"], found[0]["correlation_id"]) == ("notes", "A", "m1")
    assert (found[2]["correlation_id"], found[2]["cause"]) == ("c", "failed")
    assert all(each["duration"] >= 0 for each in found)
    texts = [text for each in found for text in each.values() if isinstance(text, str)]
    assert not any("4111" in text for text in texts), "texts of errors may be personal"


class Refusing(Saga, name="refusing", key="key", retry=RetryPolicy(attempts=2)):
    key: str

    @starts
    def noted(self, message: Noted) -> None:
        raise ValueError(message.key)


async def test_a_line_names_the_saga_whatever_becomes_of_the_message_and_none_for_a_handler(listen: Any) -> None:
    lines, written = listen(), LineHandler(io.StringIO())
    written.setFormatter(JsonLines())
    logging.getLogger("sagabus.messages").addHandler(written)
    try:
        async with Harness(notes, Ticking, Refusing, observers=[MessageLog()]) as bus:
            await bus.publish(Noted(key="A"))
            await bus.advance(timedelta(minutes=1))
    finally:
        logging.getLogger("sagabus.messages").removeHandler(written)

    records = [vars(record) for record in lines.only("sagabus.messages")]
    in_json = [json.loads(line) for line in written.stream.getvalue().splitlines()]  # type: ignore[attr-defined]
    expected = [
        ("notes", "completed", None),
        ("refusing", "dead-lettered", "refusing"),
        ("refusing", "retried", "refusing"),
        ("ticking", "completed", "ticking"),
        ("ticking", "completed", "ticking"),
    ]
    for found in (records, in_json):
        assert sorted((each["subscription"], each["result"], each.get("saga")) for each in found) == expected
        assert ["saga" in each for each in found] == [each["subscription"] != "notes" for each in found]


async def test_a_line_reads_well(listen: Any) -> None:
    lines = listen()
    async with Harness(Ticking, observers=[MessageLog()]) as bus:
        await bus.publish(Noted(key="A"), message_id="m1")
        await bus.advance(timedelta(minutes=1))

    first, second = (record.getMessage() for record in lines.only("sagabus.messages"))
    assert first == "ticking A: shop.noted m1 completed in 0.000000 s, attempt 1"
    assert second.startswith("ticking A: sagabus.timer tick ")


async def test_without_the_observer_a_message_leaves_no_line(listen: Any) -> None:
    lines = listen()
    async with Harness(notes) as bus:
        await bus.publish(Noted(key="A"))

    assert [record for record in lines.records if record.name.startswith("sagabus")] == []


async def test_nothing_is_made_for_a_level_that_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[object]()
    monkeypatch.setattr("sagabus.telemetry.message_log.blank", made.append)
    logger = logging.getLogger("sagabus.messages")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        async with Harness(notes, observers=[MessageLog()]) as bus:
            await bus.publish(Noted(key="A"))
    finally:
        logger.setLevel(before)  # it forgets what it has found for other levels, too

    assert made == []


async def test_own_lines_say_which_message_they_are_about_and_only_inside_runs(listen: Any) -> None:
    lines = listen(MessageFields())
    mine.info("outside")
    async with Harness(notes, Ticking, observers=[MessageContext()]) as bus:
        await bus.publish(Noted(key="A"), message_id="m1")
        await bus.advance(timedelta(minutes=1))
    mine.info("outside")

    before, *inside, after = lines.only("tests.mine")
    assert "message_id" not in vars(before) | vars(after)
    assert {(record.subscription, record.key, getattr(record, "timer", None)) for record in inside} == {
        ("notes", "A", None),
        ("ticking", "A", None),
        ("ticking", "A", "tick"),
    }
    assert {getattr(record, "saga", None) for record in inside} == {None, "ticking"}
    assert {record.attempt for record in inside} == {1}
    assert current_fields() == {}


async def test_a_handler_in_a_thread_knows_its_message(listen: Any) -> None:
    lines = listen(MessageFields())

    @handler("threaded", thread=True)
    def threaded(message: Noted) -> None:
        mine.info("mine")

    async with Harness(threaded, observers=[MessageContext()]) as bus:
        await bus.publish(Noted(key="A"), message_id="m1")

    assert [record.message_id for record in lines.only("tests.mine")] == ["m1"]


async def test_what_strangers_wrote_is_printable_in_fields_and_lines(listen: Any) -> None:
    lines = listen(MessageFields())
    async with Harness(notes, observers=[MessageContext(), MessageLog()]) as bus:
        await bus.publish(Noted(key=FORGED))

    found = lines.only("sagabus.messages") + lines.only("tests.mine")
    assert len(found) == 2
    for record in found:
        assert record.getMessage().isprintable()
        assert record.key.isprintable()


async def test_structlog_gets_the_fields_by_a_processor() -> None:
    seen = list[Any]()

    @handler("notes")
    def structured(message: Noted) -> None:
        seen.append(add_message_fields(None, "info", {"event": "booked", "key": "mine"}))

    async with Harness(structured, observers=[MessageContext()]) as bus:
        await bus.publish(Noted(key="A"), message_id="m1")

    assert seen[0] | {"event": "booked", "key": "mine", "message_id": "m1", "subscription": "notes"} == seen[0]
    assert add_message_fields(None, "info", {"event": "outside"}) == {"event": "outside"}


def without_key(fields: dict[str, object]) -> Fields:
    return {name: value for name, value in fields.items() if name != "key"}


def broken(fields: dict[str, object]) -> Fields:
    raise KeyError(fields["key"])


async def test_a_hook_decides_what_is_written(listen: Any) -> None:
    lines = listen(MessageFields(without_key))
    async with Harness(notes, observers=[MessageContext(), MessageLog(without_key)]) as bus:
        await bus.publish(Noted(key="secret"), message_id="m1")

    found = lines.only("sagabus.messages") + lines.only("tests.mine")
    assert {record.message_id for record in found} == {"m1"}
    assert not any("secret" in repr(vars(record)) + record.getMessage() for record in found)


async def test_a_hook_that_fails_holds_everything_back_and_costs_no_line(listen: Any) -> None:
    lines = listen(MessageFields(broken))
    async with Harness(notes, observers=[MessageContext(), MessageLog(broken)]) as bus:
        await bus.publish(Noted(key="secret"), message_id="m1")

    found = lines.only("sagabus.messages") + lines.only("tests.mine")
    assert [record.redaction_failed for record in found] == ["KeyError"] * 2
    assert not any("secret" in repr(vars(record)) or "m1" in record.getMessage() for record in found)


# --- JSON -------------------------------------------------------------------------------------------------------------


class Odd:
    def __str__(self) -> str:
        raise RuntimeError


def record_of(*args: object, **extra: Any) -> logging.LogRecord:
    return logging.getLogger("shop").makeRecord("shop", logging.WARNING, "f", 1, "paid %s", args, None, extra=extra)


def test_a_record_is_one_json_object_with_its_fields() -> None:
    line = JsonLines().format(record_of("\x1b\n\u2028ü", key=FORGED, count=3, at=timedelta(seconds=1), odd=Odd()))

    found = json.loads(line)
    assert line.isascii()
    assert line.isprintable()
    assert found["message"] == "paid \x1b\n\u2028ü"
    assert (found["level"], found["logger"], found["key"], found["count"]) == ("warning", "shop", FORGED, 3)
    assert (found["at"], found["odd"]) == ("0:00:01", "<Odd without a text: RuntimeError>")
    assert found["time"].endswith("Z")
    assert {"args", "msg", "thread", "exc_info"}.isdisjoint(found)


def test_an_error_is_a_field_of_its_line() -> None:
    try:
        raise ValueError(FORGED)
    except ValueError as error:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": (ValueError, error, error.__traceback__)})

    found = json.loads(JsonLines().format(record))

    assert found["exception"].startswith("Traceback")
    assert "\x1b" not in found["exception"]


@pytest.mark.parametrize("value", [float("nan"), {"itself": None}], ids=["nan", "circle"])
def test_what_json_does_not_have_is_written_as_text(value: Any) -> None:
    if isinstance(value, dict):
        value["itself"] = value

    assert isinstance(json.loads(JsonLines().format(record_of("A", value=value)))["value"], str)


def test_a_field_never_replaces_what_every_line_has() -> None:
    assert json.loads(JsonLines().format(record_of("A", level="forged", time="never")))["level"] == "warning"
