"""The first verb of the way: a message is stamped, encoded and addressed to every channel that receives it.

Next stop: `store.append` for messages published from outside (`acceptor` gathers concurrent calls into one commit). For
messages of a handler it is the handler's own commit.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from copy import copy
from typing import Protocol, Self

import msgspec

from sagabus.codec import Codec
from sagabus.context import TIMER
from sagabus.engine.observers import Observers
from sagabus.engine.routing import LiveRouting, Plain, Route, RoutingTable, receivers_problem
from sagabus.envelope import Envelope, Stamp, lane_of
from sagabus.errors import ConfigurationError, EndlessLoop, MessageTooLarge, Unroutable
from sagabus.identity import derive_in
from sagabus.message import VERSION_HEADER, MessageType, message_type_of
from sagabus.message.stamping import checked_headers, size_of
from sagabus.observer import Departure
from sagabus.outcome import Parameters
from sagabus.settings import Settings

log = logging.getLogger("sagabus")


class StatementCheck(Protocol):
    """The store's early look at a user's statement."""

    def execute_check(self, sql: str, parameters: Parameters) -> None:
        """Raise for a statement that a commit would refuse."""
        ...


class Sender:
    """Makes addressed envelopes of messages, under the latest routing that this process knows."""

    def __init__(
        self,
        codec: Codec,
        routing: LiveRouting,
        statements: StatementCheck,
        settings: Settings | None = None,
        observers: Observers | None = None,
        *,
        service: str | None = None,
    ) -> None:
        settings = settings or Settings()
        self.service, self.derive = service, derive_in(service)
        self.codec = codec
        self._encode = codec.encode
        self._max_hops = settings.max_hops
        self._max_size = settings.max_message_size
        self.max_sent, self.max_sent_bytes = settings.max_sent, settings.max_sent_bytes
        self.never_too_many = min(self.max_sent, max(self.max_sent_bytes // self._max_size, 1))
        self._refuses_unheard = settings.unheard == "refuse"
        self.observers = observers or Observers()
        self._adds_headers = self.observers.are_sending
        self.routing = routing
        self._statements = statements
        self._types: dict[type[object], MessageType] = {}

    def class_of(self, message_type: str) -> type[object] | None:
        """The class of a message that has been sent from here, or that `learn` has been given."""
        return next((each.cls for each in [*self._types.values()] if message_type in each.names), None)

    def learn(self, types: Iterable[MessageType]) -> None:
        """Know the classes of these messages before one is sent."""
        self._types |= {each.cls: each for each in types}

    def unwatched(self) -> Self:
        """The same for runs that no observer watches: what it sends is announced to none."""
        found = copy(self)
        found._adds_headers = False  # noqa: SLF001  # of another one of this class
        return found

    def address(
        self, message: object, stamp: Stamp, kind: str | None, table: RoutingTable | None = None
    ) -> list[Envelope]:
        """One envelope for each channel that receives the message. `kind` is what the caller takes it for, if it says.

        Raises MessageNotDeclared, MessageInvalid, MessageTooLarge, MessageTooDeep or EndlessLoop. Raises Unroutable for
        a command without its one receiver, and for an event without any, if the settings say so.
        """
        message_type = self._types.get(type(message)) or self._learn(message)
        name = message_type.name
        if table is None:
            table = self.routing.table
        routes = table.routes(message_type)
        if kind != message_type.kind or len(routes) != 1:
            self._check(message_type, kind, routes, stamp)
        if stamp.hops > self._max_hops:
            raise EndlessLoop(name, stamp.message_id, self._max_hops)
        body = self._encode(message)
        if self._adds_headers and stamp.causation_id is not None:
            stamp = self.announced(message, stamp)  # of a run, which addresses it once
        if stamp.headers is not None:
            self._check_size(name, body, size_of(stamp.headers))
        if message_type.version != 1 or stamp.headers is not None:
            stamp = with_version(stamp, message_type.version)
        if stamp.causation_id is not None:
            self._note_plain(message, message_type, routes, table)
        return [self._envelope(message, name, body, route, stamp, table) for route in routes]

    def follow(self, message: object, kind: str | None, cause: Envelope, ordinal: int, now: int) -> Envelope | None:
        """The one envelope of a message that the run of `cause` sends without options; None where `address` must tell,
        and beyond the limit.

        What most runs send: so it is `address` and `_envelope` in one call, without a stamp in between.
        """
        plain, hops = self.routing.table.plain.get(type(message)), cause.hops + 1
        if plain is None or plain.kind != kind or hops > self._max_hops or ordinal > self.max_sent:
            return None
        body, _ = plain.write(message)
        incoming = cause.message_id
        message_id = self.derive(incoming, cause.channel, ordinal)
        key = None if plain.remote else cause.partition_key
        if plain.key is not None:
            try:
                key = plain.key(message)
            except Exception:  # noqa: BLE001  # `address` logs it
                return None
        correlation_id, headers = cause.correlation_id or incoming, None
        lane = lane_of(message_id if key is None else key, plain.lanes)
        if self._adds_headers:
            headers = self._headers_of(message, plain.name, message_id, correlation_id, incoming, body)
        # fmt: off
        return Envelope(
            message_id, plain.name, body, plain.channel, lane, key, headers, correlation_id, incoming,
            now, 0, 0, 0, 0, 0, None, None, False, hops,
        )
        # fmt: on

    def _headers_of(  # noqa: PLR0917  # the same
        self, message: object, name: str, message_id: str, correlation_id: str, causation_id: str, body: bytes
    ) -> dict[str, str] | None:
        """What observers add to a message that has no headers of its own; most often nothing."""
        added: dict[str, str] = {}
        self.observers.departing(Departure(message, name, message_id, correlation_id, added, None, causation_id))
        if not added:
            return None
        for name_of_ours in (VERSION_HEADER, KIND_HEADER):  # as `with_version` and `leaving`
            added.pop(name_of_ours, None)
        headers = checked_headers(message, added)
        self._check_size(name, body, size_of(added))
        return headers

    def _note_plain(
        self, message: object, message_type: MessageType, routes: tuple[Route, ...], table: RoutingTable
    ) -> None:
        """Let `follow` know the class, under this routing."""
        name, kind = message_type.name, message_type.kind
        if len(routes) == 1 and message_type.version == 1 and (kind == "event" or not routes[0].leaves):
            (route,), write = routes, self.codec.writer(message_type)
            table.plain[type(message)] = Plain(name, kind, route.channel, route.key, route.remote, table.lanes, write)

    def announced(self, message: object, stamp: Stamp) -> Stamp:
        """The stamp with the headers that observers add; each message passes here once, by whatever way it is sent."""
        if not self._adds_headers:
            return stamp
        message_id, name = stamp.message_id, message_type_of(message).name
        headers = dict(stamp.headers or {})
        conversation, cause = stamp.correlation_id or message_id, stamp.causation_id
        self.observers.departing(Departure(message, name, message_id, conversation, headers, None, cause))
        return msgspec.structs.replace(stamp, headers=checked_headers(message, headers)) if headers else stamp

    def _learn(self, message: object) -> MessageType:
        message_type = message_type_of(message)
        if not isinstance(message, type):
            self._types[type(message)] = message_type
        return message_type

    def _envelope(  # noqa: PLR0917  # the same
        self, message: object, name: str, body: bytes, route: Route, stamp: Stamp, table: RoutingTable
    ) -> Envelope:
        key = None if route.remote else stamp.partition_key
        if route.key is not None:
            try:
                key = route.key(message)
            except Exception as error:  # noqa: BLE001  # the subscriber meets it too, and its message alone pays for it
                key = None
                log.debug("%s: no key for %s: %s", route.channel, stamp.message_id, type(error).__name__)
        if route.leaves:
            stamp = leaving(stamp, message_type_of(message).kind)
        message_id = stamp.message_id
        lane = lane_of(message_id if key is None else key, table.lanes)
        # By position: naming the fields would cost as much as encoding the message. (fmt keeps them in few lines.)
        # fmt: off
        return Envelope(
            message_id, name, body, route.channel, lane, key, stamp.headers, stamp.correlation_id, stamp.causation_id,
            stamp.sent_at, stamp.due_at, stamp.delay, 0, 0, 0, None, None, False, stamp.hops,
            stamp.guarded and route.guarded,
        )
        # fmt: on

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
        """The envelope of a timer of one instance, in the lane of its key."""
        correlation_id, headers = cause.correlation_id or cause.message_id, dict[str, str]()
        if self._adds_headers:
            self.observers.departing(
                Departure(None, TIMER, message_id, correlation_id, headers, name, cause.message_id)
            )
        return Envelope(
            message_id=message_id,
            message_type=TIMER,
            body=b"{}",
            channel=channel,
            lane=self.routing.table.lane(key),
            partition_key=key,
            headers=headers or None,
            correlation_id=correlation_id,
            causation_id=cause.message_id,
            sent_at=sent_at,
            due_at=due_at,
            delay=delay,
            timer=name,
        )

    def check_statement(self, sql: str, parameters: Parameters) -> None:
        """Raise for a statement that the commit would refuse."""
        self._statements.execute_check(sql, parameters)

    def _check_size(self, name: str, body: bytes, headers: int) -> None:
        if len(body) + headers > self._max_size:
            raise MessageTooLarge(name, len(body) + headers, self._max_size, headers)

    def _check(self, message_type: MessageType, kind: str | None, routes: tuple[Route, ...], stamp: Stamp) -> None:
        if kind is not None and kind != message_type.kind:
            right = "ctx.send / bus.send" if message_type.kind == "command" else "ctx.publish / bus.publish"
            raise ConfigurationError(f"{message_type.name!r} is {_article(message_type.kind)}: use {right} for it")
        problem = receivers_problem(message_type, routes)
        if problem is None and not routes and self._refuses_unheard:
            problem = (
                f"no subscription receives the event {message_type.name!r}, and Settings.unheard refuses that: "
                "start a bus with its handler or saga on this store once"
            )
        if problem is not None:
            raise Unroutable(problem, message_type=message_type.name, message_id=stamp.message_id)
        if not routes and stamp.causation_id is not None:
            # A publisher says so itself, when the store has confirmed that there is no receiver.
            self.observers.unheard(message_type.name, stamp.message_id)


def with_version(stamp: Stamp, version: int) -> Stamp:
    """The stamp with the version of its message in the headers: a handler may pass on the headers of another one."""
    if version == 1 and (stamp.headers is None or VERSION_HEADER not in stamp.headers):
        return stamp
    headers = {name: value for name, value in (stamp.headers or {}).items() if name != VERSION_HEADER}
    if version > 1:
        headers[VERSION_HEADER] = str(version)
    return msgspec.structs.replace(stamp, headers=headers or None)


KIND_HEADER = "sagabus-kind"
"""Says on an envelope that leaves the service that its message is a command. Without it, the message is an event."""


def leaving(stamp: Stamp, kind: str) -> Stamp:
    """The stamp of a message that leaves the service: a broker takes events and commands to different receivers."""
    if kind != "event":
        return msgspec.structs.replace(stamp, headers={**(stamp.headers or {}), KIND_HEADER: kind})
    if stamp.headers is None or KIND_HEADER not in stamp.headers:
        return stamp
    headers = {name: value for name, value in stamp.headers.items() if name != KIND_HEADER}
    return msgspec.structs.replace(stamp, headers=headers or None)


def _article(kind: str) -> str:
    return "an event" if kind == "event" else "a command"
