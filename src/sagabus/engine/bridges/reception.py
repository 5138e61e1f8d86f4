"""From a message on the wire to envelopes: its id in this service, its receivers, and why it may have none.

What cannot be addressed goes to the channel `broker:in`, with every byte. There it becomes a dead letter with the
reason. A replay tries again, by what is known then.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from sagabus.clock import Clock, micros
from sagabus.codec import Codec, fingerprint
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.reaction import Reaction
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.recoverability import Recoverability
from sagabus.engine.routing import BROKER_IN, LiveRouting, Route, RoutingTable
from sagabus.envelope import Envelope, lane_of
from sagabus.errors import MessageError, MessageInvalid, MessageTooNew, UnknownMessageType
from sagabus.identity import accepted_id, check_id
from sagabus.message import MessageType, version_in
from sagabus.message.correlation import as_key
from sagabus.message.stamping import MOST_HEADERS
from sagabus.outcome import Completed, Effects, Outcome
from sagabus.policies.retry import RetryPolicy
from sagabus.transport import WireMessage

SOURCE_HEADER = "sagabus-source"
"""The service that sent the message."""
ORIGINAL_HEADER = "sagabus-id"
"""The id that the message has there."""
_PROBLEM_HEADER = "sagabus-problem"
_UNREADABLE = "unreadable"
_LONGEST_TYPE = 128


class Reception:
    """Addresses what comes from a broker. The store's routing says who receives it, as for what is published here."""

    def __init__(self, codec: Codec, types: Mapping[str, MessageType], clock: Clock) -> None:
        """`types`: the messages that this process knows, by every name that they have on the wire."""
        self._codec, self._types, self._clock = codec, types, clock

    def envelope(self, message: WireMessage) -> Envelope:
        """The message as this service keeps it. It is the same for every copy, but for the time where it has none."""
        problem = _problem(message)
        if problem is not None:
            return self.unusable(message, problem)
        source, original, sent_at = message.source, message.id, message.sent_at
        headers = {**message.headers, SOURCE_HEADER: source, ORIGINAL_HEADER: original}
        # By position: see `Envelope`.
        # fmt: off
        return Envelope(
            accepted_id(source, original), message.type, message.body, BROKER_IN, 0, message.key, headers,
            message.correlation_id, message.causation_id, self._clock.now() if sent_at is None else sent_at,
            0, 0, 0, 0, 0, None, None, False, message.hops, True,
        )
        # fmt: on

    def unusable(self, message: WireMessage, problem: str) -> Envelope:
        """The body with the reason, and nothing else of what came. Equal bodies are one.

        A body that is no text is kept as JSON with its bytes as hexadecimal digits, as the stores do it.
        """
        return Envelope(
            message_id=accepted_id("", fingerprint(_UNREADABLE, message.body).hex()),
            message_type=_UNREADABLE,
            body=message.body if is_text(message.body) else held_body(message.body),
            channel=BROKER_IN,
            headers={_PROBLEM_HEADER: problem.encode("utf-8", "replace").decode()[:500]},
            sent_at=self._clock.now(),
            guarded=True,
        )

    def addressed(self, envelope: Envelope, table: RoutingTable) -> list[Envelope]:
        """One envelope for each subscription; the envelope itself where there is none, or none can read it."""
        try:
            return self.receivers(envelope, table)
        except MessageError:
            lane = lane_of(envelope.partition_key or envelope.message_id, table.lanes)
            return [msgspec.structs.replace(envelope, lane=lane)]

    def receivers(self, envelope: Envelope, table: RoutingTable) -> list[Envelope]:
        """One envelope for each subscription. MessageError says why there is none."""
        if (problem := (envelope.headers or {}).get(_PROBLEM_HEADER)) is not None:
            raise MessageInvalid("a message from the broker", "", problem)
        routes = [route for route in table.by_type.get(envelope.message_type, ()) if not route.leaves]
        if not routes:
            raise UnknownMessageType(envelope.message_type)
        message = self._read(envelope)
        return [self._to(envelope, route, message, table) for route in routes]

    def _to(self, envelope: Envelope, route: Route, message: object, table: RoutingTable) -> Envelope:
        key, message_id = _key(envelope, route, message), envelope.message_id
        # It begins here: no run has counted yet. Guarded whatever the subscription says of copies of its own, since a
        # broker makes more of them. By position: see `Envelope`.
        # fmt: off
        return Envelope(
            message_id, envelope.message_type, envelope.body, route.channel,
            lane_of(message_id if key is None else key, table.lanes), key, envelope.headers, envelope.correlation_id,
            envelope.causation_id, envelope.sent_at, 0, 0, 0, 0, 0, None, None, False, envelope.hops, True,
        )
        # fmt: on

    def _read(self, envelope: Envelope) -> object:
        """The message, checked as one from outside; None where only another process can read it."""
        message_type, headers = self._types.get(envelope.message_type), envelope.headers
        if message_type is None:
            return None
        if version_in(headers) == message_type.version:
            return self._codec.admit(message_type, envelope.body)
        try:
            return self._codec.decode(message_type, envelope.body, headers)
        except MessageTooNew:
            return None


class StrangerConsumer:
    """Receives what could not be addressed when it came; see `engine.consumer.Consumer`."""

    def __init__(
        self, reception: Reception, routing: LiveRouting, failing: Recoverability, *, patience: timedelta
    ) -> None:
        """`patience`: how long a message of an unknown type waits for a subscription."""
        self._reception, self._routing, self._failing = reception, routing, failing
        self._patience = micros(patience)
        self.definition = HandlerDefinition(
            name=BROKER_IN,
            function=self.begin,
            reactions={},
            retry=RetryPolicy(),
            deduplication=None,
            ordered=False,
            parks=False,
        )

    def begin(self, mailbox: Mailbox, envelope: Envelope, calls: bool) -> Outcome:  # noqa: FBT001  # by position
        """Address it by what is known now, or have it held with the reason."""
        if envelope.damage is not None:
            return self._failing.damaged(self.definition, envelope)
        try:
            found = self._reception.receivers(envelope, self._routing.table)
        except UnknownMessageType as error:
            return self._failing.unheard(self.definition, envelope, error, self._patience)
        return Completed(envelope, Effects(None, tuple(found)))

    def conclude(self, run: object) -> Completed:
        """No run begins here."""
        raise TypeError("a message that could not be addressed has no run")

    def reaction(self, mailbox: Mailbox, envelope: Envelope) -> Reaction | None:
        """None: there is nothing of the user's to call."""
        return None


def is_text(body: bytes) -> bool:
    """Whether a store can keep the body as it is."""
    try:
        return "\0" not in body.decode()
    except UnicodeDecodeError:
        return False


def held_body(body: bytes) -> bytes:
    """JSON that holds every byte."""
    return msgspec.json.encode({"body": {"hex": body.hex()}})


def _key(envelope: Envelope, route: Route, message: object) -> str | None:
    if route.remote:
        return None
    if route.key is None:
        return envelope.partition_key
    if message is None:
        return None  # the subscriber reads it
    try:
        return route.key(message)
    except MessageError:
        return None  # the subscriber meets it too, and says so


def _problem(message: WireMessage) -> str | None:
    """Why a store could not keep the message as it is."""
    if message.problem is not None or not message.id:
        return message.problem or "it has no id"
    if not message.type or len(message.type) > _LONGEST_TYPE or not message.type.isprintable():
        return "it names no message type"
    if len(message.headers) > MOST_HEADERS:
        return f"it has {len(message.headers)} headers, more than {MOST_HEADERS}"
    texts = (message.id, message.source, *message.headers, *message.headers.values())
    if not (all(map(str.isascii, texts)) or _is_storable("".join(texts))):
        return "a header is no text that UTF-8 can write"
    try:
        _check_names(message)
    except MessageError as error:
        return str(error)
    return None


def _check_names(message: WireMessage) -> None:
    """Raise MessageError for a correlation id, a causation id or a key that no message can have."""
    for text in (message.correlation_id, message.causation_id):
        if text is not None:
            check_id(text, "correlation or causation id")
    if message.key is not None:
        as_key(message.type, "key", message.key)


def _is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
