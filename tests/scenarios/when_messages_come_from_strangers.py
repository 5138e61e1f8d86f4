"""Messages of systems that know nothing of sagabus: rules say what they are, and what no rule reads is held."""

import json
from collections.abc import Callable
from dataclasses import field
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.waiting import until

from sagabus import Bus, Cause, Context, Saga, event, handles, starts
from sagabus.errors import ConfigurationError
from sagabus.identity import accepted_id
from sagabus.policies.brokers import Broker
from sagabus.policies.foreign import Content, Field, Foreign, Header
from sagabus.transport import WireMessage
from sagabus.transports.memory import MemoryBroker, MemoryTransport


@event("orders.created")
class OrderCreated:
    order: str
    total: int = 0


class Orders(Saga, name="orders", key="order"):
    """Notes what reaches it: its total, its id, its time, and the id that the other system gave it."""

    order: str
    notes: list[tuple[int, str, str, str]] = field(default_factory=list)

    @starts
    @handles
    def created(self, message: OrderCreated, ctx: Context) -> None:
        self.notes.append((message.total, ctx.message_id, ctx.sent_at.isoformat(), ctx.headers.get("sagabus-id", "")))


PLAIN = {"order": "A1", "total": 7}


def books(broker: MemoryBroker, foreign: Foreign | None) -> Bus:
    return Bus("memory:", Orders, transport=Broker(transport=MemoryTransport(broker), foreign=foreign), service="books")


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


async def noted(bus: Bus, count: int) -> list[tuple[int, str, str, str]]:
    async def holds() -> bool:
        record = await bus.sagas.get(Orders, "A1")
        return record is not None and len(record.state.notes) >= count

    await until(holds)
    record = await bus.sagas.get(Orders, "A1")
    assert record is not None
    return [tuple(note) for note in record.state.notes]  # type: ignore[misc]


RULES: dict[str, tuple[Foreign, dict[str, object], Any]] = {
    "one type for the queue": (
        Foreign(source="legacy", type_from=OrderCreated, id_from=Field("order")),
        {},
        PLAIN,
    ),
    "one wire name for the queue": (
        Foreign(source="legacy", type_from="orders.created", id_from=Field("order")),
        {},
        PLAIN,
    ),
    "by a header": (
        Foreign(
            source="legacy",
            type_from=Header("event"),
            types={"OrderCreated": OrderCreated},
            id_from=Header("uid"),
        ),
        {"event": "OrderCreated", "uid": "A1"},
        PLAIN,
    ),
    "by fields, in an envelope of theirs": (
        Foreign(
            source="legacy",
            type_from=Field("meta.kind"),
            types={"OrderCreated": OrderCreated},
            id_from=Field("meta.id"),
            body_from=Field("data"),
        ),
        {},
        {"meta": {"kind": "OrderCreated", "id": "A1"}, "data": PLAIN},
    ),
}


@pytest.mark.parametrize("name", RULES)
async def test_a_rule_finds_the_type_and_the_id(name: str) -> None:
    foreign, headers, content = RULES[name]
    broker = MemoryBroker()
    async with books(broker, foreign) as bus:
        for _ in range(2):
            broker.put("books", headers, body(content))
        (first,) = await noted(bus, 1)
        await until(lambda: bus.statistics["orders", "duplicate"] == 1)

    assert first[0] == 7
    assert first[1] == accepted_id("legacy", "A1")
    assert first[3] == "A1"


async def test_without_an_id_the_content_tells_copies_apart() -> None:
    broker = MemoryBroker()
    async with books(broker, Foreign(source="legacy", type_from=OrderCreated, id_from=Content())) as bus:
        for total in (1, 1, 2):
            broker.put("books", {}, body(PLAIN | {"total": total}))

        assert [note[0] for note in await noted(bus, 2)] == [1, 2]
        await until(lambda: bus.statistics["orders", "duplicate"] == 1)


@pytest.mark.parametrize(
    ("given", "unit"),
    [
        ("2026-11-30T10:00:00Z", "s"),
        ("2026-11-30T12:00:00+02:00", "s"),
        ("2026-11-30T10:00:00", "s"),
        (1796032800, "s"),
        ("1796032800000", "ms"),
        (1796032800000000, "us"),
    ],
)
async def test_the_time_is_theirs(given: Any, unit: Any) -> None:
    broker = MemoryBroker()
    rules = Foreign(
        source="legacy", type_from=OrderCreated, time_from=Field("at"), time_unit=unit, body_from=Field("it")
    )
    async with books(broker, rules) as bus:
        broker.put("books", {}, body({"at": given, "it": PLAIN}))
        ((_, _, sent_at, _),) = await noted(bus, 1)

    assert datetime.fromisoformat(sent_at) == datetime(2026, 11, 30, 10, tzinfo=UTC)


def test_keys_and_conversations_are_theirs() -> None:
    rules = Foreign(
        source="legacy", type_from=OrderCreated, key_from=Header("customer"), correlation_from=Header("trace")
    )
    given = WireMessage(id="", source="", type="", body=body(PLAIN), headers={"customer": "c1", "trace": "t1"})

    found = rules.read(given)

    assert (found.key, found.correlation_id, found.headers) == ("c1", "t1", given.headers)


async def test_messages_of_sagabus_are_read_as_ever_beside_them() -> None:
    broker = MemoryBroker()
    async with books(broker, Foreign(source="legacy", type_from=OrderCreated)) as bus:
        broker.put("books", {"sagabus-id": "m1", "sagabus-type": "orders.created", "sagabus-source": "x"}, body(PLAIN))
        ((_, found, _, _),) = await noted(bus, 1)

    assert found == accepted_id("x", "m1")


WRONG: dict[str, tuple[dict[str, object], bytes, str]] = {
    "no header": ({"uid": "1"}, body(PLAIN), "its type: the header 'event' is missing"),
    "no field": ({"event": "OrderCreated"}, b"{}", "its id: the field 'order' is missing"),
    "no JSON": ({"event": "OrderCreated"}, b"}{", "the body is no JSON"),
    "no text": ({"event": "OrderCreated"}, b"\xff\x00", "the body is no JSON"),
    "no object": ({"event": "OrderCreated"}, b"[1]", "its id: the field 'order' is missing"),
    "an empty id": ({"event": "OrderCreated"}, body({"order": ""}), "is empty, or no text"),
    "a strange time": ({"event": "OrderCreated", "at": "noon"}, body(PLAIN), "its time: the header 'at' is no time"),
    "a time that cannot be": ({"event": "OrderCreated", "at": "9" * 30}, body(PLAIN), "between 1970 and 9999"),
    "half of our headers": ({"sagabus-id": "1"}, body(PLAIN), "it has no header sagabus-type"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_no_rule_reads_is_held_with_its_bytes_and_the_reason(name: str) -> None:
    headers, content, why = WRONG[name]
    broker = MemoryBroker()
    rules = Foreign(
        source="legacy",
        type_from=Header("event"),
        types={"OrderCreated": OrderCreated},
        id_from=Field("order"),
        time_from=Header("at"),
    )
    async with books(broker, rules) as bus:
        broker.put("books", {"at": "0"} | headers, content)
        broker.put("books", {"event": "OrderCreated", "at": "0"}, body(PLAIN))  # the next one goes on
        await noted(bus, 1)
        await until(bus.dead_letters.list)
        (letter,) = await bus.dead_letters.list()

    assert letter.cause is Cause.PERMANENT
    assert why in letter.reason
    held = letter.envelope.body
    assert held == content or bytes.fromhex(json.loads(held)["body"]["hex"]) == content


async def test_a_type_that_is_not_listed_is_taken_for_a_wire_name() -> None:
    broker = MemoryBroker()
    async with books(broker, Foreign(source="legacy", type_from=Header("event"))) as bus:
        broker.put("books", {"event": "orders.created"}, body(PLAIN))
        broker.put("books", {"event": "orders.forgotten"}, body(PLAIN))
        await noted(bus, 1)
        await until(bus.dead_letters.list)
        (letter,) = await bus.dead_letters.list()

    assert letter.cause is Cause.UNKNOWN


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Foreign(source="", type_from="x"), "names the other system"),
        (lambda: Foreign(source="x", type_from=str), "str"),
        (lambda: Foreign(source="x", type_from="x", types={"a": int}), "int"),
        (lambda: Foreign(source="x", type_from="x", time_unit="h"), "time_unit='h'"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(make: Callable[[], Foreign], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        books(MemoryBroker(), make())
