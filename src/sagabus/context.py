"""What user code gets with the message: plain calls that only buffer. Nothing leaves before the commit, nothing has to
be awaited.

`processing` makes one per run and turns what it gathered into effects. After the handler has returned it is closed:
what it was for has been decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol, TypedDict, Unpack, overload

from sagabus.clock import instant, moment, span
from sagabus.envelope import Envelope, Stamp
from sagabus.errors import ContextClosed, HandlingError, InvalidTime, TooManyMessages
from sagabus.identity import Derive, check_id, derive
from sagabus.message.kinds import Command, Event, wrong_kind
from sagabus.message.load import Load, stated
from sagabus.message.stamping import checked_headers, checked_key
from sagabus.outcome import Parameters, Statement

TIMER = "sagabus.timer"
"""The message type of timers. It is in no registry, so it cannot be published."""


_NO_TIMERS: Mapping[str, Envelope | None] = MappingProxyType({})


class Outbound(Protocol):
    """Turns a message sent by user code into addressed envelopes; the sender behind the context."""

    def address(self, message: object, stamp: Stamp, kind: str | None) -> list[Envelope]:
        """One envelope for each channel that receives the message; raises for a message that cannot travel."""
        ...

    def follow(self, message: object, kind: str | None, cause: Envelope, ordinal: int, now: int) -> Envelope | None:
        """The one envelope of the `ordinal`th message of the run of `cause`, sent without options at `now`. It is as
        `address` makes it, in fewer steps. None where `address` has to be asked, and beyond `max_sent`.
        """
        ...

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
        """The envelope of a timer of one instance."""
        ...

    def check_statement(self, sql: str, parameters: Parameters) -> None:
        """Raise for a statement that the commit would refuse."""
        ...

    @property
    def derive(self) -> Derive:
        """Mints the ids of what a run sends."""
        ...

    @property
    def max_sent(self) -> int:
        """How many messages and timers one run may send."""
        ...

    @property
    def max_sent_bytes(self) -> int:
        """How many bytes they may have."""
        ...

    @property
    def never_too_many(self) -> int:
        """How many messages have fewer bytes, however large each is."""
        ...


class SendOptions(TypedDict, total=False):
    """Options of a message, wherever it is sent or published."""

    message_id: str | None
    """The key of de-duplication; an id is made when it is left out."""
    partition_key: str | None
    """Messages of one key keep their order at subscriptions that read no key of their own."""
    correlation_id: str | None
    headers: Mapping[str, str] | None


class Context:
    """One run of one handler: what is known of the message, and everything the run wants done."""

    __slots__ = (
        "_closed",
        "_envelope",
        "_load",
        "_now",
        "_ordinal",
        "_outbound",
        "_stated",
        "_stateful",
        "completed",
        "observed",
        "outgoing",
        "statements",
        "timer_changes",
        "unheard",
    )

    def __init__(self, envelope: Envelope, outbound: Outbound, now: int, *, stateful: bool = True) -> None:
        self._envelope = envelope
        self._outbound = outbound
        self._now = now
        self._stateful = stateful
        self._ordinal = 0
        self._closed = False
        self._stated = 0
        self._load: Load | None = None
        self.outgoing: list[Envelope] = []
        """Buffered messages, addressed; for tests and middleware to look at."""
        self.timer_changes: Mapping[str, Envelope | None] = _NO_TIMERS
        """Timers set (an envelope) or cancelled (None) by this run."""
        self.statements: list[Statement] = []
        """Buffered SQL."""
        self.unheard = False
        """Whether a message of this run had no receiver."""
        self.observed: object
        """The instance, where an observer is around the run; not set otherwise."""
        self.completed = False
        """Whether the run has completed its saga."""

    @property
    def message_id(self) -> str:
        """The id of the message at hand: the same in every run of it."""
        return self._envelope.message_id

    @property
    def message_type(self) -> str:
        """The wire name of the message at hand."""
        return self._envelope.message_type

    @property
    def subscription(self) -> str:
        """The name of the handler or saga that runs."""
        return self._envelope.channel

    @property
    def saga(self) -> str | None:
        """The name of the saga that runs; None in a handler."""
        return self._envelope.channel if self._stateful else None

    @property
    def timer(self) -> str | None:
        """The name of the timer that fired; None for a message."""
        return self._envelope.timer

    @property
    def key(self) -> str | None:
        """The saga's key, or the partition key of the message."""
        return self._envelope.partition_key

    @property
    def correlation_id(self) -> str:
        """The id of the conversation: that of the message which began it."""
        return self._envelope.correlation_id or self._envelope.message_id

    @property
    def headers(self) -> Mapping[str, str]:
        """The sender's headers."""
        return self._envelope.headers or {}

    @property
    def attempt(self) -> int:
        """Which counted run this is, from 1."""
        return self._envelope.attempt + 1

    @property
    def now(self) -> datetime:
        """When this run began, by the clock of this process; in a harness, by the clock that the test moves."""
        return moment(self._now)

    @property
    def sent_at(self) -> datetime:
        """When the message was sent."""
        return moment(self._envelope.sent_at)

    def idempotency_key(self, step: str) -> str:
        """A key for an external call: equal in every run of this message, different for every other message or step."""
        return derive(self._envelope.message_id, self._envelope.channel, f"key:{step}")

    @overload
    @wrong_kind("an event is published: publish(...)")
    def send(self, message: Event, **options: Unpack[SendOptions]) -> None: ...
    @overload
    def send(self, message: object, **options: Unpack[SendOptions]) -> None: ...
    def send(
        self,
        message: object,
        *,
        message_id: str | None = None,
        partition_key: str | None = None,
        correlation_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a command to its one receiver when this run commits. Raises Unroutable now if no subscription receives
        it.
        """
        is_plain = message_id is None and partition_key is None and headers is None and correlation_id is None
        if is_plain and self._buffer_plain(message, "command"):
            return
        self._buffer(message, "command", message_id, partition_key, headers, correlation_id)

    @overload
    @wrong_kind("a command is sent: send(...)")
    def publish(self, message: Command, **options: Unpack[SendOptions]) -> None: ...
    @overload
    def publish(self, message: object, **options: Unpack[SendOptions]) -> None: ...
    def publish(
        self,
        message: object,
        *,
        message_id: str | None = None,
        partition_key: str | None = None,
        correlation_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Publish an event to every subscription when this run commits."""
        is_plain = message_id is None and partition_key is None and headers is None and correlation_id is None
        if is_plain and self._buffer_plain(message, "event"):
            return
        self._buffer(message, "event", message_id, partition_key, headers, correlation_id)

    def schedule(
        self,
        message: object,
        *,
        after: timedelta | None = None,
        at: datetime | None = None,
        message_id: str | None = None,
        partition_key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send or publish the message later: `after` it was written by the commit, or not before `at`, by the store's
        clock.
        """
        due_at, delay = due(after, at)
        self._buffer(message, None, message_id, partition_key, headers, due_at=due_at, delay=delay)

    def set_timer(self, name: str, *, after: timedelta | None = None, at: datetime | None = None) -> None:
        """Set the named timer of this instance; one that is set already is replaced and never fires."""
        self._check_open()
        self._check_stateful(f"set_timer({name!r})")
        due_at, delay = due(after, at)
        cause = self._envelope
        ordinal = self._next()
        message_id = self._outbound.derive(cause.message_id, cause.channel, f"timer:{ordinal}")
        timer = self._outbound.timer(
            cause.channel,
            cause.partition_key or "",
            name,
            message_id,
            cause,
            due_at=due_at,
            delay=delay,
            sent_at=self._now,
        )
        self.timer_changes = {**self.timer_changes, name: timer}

    def cancel_timer(self, name: str) -> None:
        """Cancel the named timer of this instance; it will not fire. One that is not set is fine."""
        self._check_open()
        self._check_stateful(f"cancel_timer({name!r})")
        self.timer_changes = {**self.timer_changes, name: None}

    def complete(self) -> None:
        """Finish this saga instance with this run: its timers go, later messages meet the saga's `on_finished`."""
        self._check_open()
        self._check_stateful("complete()")
        self.completed = True

    def execute(self, sql: str, parameters: Parameters = ()) -> None:
        """Run one SQL statement inside the commit of this message. Buffered: it sees the rows of the moment of the
        commit and returns none.

        Refuses a statement that cannot be prepared, controls the transaction or touches the library's tables. One that
        fails in the commit costs only this message, as if the handler had raised.
        """
        self._check_open()
        self._outbound.check_statement(sql, parameters)
        self._stated = stated(self._stated, sql, parameters, self._envelope, self._outbound.max_sent_bytes)
        self.statements.append(Statement(sql, parameters))

    @property
    def saga_status(self) -> str | None:
        """The status of the saga instance at this moment, for observers around the run. None in a handler, for a saga
        without a status, and where no observer is.
        """
        status = getattr(getattr(self, "observed", None), "status", None)
        return None if status is None else str(getattr(status, "value", status))

    def close(self) -> None:
        """End of the run; every buffering call after it raises ContextClosed."""
        self._closed = True

    def _buffer_plain(self, message: object, kind: str) -> bool:
        """Buffer a message without options in one step; whether that was possible."""
        outbound = self._outbound
        if self._closed:
            return False
        ordinal = self._ordinal + 1
        sent = outbound.follow(message, kind, self._envelope, ordinal, self._now)
        if sent is None:
            return False
        if len(self.outgoing) >= outbound.never_too_many:
            self._weigh([sent])
        self._ordinal = ordinal
        self.outgoing.append(sent)
        return True

    def _buffer(  # noqa: PLR0917  # naming arguments costs as much as passing them
        self,
        message: object,
        kind: str | None,
        message_id: str | None = None,
        partition_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        correlation_id: str | None = None,
        due_at: int = 0,
        delay: int = 0,
    ) -> None:
        self._check_open()
        cause, now = self._envelope, self._now
        ordinal = self._next()
        incoming = cause.message_id
        stamp = Stamp(
            self._outbound.derive(incoming, cause.channel, ordinal) if message_id is None else check_id(message_id),
            now,
            cause.partition_key if partition_key is None else checked_key(message, partition_key),
            checked_headers(message, headers) if headers else None,
            cause.correlation_id or incoming if correlation_id is None else check_id(correlation_id, "correlation id"),
            incoming,
            due_at,
            delay,
            # What waits for a later time is no runaway loop: a saga may well tick for ever.
            0 if due_at > now or delay > 1 else cause.hops + 1,
            message_id is not None,
        )
        addressed = self._outbound.address(message, stamp, kind)
        if addressed:
            if len(self.outgoing) + len(addressed) > self._outbound.never_too_many:
                self._weigh(addressed)
            self.outgoing += addressed
        else:
            self.unheard = True

    def _next(self) -> int:
        ordinal, limit = self._ordinal + 1, self._outbound.max_sent
        if ordinal > limit:
            raise TooManyMessages(self._envelope.channel, limit, self.key)
        self._ordinal = ordinal
        return ordinal

    def _weigh(self, addressed: list[Envelope]) -> None:
        if self._load is None:
            self._load = Load(self._envelope.channel, self._outbound.max_sent_bytes, self.key, self.outgoing)
        self._load.add(addressed)

    def _check_open(self) -> None:
        if self._closed:
            raise ContextClosed(
                "the handler has returned and its outcome is decided: "
                "call the context before that, in the handler itself",
                message_id=self._envelope.message_id,
                subscription=self._envelope.channel,
            )

    def _check_stateful(self, call: str) -> None:
        if not self._stateful:
            raise HandlingError(
                f"{call} belongs to a saga instance; a handler without state uses ctx.schedule(...)",
                message_id=self._envelope.message_id,
                subscription=self._envelope.channel,
            )


def due(after: timedelta | None, at: datetime | None, *, option: str = "after") -> tuple[int, int]:
    """(due instant, delay) of exactly one of the two; InvalidTime otherwise. `option` is what the caller calls a delay.

    An instant in the past is due now.
    """
    if (after is None) == (at is None):
        raise InvalidTime(option, f"give exactly one of `{option}` (a timedelta) and `at` (an aware datetime)")
    if at is not None:
        return max(instant(at, "at"), 1), 0
    return 0, max(span(after, option), 1)
