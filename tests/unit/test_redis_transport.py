"""What of the adapter of Redis needs no server: entries, and what a URL says."""

import asyncio
import json

import msgspec
import pytest

from sagabus.errors import ConfigurationError
from sagabus.transport import Topology, WireMessage
from sagabus.transports import transport_from_url, wire
from sagabus.transports.redis import RedisTransport, entries, options

ENTRY = "1700000000123-4"
OURS = [wire.ID.encode(), b"m1", wire.TYPE.encode(), b"noted"]


def read(*fields: bytes) -> WireMessage:
    return entries.message("queue", ENTRY, fields)


def stored(message: WireMessage) -> WireMessage:
    """The message as it comes back, when a server has kept it."""
    head, body = (
        bytes(each) for each in msgspec.msgpack.decode(entries.packed("key", message), type=list[msgspec.Raw])
    )
    fields = [each.encode() for each in msgspec.msgpack.decode(head, type=list[str])[3:]]
    return read(*fields, b"body", body[5:])


# --- entries ------------------------------------------------------------------------------------------------------


def test_a_header_that_is_called_body_is_not_the_body() -> None:
    message = WireMessage(id="m1", source="shop", type="noted", body=b"{}", headers={"body": "of water", "a": "b"})

    assert stored(message).body == b"{}"
    assert stored(message).headers == message.headers


def test_one_message_that_is_no_text_leaves_the_others_of_its_batch_what_they_are() -> None:
    packed = msgspec.msgpack.encode([["1-1", ["a", "b"]], ["1-2", ["c" * 40, "\0" * 300]], ["1-3", False]])
    strange = packed.replace(b"\0" * 300, b"\xff" * 300)

    assert entries.unpacked(packed) == [("1-1", ["a", "b"]), ("1-2", ["c" * 40, "\0" * 300]), ("1-3", False)]
    assert entries.unpacked(strange) == [("1-1", [b"a", b"b"]), ("1-2", [b"c" * 40, b"\xff" * 300]), ("1-3", False)]


@pytest.mark.parametrize("length", [0, 1, 31, 32, 255, 256, 65_535, 65_536])
def test_bytes_of_every_length_come_out_as_they_are(length: int) -> None:
    mark = "\0" * length
    packed = msgspec.msgpack.encode([["1-1", ["name", mark, "strange", "~"]]])

    assert entries.unpacked(packed.replace(b"~", b"\xff")) == [("1-1", [b"name", mark.encode(), b"strange", b"\xff"])]


def test_a_body_that_is_no_text_travels_with_every_byte() -> None:
    message = WireMessage(id="m1", source="shop", type="noted", body=b"\xff\0" * 200)

    assert stored(message).body == message.body


def test_the_time_of_the_server_stands_in_for_one_that_the_message_does_not_have() -> None:
    assert read(*OURS, b"body", b"{}").sent_at == 1_700_000_000_123_000
    assert read(*OURS, b"body", b"{}", wire.SENT_AT.encode(), b"5").sent_at == 5


def test_an_id_that_a_stranger_has_made_up_is_no_time() -> None:
    assert entries.message("queue", "18446744073709551615-1", [*OURS, b"body", b""]).sent_at is None


def test_the_fields_of_a_stranger_are_the_body_where_there_is_none() -> None:
    message = read(b"order", b"A1", b"total", b"42", "größe".encode(), b"L")

    assert json.loads(message.body) == {"order": "A1", "total": "42", "größe": "L"}
    assert message.headers == {entries.ENTRY_ID: ENTRY, entries.STREAM: "queue"}
    assert message.problem


def test_headers_of_ours_are_no_part_of_such_a_body() -> None:
    message = read(*OURS, b"order", b"A1")

    assert (message.id, message.type, message.problem) == ("m1", "noted", None)
    assert json.loads(message.body) == {"order": "A1"}


def test_fields_that_are_no_text_keep_every_byte() -> None:
    message = read(b"order", b"\xff\x00", b"\xfe", b"x")

    assert b"\xff" in message.body
    assert b"\xfe" in message.body
    with pytest.raises(UnicodeDecodeError):
        message.body.decode()


def test_a_header_that_is_no_text_is_left_out() -> None:
    message = read(*OURS, b"a", b"\xff", b"\xff", b"a", b"b", b"c", b"body", b"{}")

    assert message.headers == {"b": "c"}
    assert message.problem is None


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (WireMessage(id="m", source="s", type="t", body=b"x" * entries.LARGEST), "a reference"),
        (WireMessage(id="m", source="s", type="t", body=b"", headers={"a": "\ud800"}), "UTF-8"),
        (WireMessage(id="m", source="s", type="t", body=b"", headers={f"h{n}": "" for n in range(2000)}), "headers"),
    ],
    ids=["size", "text", "headers"],
)
def test_what_no_entry_can_be_is_said(message: WireMessage, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        entries.packed("key", message)


# --- URLs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkeys"])
def test_each_scheme_makes_a_transport_and_connects_nothing(scheme: str) -> None:
    transport = transport_from_url(f"{scheme}://user:hunter2@localhost:1/3?prefix=shop")

    assert isinstance(transport, RedisTransport)
    assert transport.place == f"{scheme}://localhost:1/3"
    assert "hunter2" not in repr(transport) + repr(options.read("redis://user:hunter2@localhost"))


def test_what_a_url_says() -> None:
    found = options.read("rediss://app:s%2Fecret@one:1,two/7?prefix=shop&lease=9&wait=2")

    assert (found.wait, found.sentinel) == (2, None)
    assert (found.hosts, found.database, found.lease) == ((("one", 1), ("two", 6379)), 7, 9.0)
    assert (found.user, asyncio.run(found.password.current(1)), found.is_encrypted) == ("app", "s/ecret", True)
    assert found.names.queue("books") == "{shop}:queue:books"


def test_hosts_may_be_sentinels() -> None:
    found = options.read("redis://one,two:1?sentinel=main&tls=off")

    assert (found.hosts, found.sentinel) == ((("one", 26379), ("two", 1)), "main")


def test_without_anything_it_is_the_server_of_this_machine() -> None:
    found = options.read("redis://")

    assert (found.hosts, found.database, found.prefix) == ((("127.0.0.1", 6379),), 0, "sagabus")


def test_all_problems_are_said_at_once_and_nothing_secret() -> None:
    with pytest.raises(ConfigurationError) as refused:
        options.read("redis://app@far.example/x?prefix=a}b&lease=0&wait=x&sentinel=&prefx=1&cert=/none&db=1")

    words = str(refused.value)
    assert len(refused.value.problems) == 11
    for part in (
        "'prefx' is unknown; did you mean prefix?",
        "'db'",
        "path",
        "option prefix",
        "lease",
        "wait",
        "sentinel",
        "password",
    ):
        assert part in words
    assert "plain text" in words
    assert "only for TLS: write rediss:" in words


@pytest.mark.parametrize("lease", ["", "0", "61", "-1", "1.5", "one", "9" * 400])
def test_a_lease_that_cannot_be(lease: str) -> None:
    with pytest.raises(ConfigurationError, match="lease"):
        options.read(f"redis://localhost?lease={lease}")


def test_the_parts_are_the_keys() -> None:
    parts = RedisTransport("redis://localhost?prefix=shop").parts(Topology("books", ("noted",), ("do",), "s1"))

    assert [(part.kind, part.name) for part in parts] == [
        ("stream", "{shop}:queue:books"),
        ("set", "{shop}:event:noted"),
        ("string", "{shop}:command:do"),
        ("string", "{shop}:store:books"),
    ]
    assert RedisTransport("redis://localhost").parts(Topology("shop")) == ()
