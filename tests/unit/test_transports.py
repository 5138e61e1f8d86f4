"""From a URL to a transport, and from a message to headers and back."""

import logging
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from sagabus import Bus
from sagabus.errors import ConfigurationError
from sagabus.transport import WireMessage
from sagabus.transports import transport_from_url, wire
from sagabus.transports.memory import MemoryTransport
from sagabus.url import adapters
from sagabus.url.transport import parsed_transport

SECRET = "hunter2"


def test_services_that_name_one_broker_in_memory_share_it() -> None:
    first, second = transport_from_url("memory://shop"), transport_from_url("memory://shop")
    other = transport_from_url("memory://other")

    assert isinstance(first, MemoryTransport)
    assert isinstance(second, MemoryTransport)
    assert isinstance(other, MemoryTransport)
    assert first.broker is second.broker
    assert first.broker is not other.broker


@pytest.mark.parametrize(
    "url",
    [
        *("memory:", "memory://", "memory://a/b", "memory://a b", "memory://a@b", ""),
        *("amqp://guest:hunter2@broker/", "hunter2://x", "hunter2:", f"rabbitmq://u:{SECRET}@h", f"u:{SECRET}@h"),
        *(f"  memory://{SECRET}", f"memory://x\n{SECRET}", f"memory://x?password={SECRET}"),
    ],
)
def test_a_url_that_names_no_transport_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Bus("memory:", transport=url, service="orders")

    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in f"{error!s} {error!r}"
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    ("url", "example"),
    [
        ("amqp://localhost:abc", "amqp://user:password@host/virtual-host,"),
        ("amqps:one", "amqps://user:password@host/virtual-host"),
        ("nats://localhost:99999", "nats://user:password@host,"),
        ("tls:one", "tls://user:password@host"),
        ("redis://[::1", "redis://user:password@host/database,"),
    ],
)
def test_a_url_in_another_form_is_shown_the_form_of_its_broker(url: str, example: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parsed_transport(url)

    assert f"{example} " in f"{caught.value} "


@pytest.mark.parametrize("given", [7, None, b"memory://x"])
def test_what_is_no_text_is_no_url(given: object) -> None:
    with pytest.raises(ConfigurationError, match="is a text"):
        parsed_transport(given)


def test_a_package_brings_a_transport_by_the_scheme_of_its_urls(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    entry = EntryPoint("pigeon", "tests.unit.test_transports:pigeon", adapters.TRANSPORTS)
    monkeypatch.setattr(adapters, "entry_points", lambda group: [entry] if group == adapters.TRANSPORTS else [])
    monkeypatch.setattr(adapters, "_loaded", None, raising=False)
    adapters._entries.cache_clear()
    try:
        transport = transport_from_url(f"pigeon://carrier:{SECRET}@loft:99/home?speed={SECRET}")
    finally:
        monkeypatch.undo()
        adapters._entries.cache_clear()

    assert transport.place == "pigeon://loft:99/home"
    assert SECRET not in f"{transport!r} {caplog.text}"


def pigeon(url: str) -> Any:
    """What a package names for its scheme."""
    found = parsed_transport(url)
    assert (found.user, found.password) == ("carrier", SECRET)
    transport = MemoryTransport()
    transport.place = found.place
    return transport


def message(**fields: Any) -> WireMessage:
    return WireMessage(**({"id": "m1", "source": "shop", "type": "noted", "body": b"{}"} | fields))


@pytest.mark.parametrize(
    "given",
    [
        message(),
        message(kind="command", key="A1", correlation_id="c", causation_id="d", sent_at=5, hops=2),
        message(headers={"other": "x", "sagabus-version": "2"}),
    ],
)
def test_a_message_comes_back_from_its_headers(given: WireMessage) -> None:
    assert wire.read(wire.written(given), given.body) == given


def test_names_that_carry_fields_are_not_the_users() -> None:
    given = message(headers=dict.fromkeys(wire.NAMES, "forged") | {"other": "x"})

    found = wire.read(wire.written(given), given.body)

    assert (found.id, found.source, found.type, found.headers) == ("m1", "shop", "noted", {"other": "x"})


def test_the_time_of_the_broker_counts_where_the_sender_says_none() -> None:
    assert wire.read({wire.ID: "x", wire.TYPE: "t"}, b"", broker_time=7).sent_at == 7
    assert wire.read({wire.ID: "x", wire.TYPE: "t", wire.SENT_AT: "5"}, b"", broker_time=7).sent_at == 5


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({wire.TYPE: "t"}, wire.ID),
        ({wire.ID: "x"}, wire.TYPE),
        ({wire.ID: "", wire.TYPE: "t"}, wire.ID),
        ({wire.ID: "x", wire.TYPE: "t", wire.SENT_AT: "-1"}, wire.SENT_AT),
        ({wire.ID: "x", wire.TYPE: "t", wire.SENT_AT: "1" * 5000}, wire.SENT_AT),
        ({wire.ID: "x", wire.TYPE: "t", wire.HOPS: "1.5"}, wire.HOPS),
        ({wire.ID: "x", wire.TYPE: "t", wire.KIND: "wish"}, wire.KIND),
        ({wire.ID: b"x", wire.TYPE: ["t"]}, wire.ID),
    ],
)
def test_what_cannot_be_relied_on_is_named(headers: dict[str, object], problem: str) -> None:
    assert problem in (wire.read(headers, b"").problem or "")


def test_headers_that_are_numbers_are_texts_and_others_are_left_out() -> None:
    found = wire.read({wire.ID: "x", wire.TYPE: "t", "count": 3, "raw": b"\xff", "table": {}}, b"")

    assert found.headers == {"count": "3"}
    assert found.problem is None
