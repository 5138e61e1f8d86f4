"""How things are written at NATS, and what a URL says of it: no server is asked."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagabus.errors import ConfigurationError
from sagabus.transport import Topology
from sagabus.transports.nats import NatsTransport, headers
from sagabus.transports.nats.address import address
from sagabus.transports.nats.arrival import Arrival, is_message
from sagabus.transports.nats.client import Raw
from sagabus.transports.nats.names import Names, text, token, tokens

TEXTS = st.text(min_size=1, max_size=30)
NAMES = Names("shop")


# --- names ------------------------------------------------------------------------------------------------------------


@given(TEXTS)
def test_every_text_is_a_subject_and_can_be_read_back(name: str) -> None:
    for written in (token(name), tokens(name)):
        assert text(written) == name
        assert re.fullmatch(r"[A-Za-z0-9_=-]+(\.[A-Za-z0-9_=-]+)*", written)
    assert "." not in token(name)


@given(TEXTS, TEXTS)
def test_two_texts_have_two_subjects(one: str, other: str) -> None:
    assert (tokens(one) == tokens(other)) is (one == other)


def test_a_plain_type_is_a_plain_subject() -> None:
    assert NAMES.subject("event", "orders.submitted") == "shop.event.orders.submitted"
    assert NAMES.subject("command", "a b.*.>") == "shop.command.a=20b.=2A.=3E"
    assert NAMES.subject("event", "..a.") == "shop.event.=2E=2Ea=2E"


def test_a_subject_of_a_stranger_is_read_as_it_stands() -> None:
    assert NAMES.named("shop.command.a=FF") == ("command", "a=FF")
    assert NAMES.named("shop.event.a\udcff") == ("event", "a\udcff")


def test_what_a_topology_consists_of_can_be_shown_without_a_server() -> None:
    topology = Topology("books", ("noted",), ("do it",))

    stream, bucket, consumer = NatsTransport("nats://nowhere.localhost?prefix=shop&replicas=3").parts(topology)

    assert (stream.kind, stream.name, stream.receives) == ("stream", "shop", ("shop.event.>", "shop.command.>"))
    assert stream.settings["retention"] == "interest"
    assert stream.settings["replicas"] == "3"
    assert (bucket.kind, bucket.name) == ("bucket", "shop-topology")
    assert (consumer.kind, consumer.name) == ("consumer", "books")
    assert consumer.receives == ("shop.event.noted", "shop.command.do=20it")
    assert consumer.settings["max_deliver"] == "-1"


# --- headers ----------------------------------------------------------------------------------------------------------


def block(lines: dict[str, str]) -> bytes:
    """As nats-py writes it."""
    written = "".join(f"{name.strip()}: {value.strip()}\r\n" for name, value in lines.items())
    return b"NATS/1.0\r\n" + written.encode() + b"\r\n"


@given(st.dictionaries(TEXTS, st.text(max_size=30), max_size=5))
def test_all_headers_arrive_as_they_were(found: dict[str, str]) -> None:
    written = headers.written(found)

    assert headers.read(block(written)) == found
    assert headers.block(written) == block(written)
    assert block(written).isascii()


@pytest.mark.parametrize("name", ["Nats-Rollup", "nats-msg-id", "NATS-Expected-Last-Sequence", "a b", "ä", "a:b", ""])
def test_a_header_that_the_server_would_obey_or_garble_is_not_on_the_wire(name: str) -> None:
    written = headers.written({name: "all", "plain": "text"})

    assert set(written) == {"plain", headers.OTHERS}
    assert headers.read(block(written)) == {name: "all", "plain": "text"}


def test_headers_of_strangers_may_be_anything() -> None:
    strange = (
        b"NATS/1.0 404 No\r\na: \xff\r\nb:1\r\nc: x\r\nc: y\r\nno colon\r\n\xe9: z\r\nsagabus-headers: [1]\r\n\r\n"
    )

    assert headers.read(strange) == {
        "a": b"\xff",
        "b": "1",
        "c": ["x", "y"],
        "�": "z",
        "sagabus-headers": "[1]",
    }
    assert headers.status(strange) == 404
    assert headers.described(strange) == "No"
    assert headers.status(b"NATS/1.0\r\n\r\n") is None
    assert headers.read(b"") == {}


# --- what comes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        b"$JS.ACK.shop.books.2.17.21.1796008915583325685.0",
        b"$JS.ACK.hub.acchash.shop.books.2.17.21.1796008915583325685.0",
        b"$JS.ACK._.acchash.shop.books.2.17.21.1796008915583325685.0.random",
    ],
)
def test_where_a_message_was_is_read_from_where_it_is_acknowledged(reply: bytes) -> None:
    raw = Raw(b"shop.event.noted", reply, b"NATS/1.0\r\nNats-Msg-Id: x1\r\nsize: 3\r\n\r\n", b"{}")

    arrival = Arrival(raw)

    assert is_message(raw)
    assert (arrival.stream, arrival.sequence, arrival.delivery, arrival.again) == ("shop", 17, 21, True)
    message = arrival.message()
    assert message.sent_at == 1796008915583325
    assert message.headers["size"] == "3"
    assert message.headers["nats-subject"] == "shop.event.noted"
    assert message.headers["nats-sequence"] == "17"
    assert message.headers["nats-stream"] == "shop"
    assert message.headers["nats-msg-id"] == "x1"


def test_a_message_of_ours_gets_no_headers_of_the_broker() -> None:
    lines = b"NATS/1.0\r\nsagabus-id: m1\r\nsagabus-type: noted\r\nsagabus-sent-at: 17\r\n\r\n"

    message = Arrival(Raw(b"shop.event.noted", b"$JS.ACK.shop.books.1.1.1.5000.0", lines, b"")).message()

    assert (message.id, message.type, message.sent_at, message.headers) == ("m1", "noted", 17, {})


# --- URLs -------------------------------------------------------------------------------------------------------------


def login(url: str, ask: Any = None) -> Mapping[str, Any]:
    """Who we are, in the words of nats-py."""
    found = address(url, ask)
    return found.with_secret(asyncio.run(found.password.current(10)))


def test_a_password_that_changes_is_that_of_the_user_or_a_token(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    option = f"password_file={tmp_path}/secret"

    assert login(f"nats://me@localhost?{option}") == {"user": "me", "password": "s3cret"}
    assert login("nats://me@localhost", lambda: "s3cret") == {"user": "me", "password": "s3cret"}
    assert login(f"nats://localhost?{option}") == login("nats://localhost", lambda: "s3cret") == {"token": "s3cret"}
    for other in ("creds=/dev/null", "nkey=/dev/null", "token=x"):
        with pytest.raises(ConfigurationError, match="keep one"):
            address(f"nats://localhost?{option}&{other}")


def test_what_a_url_may_say(tmp_path: Path) -> None:
    found = address("nats://me:pass%3Aword@localhost,[::1]:4333?prefix=shop&replicas=3&inbox=_INBOX.me&lease=2")

    assert found.hosts == (("localhost", 4222), ("::1", 4333))
    assert login("nats://me:pass%3Aword@localhost") == {"user": "me", "password": "pass:word"}
    assert (found.prefix, found.replicas, found.inbox, found.tls) == ("shop", 3, "_INBOX.me", None)
    assert (found.lease, address("nats://localhost").lease) == (2.0, 10.0)
    assert login("nats://s3cret@localhost") == login("nats://localhost?token=s3cret") == {"token": "s3cret"}
    assert address("nats:///").hosts == (("127.0.0.1", 4222),)
    assert address("tls://broker.example").tls is not None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nats://me:hunter2@broker.example", "plain text"),
        ("nats://localhost/shop?token=hunter2", "has a path"),
        ("nats://localhost?tokn=hunter2", "tokn, which do not exist"),
        ("nats://me:hunter2@localhost?token=hunter2", "in 2 ways"),
        ("nats://localhost?prefix=a.b", "the option prefix"),
        ("nats://localhost?replicas=2", "the option replicas"),
        ("nats://localhost?sync=often", "the option sync"),
        ("nats://localhost?inbox=a..b", "the option inbox"),
        ("nats://localhost?lease=0", "the option lease takes whole seconds from 1 to 60"),
        ("nats://localhost?lease=61", "the option lease"),
        ("nats://localhost?creds=/no/such/file", "the option creds cannot be read"),
        ("tls://localhost?tls=off", "remove tls=off"),
    ],
)
def test_what_a_url_cannot_mean_is_refused_without_a_secret(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        NatsTransport(url)

    assert "hunter2" not in str(caught.value)


def test_all_problems_of_a_url_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        address("nats://broker.example/path?prefix=&what=1&replicas=9&ca=/no/such/file")

    assert len(caught.value.problems) == 7


def test_keys_and_credentials_need_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "me.creds").write_text("")
    monkeypatch.setattr("sagabus.transports.nats.address.find_spec", lambda _: None)

    with pytest.raises(ConfigurationError, match=r"pip install 'nats-py\[nkeys\]'"):
        address(f"nats://localhost?creds={tmp_path}/me.creds")


def test_nothing_secret_is_shown() -> None:
    found = address("nats://me:hunter2@localhost?prefix=shop")

    shown = f"{NatsTransport('nats://me:hunter2@localhost')!r} {found!r}"

    assert "hunter2" not in shown
    assert found.place == "nats://localhost"
