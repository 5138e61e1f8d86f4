"""A message on the wire: its body, and text headers under documented names. All adapters whose brokers have headers
share it.

Headers of strangers may be anything. What cannot be relied on is named in `WireMessage.problem`, and the bridge holds
the message as a dead letter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sagabus.transport import NO_HEADERS, WireMessage

ID = "sagabus-id"
SOURCE = "sagabus-source"
TYPE = "sagabus-type"
KIND = "sagabus-kind"
KEY = "sagabus-key"
CORRELATION = "sagabus-correlation-id"
CAUSATION = "sagabus-causation-id"
SENT_AT = "sagabus-sent-at"
HOPS = "sagabus-hops"
TENANT = "sagabus-tenant"
"""Reserved: no release has tenants yet."""

NAMES = frozenset((ID, SOURCE, TYPE, KIND, KEY, CORRELATION, CAUSATION, SENT_AT, HOPS, TENANT))
_KINDS = frozenset(("event", "command"))
LATEST = 253_402_300_799_999_999
"""The end of the year 9999."""
_MOST_HOPS = 1 << 31
_MOST_DIGITS = 20


def written(message: WireMessage) -> dict[str, str]:
    """The headers of a message."""
    found = {ID: message.id, SOURCE: message.source, TYPE: message.type, KIND: message.kind}
    if message.key is not None:
        found[KEY] = message.key
    if message.correlation_id is not None:
        found[CORRELATION] = message.correlation_id
    if message.causation_id is not None:
        found[CAUSATION] = message.causation_id
    if message.sent_at is not None:
        found[SENT_AT] = str(message.sent_at)
    if message.hops:
        found[HOPS] = str(message.hops)
    if message.headers:
        found |= {name: value for name, value in message.headers.items() if name not in NAMES}
    return found


def read(headers: Mapping[str, object], body: bytes, *, broker_time: int | None = None) -> WireMessage:
    """The message in a body and its headers. Headers that are neither text nor numbers are left out.

    `broker_time`: when the broker got it, where the headers say no time.
    """
    texts = {name: text for name, value in headers.items() if (text := _text(value)) is not None}
    return read_texts(texts, body, broker_time=broker_time)


def read_texts(texts: Mapping[str, str], body: bytes, *, broker_time: int | None = None) -> WireMessage:
    """The same of headers that are texts, all of them."""
    others = dict(texts)
    take = others.pop
    message_id, message_type, kind = take(ID, ""), take(TYPE, ""), take(KIND, "event")
    at, count = take(SENT_AT, None), take(HOPS, None)
    sent_at, hops = _number(at, LATEST), 0 if count is None else _number(count, _MOST_HOPS)
    is_sound = message_id and message_type and kind in _KINDS and (sent_at is not None or at is None)
    take(TENANT, None)
    return WireMessage(
        id=message_id,
        source=take(SOURCE, ""),
        type=message_type,
        body=body,
        kind="command" if kind == "command" else "event",
        key=take(KEY, None),
        correlation_id=take(CORRELATION, None),
        causation_id=take(CAUSATION, None),
        sent_at=broker_time if sent_at is None else sent_at,
        hops=hops or 0,
        headers=others or NO_HEADERS,
        problem=None if is_sound and hops is not None else "; ".join(_problems(texts)) or None,
    )


def feeds_another_store(service: str) -> str:
    """What every adapter says of a queue that belongs to another store."""
    return (
        f"the queue of service {service!r} feeds another store. Two stores behind one service would each take a part "
        "of its messages. Give this one a service name of its own, or move the queue: `sagabus topology --move`"
    )


def _problems(texts: Mapping[str, str]) -> Iterator[str]:
    for name in (ID, TYPE):
        if not texts.get(name):
            yield f"it has no header {name}"
    if texts.get(KIND, "event") not in _KINDS:
        yield f"the header {KIND} is neither event nor command"
    for name, limit in ((SENT_AT, LATEST), (HOPS, _MOST_HOPS)):
        if name in texts and _number(texts[name], limit) is None:
            yield f"the header {name} is no number that it could be"


def _text(value: object) -> str | None:
    """A header's value; None for one of bytes or of several values, which is left out."""
    if type(value) is str:  # a text it is, most often: looked at once, where a union is slow
        return value
    return str(value) if isinstance(value, str | int | float) else None


def _number(text: str | None, limit: int) -> int | None:
    if text is None or len(text) > _MOST_DIGITS or not (text.isascii() and text.isdecimal()):
        return None
    return number if (number := int(text)) <= limit else None
