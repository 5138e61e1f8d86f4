"""A sender for tests, which records what handlers send, with or without a receiver.

A message without a receiver leaves no envelope in any channel. Here it leaves one in a separate channel.
`observed_store` removes it again before the commit, and notes it when the commit has succeeded.
"""

from __future__ import annotations

import warnings
from datetime import timedelta
from typing import TypeVar

from sagabus.clock import SystemClock, micros, moment
from sagabus.codec import Codec, JsonCodec
from sagabus.engine.observers import Observers
from sagabus.engine.routing import LiveRouting, Route, RoutingTable
from sagabus.engine.sender import Sender, StatementCheck, with_version
from sagabus.envelope import Envelope, Stamp
from sagabus.message import MessageType, message_type_of
from sagabus.settings import Settings

T = TypeVar("T")

_A_DAY = micros(timedelta(days=1))
NOWHERE = "sagabus.testing.nowhere"
"""The channel of messages without a receiver."""


class Messages(list[object]):
    """Messages in the order in which they were sent."""

    def of(self, cls: type[T]) -> list[T]:
        """Those of one class."""
        return [message for message in self if isinstance(message, cls)]


class Heard:
    """What committed runs have sent: each message once, however many receive it."""

    def __init__(self, codec: Codec | None = None) -> None:
        self.sent = Messages()
        """Commands."""
        self.published = Messages()
        """Events."""
        self._codec = codec or JsonCodec()
        self._types: dict[str, MessageType] = {}

    def learn(self, message_type: MessageType) -> None:
        """Know a type, to read its envelopes with."""
        self._types[message_type.name] = message_type

    def note(self, envelope: Envelope) -> None:
        """Note one message."""
        message_type = self._types[envelope.message_type]
        heard = self.sent if message_type.kind == "command" else self.published
        heard.append(self._codec.decode(message_type, envelope.body, envelope.headers))


class ListeningSender(Sender):
    """Addresses as the real one does, with the same checks. A handler's message without a receiver goes to `NOWHERE`.

    `strict`: a command without a receiver is Unroutable, as it is outside tests.
    """

    def __init__(
        self,
        heard: Heard,
        codec: Codec,
        routing: LiveRouting,
        statements: StatementCheck,
        *,
        settings: Settings | None = None,
        observers: Observers | None = None,
        strict: bool = False,
    ) -> None:
        super().__init__(codec, routing, statements, settings, observers)
        self._heard = heard
        self._strict = strict

    def address(
        self, message: object, stamp: Stamp, kind: str | None, table: RoutingTable | None = None
    ) -> list[Envelope]:
        """The envelopes of one message; at least one when it comes from a handler."""
        point_out_wall_clock(f"message {type(message).__qualname__}", stamp.due_at, stamp.sent_at)
        found = super().address(message, stamp, kind, table)
        message_type = message_type_of(message)
        self._heard.learn(message_type)
        if found or stamp.causation_id is None:
            return found
        nowhere = Route(channel=NOWHERE, key=None, remote=False, guarded=False)
        body, stamp = self.codec.encode(message), with_version(stamp, message_type.version)
        return [self._envelope(message, message_type.name, body, nowhere, stamp, table=self.routing.table)]

    def timer(
        self,
        channel: str,
        key: str,
        name: str,
        message_id: str,
        cause: Envelope,
        *,
        due_at: int,
        delay: int,
        sent_at: int,
    ) -> Envelope:
        """The envelope of a timer."""
        point_out_wall_clock(f"timer {name!r}", due_at, sent_at)
        return super().timer(channel, key, name, message_id, cause, due_at=due_at, delay=delay, sent_at=sent_at)

    def _check(self, message_type: MessageType, kind: str | None, routes: tuple[Route, ...], stamp: Stamp) -> None:
        is_lenient = message_type.kind == "command" and not routes and not self._strict
        if not is_lenient or kind not in (None, message_type.kind):
            super()._check(message_type, kind, routes, stamp)


def point_out_wall_clock(what: str, due_at: int, now: int) -> None:
    """Warn of an instant that was reckoned by the machine's clock, while the test has another one."""
    wall = SystemClock().now()
    is_near = abs(due_at - wall) < 366 * _A_DAY  # an instant far from both is neither's
    if due_at and is_near and abs(due_at - now) - abs(due_at - wall) > _A_DAY:
        warnings.warn(
            f"{what} is due at {moment(due_at)}, by the clock of this machine; the clock of the test shows "
            f"{moment(now)}: reckon from ctx.now, or say after=...",
            stacklevel=2,
        )
