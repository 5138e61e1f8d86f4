"""Unit tests of one method without any bus: call it with a context that only writes down what is asked of it.

Example:
    ctx = RecordingContext(key="A1")
    saga = OrderSaga(order_id="A1")
    saga.submitted(OrderSubmitted(order_id="A1", total=4200), ctx)
    assert ctx.sent == [CapturePayment(order_id="A1", amount=4200)]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sagabus.clock import instant
from sagabus.codec import JsonCodec
from sagabus.context import Context
from sagabus.engine.routing import LiveRouting, RoutingTable
from sagabus.envelope import Envelope, Stamp
from sagabus.errors import StatementRefused
from sagabus.outcome import Parameters
from sagabus.testing.captured import Heard, ListeningSender, Messages

_START = datetime(2030, 1, 1, tzinfo=UTC)
_NOT_YOURS = re.compile(
    r"\s*(begin|commit|end|rollback|savepoint|release|create|drop|alter|reindex|pragma|attach|detach|vacuum)\b"
    r"|.*\bsagabus_",
    re.IGNORECASE | re.DOTALL,
)


class RecordingContext(Context):
    """The real context, with the same checks of arguments; what it buffers stays here, as messages.

    The arguments are what the method may ask of its context. `stateful=False`: as a handler without state sees it,
    which has no timers and nothing to complete.
    """

    def __init__(
        self,
        *,
        key: str | None = "key",
        message_id: str = "message",
        message_type: str = "tests.message",
        correlation_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        subscription: str = "subscription",
        attempt: int = 1,
        sent_at: datetime = _START,
        stateful: bool = True,
    ) -> None:
        envelope = Envelope(
            message_id=message_id,
            message_type=message_type,
            body=b"{}",
            channel=subscription,
            partition_key=key,
            correlation_id=correlation_id,
            headers=dict(headers or {}),
            attempt=attempt - 1,
            sent_at=instant(sent_at),
        )
        self._heard = Heard()
        super().__init__(envelope, _Recorder(self._heard), instant(sent_at), stateful=stateful)
        self.timers: dict[str, timedelta | datetime] = {}
        """Timers set, each with the delay or the instant given."""
        self.cancelled: list[str] = []
        """Timers cancelled and not set again."""

    @property
    def sent(self) -> Messages:
        """Commands sent or scheduled, in order."""
        return self._heard.sent

    @property
    def published(self) -> Messages:
        """Events published or scheduled, in order."""
        return self._heard.published

    def set_timer(self, name: str, *, after: timedelta | None = None, at: datetime | None = None) -> None:
        """As the real one."""
        super().set_timer(name, after=after, at=at)
        self.timers[name] = after if after is not None else at or _START
        self.cancelled = [other for other in self.cancelled if other != name]

    def cancel_timer(self, name: str) -> None:
        """As the real one."""
        super().cancel_timer(name)
        self.timers.pop(name, None)
        if name not in self.cancelled:
            self.cancelled.append(name)


class _Recorder(ListeningSender):
    """Addresses no receiver, and notes at once."""

    def __init__(self, heard: Heard) -> None:
        super().__init__(heard, JsonCodec(), LiveRouting({}), _NoDatabase())

    def address(
        self, message: object, stamp: Stamp, kind: str | None, table: RoutingTable | None = None
    ) -> list[Envelope]:
        """The one envelope of a message."""
        envelopes = super().address(message, stamp, kind, table)
        for envelope in envelopes:
            self._heard.note(envelope)
        return envelopes


class _NoDatabase:
    """What can be said of a statement without the tables it is for."""

    def execute_check(self, sql: str, parameters: Parameters) -> None:
        """Refuse what a commit would refuse whatever the tables are."""
        if _NOT_YOURS.match(sql):
            raise StatementRefused(f"not allowed inside the bus's transaction: {sql[:80]!r}", statement=sql)
