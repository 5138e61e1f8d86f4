"""The adapter of RabbitMQ without a server: what a URL says, what things are called, and how messages are read."""

import asyncio
import struct
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from aiormq import spec
from aiormq.abc import DeliveredMessage
from pamqp import frame
from pamqp.header import ContentHeader

from sagabus.errors import ConfigurationError
from sagabus.transport import Capability, Topology, WireMessage
from sagabus.transports import transport_from_url, wire
from sagabus.transports.rabbitmq import RabbitMQTransport
from sagabus.transports.rabbitmq.frames import published
from sagabus.transports.rabbitmq.mending import mended
from sagabus.transports.rabbitmq.message import from_amqp
from sagabus.transports.rabbitmq.names import Names
from sagabus.transports.rabbitmq.options import Options, options
from sagabus.url.transport import parsed_transport

SECRET = "hunter2"


def read(url: str) -> Options:
    return options(parsed_transport(url))


# --- the URL ------------------------------------------------------------------------------------------------------


def test_a_url_names_hosts_login_and_virtual_host() -> None:
    found = read("amqp://app:p%40ss@localhost:5673,127.0.0.1/shop%2Feu?heartbeat=30&prefix=acme")

    assert found.hosts == (("localhost", 5673), ("127.0.0.1", 5672))
    assert (found.user, asyncio.run(found.password.current(1)), found.virtual_host) == ("app", "p@ss", "shop/eu")
    assert (found.heartbeat, found.prefix, found.tls) == (30, "acme", None)


@pytest.mark.parametrize("path", ["", "/", "/%2F"])
def test_a_short_url_has_the_defaults_of_the_broker(path: str) -> None:
    found = read(f"amqp://localhost{path}")

    assert (found.hosts, found.virtual_host) == ((("localhost", 5672),), "/")
    assert (found.user, asyncio.run(found.password.current(1))) == ("guest", "guest")


def test_an_encrypted_url_has_the_port_and_the_rules_of_tls() -> None:
    found = read("amqps://app:secret@broker.example/")

    assert found.hosts == (("broker.example", 5671),)
    assert found.tls is not None
    assert found.tls.context_now().check_hostname


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (f"amqp://u:{SECRET}@localhost/?hartbeat=5", "did you mean heartbeat"),
        (f"amqp://u:{SECRET}@localhost/?{SECRET}=5", "an option that is not known"),
        (f"amqp://u:{SECRET}@localhost/?heartbeat=0", "heartbeat is a number"),
        (f"amqp://u:{SECRET}@localhost/?heartbeat={SECRET}", "heartbeat is a number"),
        (f"amqp://u:{SECRET}@localhost/?prefix=a.b", "prefix has"),
        (f"amqp://u:{SECRET}@localhost,/", "names no host"),
        (f"amqp://u:{SECRET}@/x", "names no host"),
        (f"amqp://u:{SECRET}@broker.example/", "plain text"),
        (f"amqp://u:{SECRET}@localhost/?ca=/no/such/file", "only for TLS"),
    ],
)
def test_what_is_wrong_with_a_url_is_named_and_nothing_secret_is(url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as refused:
        transport_from_url(url)

    assert SECRET not in f"{refused.value!s} {refused.value!r}"


def test_all_problems_of_a_url_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        read("amqp://broker.example/?heartbeat=x&prefix=.&other=1")

    assert len(refused.value.problems) == 4


def test_nothing_secret_is_shown() -> None:
    transport = transport_from_url(f"amqp://user:{SECRET}@localhost/shop")

    assert transport.place == "amqp://localhost/shop"
    assert SECRET not in f"{transport!r} {read(f'amqp://user:{SECRET}@localhost/')!r}"
    assert "user" not in repr(transport)


def test_it_can_do_all_but_say_when_a_message_came() -> None:
    assert frozenset(Capability) - RabbitMQTransport.capabilities == {Capability.TIMES}


def test_without_the_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("sagabus.transports.rabbitmq")]:
        monkeypatch.delitem(sys.modules, module)
    for module in ("aiormq", "yarl", "pamqp"):
        monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(ConfigurationError, match=r"pip install 'sagabus\[rabbitmq\]'"):
        transport_from_url("amqp://localhost/")


# --- names --------------------------------------------------------------------------------------------------------


def test_names_of_services_and_types_do_not_meet() -> None:
    names = Names("sagabus")
    topologies = [Topology("a", ("b.event.c",)), Topology("a.b", ("event.c",)), Topology("a", (), ("b.event.c",))]

    found = [binding.marker for topology in topologies for binding in names.bindings(topology)]

    assert len(set(found)) == 3


def test_a_long_name_is_cut_and_stays_its_own() -> None:
    names = Names("p" * 32)
    one, other = (next(names.bindings(Topology("s" * 128, ("t" * 127 + end,)))).marker.name for end in ("1", "2"))

    assert max(len(one.encode()), len(other.encode())) <= 255
    assert one != other


def test_the_parts_are_what_is_declared() -> None:
    transport = RabbitMQTransport("amqp://localhost/?prefix=acme")

    parts = {part.name: part for part in transport.parts(Topology("books", ("noted",), ("do",), "s1"))}

    assert parts["acme.service.books"].settings["x-queue-type"] == "quorum"
    assert parts["acme.service.books"].receives == ("event noted", "command do")
    assert parts["acme.owner.do"].settings["alternate-exchange"] == "acme.service.books"
    assert {part.kind for part in transport.parts(Topology("shop"))} == {"exchange"}


# --- messages -----------------------------------------------------------------------------------------------------


def delivered(body: bytes = b"{}", routing_key: str = "noted", **properties: Any) -> DeliveredMessage:
    deliver = spec.Basic.Deliver("c", 1, redelivered=False, exchange="x", routing_key=routing_key)
    header = ContentHeader(body_size=len(body), properties=spec.Basic.Properties(**properties))
    return DeliveredMessage(delivery=deliver, header=header, body=body, channel=None)  # type: ignore[arg-type]  # unused


def test_what_the_properties_of_a_stranger_say_stays_readable() -> None:
    found = from_amqp(
        delivered(
            message_id="m7",
            message_type="Created",
            correlation_id="c1",
            headers={"other": "x"},
            timestamp=datetime(2026, 11, 30, tzinfo=UTC),
        )
    )

    assert found.headers == {
        "other": "x",
        "amqp-message-id": "m7",
        "amqp-type": "Created",
        "amqp-correlation-id": "c1",
        "amqp-routing-key": "noted",
    }
    assert found.sent_at == 1_795_996_800_000_000


def unpacked(raw: bytes) -> list[Any]:
    """The frames as the driver reads them."""
    found: list[Any] = []
    while raw:
        size, channel, each = frame.unmarshal(raw)
        assert channel == 7
        found.append(each)
        raw = raw[size:]
    return found


def sent(message: WireMessage, largest: int = 131_072) -> list[Any]:
    return unpacked(published(message, "acme.events", 7, own_id="of the link", largest=largest))


def test_a_message_of_ours_has_no_header_of_the_broker() -> None:
    message = WireMessage(id="m1", source="shop", type="noted", body=b"{}", sent_at=5, headers={"other": "x"})
    _, header, _ = sent(message)
    headers = {**header.properties.headers, "x-delivery-count": 3, "x-acquired-count": 3}

    assert from_amqp(delivered(headers=headers, message_id="of the driver")) == message


def test_a_message_is_kept_on_disk_and_has_its_type_for_others() -> None:
    publish, header, body = sent(WireMessage(id="m1", source="shop", type="noted", body=b"{}", sent_at=7_000_001))
    properties = header.properties

    assert (publish.exchange, publish.routing_key, publish.mandatory) == ("acme.events", "noted", True)
    assert not publish.immediate
    assert (properties.delivery_mode, properties.message_type) == (2, "noted")
    assert properties.content_type == "application/json"
    assert properties.timestamp == datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC)
    assert properties.message_id == "of the link"
    assert (header.body_size, body.value) == (2, b"{}")


@pytest.mark.parametrize("sent_at", [None, 5, wire.LATEST])
@pytest.mark.parametrize("size", [0, 1, 4_088, 4_089, 20_000])
def test_the_driver_reads_what_is_written(size: int, sent_at: int | None) -> None:
    message = WireMessage(
        id="m1",
        source="Läden",
        type="do",
        body=bytes(number % 251 for number in range(size)),
        kind="command",
        key="",
        correlation_id="c",
        causation_id="d",
        sent_at=sent_at,
        hops=3,
        headers={"other": "ü" * 300, "": ""},
    )
    _, header, *bodies = sent(message, 4_096)
    body = b"".join(each.value for each in bodies)

    assert from_amqp(delivered(body, headers=header.properties.headers)) == message
    assert header.body_size == size
    assert all(0 < len(each.value) <= 4_088 for each in bodies)


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "\ud800"},
        {"type": "t" * 256},
        {"type": "ü" * 128},
        {"sent_at": -1},
        {"sent_at": wire.LATEST + 1},
        {"headers": {"\ud800": ""}},
    ],
    ids=["no text", "a long type", "a type of long characters", "before 1970", "after 9999", "a name that is no text"],
)
def test_what_amqp_cannot_carry_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"more than|no other program|surrogates not allowed"):
        sent(WireMessage(**{"id": "m1", "source": "s", "type": "t", "body": b""} | fields))


def with_headers(**headers: str) -> WireMessage:
    return WireMessage(id="m1", source="s", type="t", body=b"", headers=headers)


@pytest.mark.parametrize("name", ["n" * 129, "ü" * 65])
def test_a_name_that_the_driver_would_cut_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="more than 128 bytes"):
        sent(with_headers(**{name: "x"}))


@pytest.mark.parametrize("text", ["x" * 4_000, "ü" * 2_000])
def test_headers_that_do_not_fit_into_a_frame_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="more than the 4096 of a frame"):
        sent(with_headers(other=text), 4_096)


def test_headers_that_just_fit_are_not() -> None:
    def frames(length: int) -> bytes:
        return published(with_headers(other="x" * length), "e", 7, own_id="1", largest=4_096)

    method, _ = (len(frame.marshal(each, 7)) for each in unpacked(frames(1)))
    most = 4_096 + method - len(frames(0))

    assert len(frames(most)) == 4_096 + method
    with pytest.raises(ValueError, match="more than the 4096 of a frame"):
        frames(most + 1)


# --- what the driver cannot read ----------------------------------------------------------------------------------


def text(raw: bytes) -> bytes:
    return bytes([len(raw)]) + raw


def table(*entries: bytes) -> bytes:
    joined = b"".join(entries)
    return struct.pack(">I", len(joined)) + joined


def content_header(flags: int, properties: bytes) -> bytes:
    return struct.pack(">HHQH", 60, 0, 5, flags) + properties


GOOD = text(b"sagabus-id") + b"S" + struct.pack(">I", 2) + b"m1"


@pytest.mark.parametrize(
    ("flags", "properties"),
    [
        (1 << 6, struct.pack(">Q", 10**15)),
        (1 << 6, struct.pack(">Q", 2**64 - 1)),
        (1 << 5, text(b"\xff\xfe")),
        (1 << 7 | 1 << 5, text(b"\xff") + text(b"\xff")),
    ],
    ids=["microseconds", "a time that cannot be", "a type that is no text", "two texts"],
)
def test_a_property_that_cannot_be_read_is_left_out_and_headers_stay(flags: int, properties: bytes) -> None:
    found = ContentHeader()
    found.unmarshal(mended(2, content_header(flags | 1 << 13, table(GOOD) + properties)))

    assert found.body_size == 5
    assert found.properties.headers == {"sagabus-id": "m1"}
    assert (found.properties.timestamp, found.properties.message_type, found.properties.message_id) == (None,) * 3


@pytest.mark.parametrize(
    "entry",
    [
        text(b"\xff\xfe") + b"S" + struct.pack(">I", 1) + b"x",
        text(b"at") + b"T" + struct.pack(">Q", 2**64 - 1),
        text(b"what") + b"?",
    ],
    ids=["a name that is no text", "a time that cannot be", "a kind that is not known"],
)
def test_headers_that_cannot_be_read_are_replaced_by_the_reason(entry: bytes) -> None:
    found = ContentHeader()
    found.unmarshal(mended(2, content_header(1 << 13 | 1 << 7, table(GOOD, entry) + text(b"m7"))))
    message = from_amqp(delivered(headers=found.properties.headers, message_id=found.properties.message_id))

    assert "its headers cannot be read" in (message.problem or "")
    assert message.headers["amqp-message-id"] == "m7"


def test_a_routing_key_that_is_no_text_is_readable() -> None:
    start = struct.pack(">I", spec.Basic.Deliver.index) + text(b"tag") + struct.pack(">QB", 7, 1)

    found = spec.Basic.Deliver()
    found.unmarshal(mended(1, start + text(b"ex\xff") + text(b"\xff" * 255))[4:])

    assert (found.consumer_tag, found.delivery_tag, found.exchange) == ("tag", 7, "ex?")
    assert found.routing_key == "?" * 255


def test_what_can_be_read_is_left_alone() -> None:
    header = content_header(1 << 13, table(GOOD))

    assert mended(2, header) == header
    assert mended(3, b"\xff") == b"\xff"
    assert mended(1, b"\xff\xff\xff\xff") == b"\xff\xff\xff\xff"


def test_names_that_carry_fields_are_those_of_the_wire() -> None:
    _, header = sent(WireMessage(id="m1", source="s", type="t", body=b""))

    assert wire.ID in header.properties.headers
