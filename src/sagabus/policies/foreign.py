"""Messages of systems that know nothing of sagabus: where a rule finds their type, id, key and time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypeAlias, cast

import msgspec

from sagabus.clock import SECOND, micros
from sagabus.codec import fingerprint
from sagabus.errors import MessageInvalid, SagaBusError
from sagabus.message import message_type_of
from sagabus.transport import WireKind, WireMessage

__all__ = ["Content", "Field", "Foreign", "Header", "TimeUnit"]

TimeUnit: TypeAlias = Literal["s", "ms", "us"]
_UNITS: Mapping[TimeUnit, int] = {"s": SECOND, "ms": 1_000, "us": 1}
_LATEST = 253_402_300_799_999_999
"""The end of the year 9999."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_decode = msgspec.json.decode


@dataclass(frozen=True, slots=True)
class Header:
    """A header of the message, by its name.

    Adapters add headers for what a broker knows besides, such as `amqp-routing-key` or `nats-subject`.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the JSON body: its name, or several with dots between them for a field inside another one."""

    path: str


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of the body: equal bodies are one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """How a message without the headers of sagabus is read: `Foreign(source="legacy", type_from=Header("x-event"))`.

    A message that the rules cannot read becomes a dead letter of `broker:in` with its bytes and the reason.
    """

    source: str
    """Names the other system, and never changes: ids are unique together with it."""
    type_from: Header | Field | type[object] | str
    """Where the name of the type is; or the one class, or wire name, of all messages of the queue."""
    types: Mapping[str, type[object]] = field(default_factory=dict[str, type[object]])
    """The declared class for each name of theirs. A name that is not listed is taken for a wire name."""
    id_from: Header | Field | Content = Content()
    """Where the id is. By default the content is the id, so a repeated content is a copy."""
    key_from: Header | Field | None = None
    """Where the partition key is, if messages have one."""
    correlation_from: Header | Field | None = None
    """Where the correlation id is, if messages have one."""
    time_from: Header | Field | None = None
    """Where the time of sending is: ISO 8601, or a number. Otherwise that of the broker counts, if it has one."""
    time_unit: TimeUnit = "s"
    """What a number of `time_from` counts, since 1970."""
    body_from: Field | None = None
    """The field that holds the message, where the rest of the body is an envelope of theirs."""

    def problems(self) -> Iterator[str]:
        """What is wrong with the rules themselves."""
        if not self.source or not self.source.isprintable() or len(self.source) > 128:
            yield "Foreign(source=...) names the other system in 1 to 128 printable characters"
        if self.time_unit not in _UNITS:
            yield f"Foreign(time_unit={self.time_unit!r}) is none of s, ms, us"
        classes = [*self.types.values(), *([self.type_from] if isinstance(self.type_from, type) else [])]
        for each in classes:
            try:
                message_type_of(each)
            except SagaBusError as error:
                yield f"Foreign: {error}"

    def read(self, message: WireMessage) -> WireMessage:
        """The message as the rules read it. Raises MessageInvalid where they do not fit it."""
        found = _Found(message)
        name, kind = self._type(found)
        return WireMessage(
            id=fingerprint("foreign", message.body).hex()
            if isinstance(self.id_from, Content)
            else found.text("id", self.id_from),
            source=self.source,
            type=name,
            body=message.body if self.body_from is None else msgspec.json.encode(found.value("body", self.body_from)),
            kind=kind,
            key=None if self.key_from is None else found.text("key", self.key_from),
            correlation_id=None
            if self.correlation_from is None
            else found.text("correlation id", self.correlation_from),
            sent_at=message.sent_at if self.time_from is None else self._time(found, self.time_from),
            headers=message.headers,
        )

    def _type(self, found: _Found) -> tuple[str, WireKind]:
        given = self.type_from
        if isinstance(given, Header | Field):
            name = found.text("type", given)
            cls = self.types.get(name)
            if cls is None:
                return name, "event"
        elif isinstance(given, str):
            return given, "event"
        else:
            cls = given
        declared = message_type_of(cls)
        return declared.name, declared.kind

    def _time(self, found: _Found, rule: Header | Field) -> int:
        value = found.value("time", rule)
        try:
            if isinstance(value, str) and not value.lstrip("-").isdecimal():
                moment = datetime.fromisoformat(value)
                instant = micros((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) - _EPOCH)
            else:
                instant = int(float(cast("str | float", value)) * _UNITS[self.time_unit])
        except (TypeError, ValueError, OverflowError):
            raise found.problem("time", rule, "is no time") from None
        if not 0 <= instant <= _LATEST:
            raise found.problem("time", rule, "is no time between 1970 and 9999")
        return instant


class _Found:
    """What a message says, each at its place. The body is decoded once, and only if a rule asks for a field."""

    def __init__(self, message: WireMessage) -> None:
        self._message = message
        self._decoded: object = None

    def text(self, what: str, rule: Header | Field) -> str:
        """A text, or a whole number as one."""
        value = self.value(what, rule)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        raise self.problem(what, rule, "is empty, or no text")

    def value(self, what: str, rule: Header | Field) -> object:
        """Whatever stands there."""
        if isinstance(rule, Header):
            found: object = self._message.headers.get(rule.name)
            if found is None:
                raise self.problem(what, rule, "is missing")
            return found
        found = self._body(what, rule)
        for name in rule.path.split("."):
            if not isinstance(found, dict) or name not in found:
                raise self.problem(what, rule, "is missing")
            found = cast("dict[str, object]", found)[name]
        return found

    def problem(self, what: str, rule: Header | Field, why: str) -> MessageInvalid:
        """Names the rule, and nothing that the message holds."""
        place = f"the header {rule.name!r}" if isinstance(rule, Header) else f"the field {rule.path!r}"
        return MessageInvalid("a foreign message", "", f"its {what}: {place} {why}")

    def _body(self, what: str, rule: Field) -> object:
        if self._decoded is None:
            try:
                self._decoded = _decode(self._message.body)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise self.problem(what, rule, "cannot be read: the body is no JSON") from None
        return self._decoded
