"""What leaves the service: the consumer of its channel sends each message, and has run when the broker has confirmed.

So leases, fencing, order per key, retries and dead letters are those of every subscription. A message is removed after
its confirm, never before. A key has one unconfirmed message at a time, and keys go on in parallel.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any, cast

from sagabus.clock import Clock
from sagabus.context import Context
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.reaction import Reaction
from sagabus.engine.bridges.wire_format import WireFormat
from sagabus.engine.consumer import called
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.recoverability import Recoverability
from sagabus.engine.run import Run
from sagabus.engine.sender import KIND_HEADER, Sender
from sagabus.envelope import Envelope
from sagabus.errors import TransportError, TransportRefused, Unroutable
from sagabus.outcome import Completed, Effects, Outcome
from sagabus.policies.retry import Exponential, RetryPolicy, Rule
from sagabus.transport import NO_HEADERS, Answer, Link, Sent, WireKind, WireMessage

log = logging.getLogger("sagabus")

RETRY = RetryPolicy(
    attempts=8,
    backoff=Exponential(first=timedelta(seconds=1), cap=timedelta(minutes=1)),
    rules=MappingProxyType({TransportRefused: Rule.DEAD_LETTER}),
)
"""Of a command that no queue takes, about two minutes. A message that the broker refuses is not tried again."""
PATIENCE = 30.0
"""Seconds until a link that does not answer counts as lost."""
_NOTHING = Effects()


class Outbound:
    """Sends over one link. `Batching` has it send many messages at once; alone, a message has a run of its own."""

    def __init__(
        self,
        channel: str,
        service: str,
        wire_format: WireFormat,
        sender: Sender,
        *,
        failing: Recoverability,
        clock: Clock,
        place: str,
    ) -> None:
        """`place`: which broker, for observers."""
        self._format, self._place = wire_format, place
        self._service, self._sender, self._failing, self._clock = service, sender, failing, clock
        self._link: Link | None = None
        self.most = 1
        """How many messages the link takes at once."""
        self._lost: asyncio.Future[str] | None = None
        self._reaction = Reaction(
            name="send", where=f"the bridge of {service}", invoke=self._invoke, is_async=True, function=self._invoke
        )
        self.definition = HandlerDefinition(
            name=channel,
            function=self._invoke,
            reactions={},
            retry=RETRY,
            deduplication=None,
            ordered=True,
            parks=False,
        )

    # --- the link -----------------------------------------------------------------------------------------------------

    def use(self, link: Link, most: int) -> asyncio.Future[str]:
        """Send over this link, so many at once at most. Done when it turns out to be lost, with the reason."""
        self._link, self.most = link, most
        self._lost = asyncio.get_running_loop().create_future()
        return self._lost

    def rest(self) -> None:
        """Send nothing any more."""
        self._link = None

    # --- see `engine.consumer.Consumer` -------------------------------------------------------------------------------

    def begin(self, mailbox: Mailbox, envelope: Envelope, calls: bool) -> Run | Outcome:  # noqa: FBT001  # by position
        """A run that sends it."""
        if envelope.damage is not None:
            return self._failing.damaged(self.definition, envelope)
        ctx = Context(envelope, self._sender, self._clock.now(), stateful=False)
        returned = called(self._reaction, None, envelope, ctx) if calls else None
        return Run(self._reaction, envelope, ctx, envelope, returned=returned)

    def conclude(self, run: Run) -> Completed:
        """The broker has it: nothing remains here."""
        return Completed(run.envelope, _NOTHING)

    def reaction(self, mailbox: Mailbox, envelope: Envelope) -> Reaction | None:
        """The one there is."""
        return self._reaction

    # --- sending ------------------------------------------------------------------------------------------------------

    def _invoke(self, state: object, message: object, ctx: object, connection: object) -> Coroutine[Any, Any, None]:
        return self._send(cast("Envelope", message))

    async def _send(self, envelope: Envelope) -> None:
        message = self.message(envelope)
        (sent,) = await self.pass_on([message])
        if (error := self.error(message, sent)) is not None:
            raise error

    def message(self, envelope: Envelope) -> WireMessage:
        """As it travels. Raises what the user's codec raises."""
        return self._format.outgoing(wire_message(envelope, self._service))

    def outcome(self, envelope: Envelope, message: WireMessage, sent: Sent) -> Outcome:
        """What becomes of a message by the broker's answer."""
        if (error := self.error(message, sent)) is None:
            return Completed(envelope, _NOTHING)
        return self.failed(envelope, error)

    def failed(self, envelope: Envelope, error: Exception) -> Outcome:
        """What becomes of a message that met an error."""
        return self._failing.failed(self.definition, envelope, error)

    def error(self, message: WireMessage, sent: Sent) -> Exception | None:
        """What an answer says against it; None where nothing remains to be done."""
        if sent.answer is Answer.CONFIRMED:
            return None
        if sent.answer is Answer.REFUSED:
            return TransportRefused(sent.reason, message_ids=(message.id,))
        if sent.answer is Answer.UNKNOWN:
            return TransportError(sent.reason, message_ids=(message.id,))
        if message.kind == "command":
            reason = f"no service receives the command {message.type!r}: {sent.reason}"
            return Unroutable(reason, message_type=message.type, message_id=message.id)
        if message.type not in self._sender.routing.table.by_type:
            self._sender.observers.unheard(message.type, message.id)
        return None

    async def pass_on(self, messages: Sequence[WireMessage]) -> Sequence[Sent]:
        """The broker's answers. Where the link is lost there are none: this waits until it is cancelled."""
        link, lost = self._link, self._lost
        if link is not None and lost is not None and not lost.done():
            answers = await self._answers(link, lost, messages)
            if answers is not None:
                return answers
        nothing: asyncio.Future[Sequence[Sent]] = asyncio.get_running_loop().create_future()
        return await nothing

    async def _answers(
        self, link: Link, lost: asyncio.Future[str], messages: Sequence[WireMessage]
    ) -> Sequence[Sent] | None:
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                answers = await link.send(messages)
        except asyncio.CancelledError:  # the bridge noticed first that the link has ended, or it stops
            self._note(messages, began, error=TransportError("sending ended before the broker's answer"))
            raise
        except TimeoutError as error:
            self._failed(lost, messages, began, error, f"no confirm for {PATIENCE:g} s")
        except TransportError as error:
            self._failed(lost, messages, began, error, str(error))
        except Exception as error:
            log.exception("the transport met an error of its own")
            self._failed(lost, messages, began, error, f"{type(error).__name__}: {error}")
        else:
            refused = sum(_is_left(message, sent) for message, sent in zip(messages, answers, strict=True))
            self._note(messages, began, refused=refused)
            return answers
        return None

    def _failed(  # what `_answers` knows
        self, lost: asyncio.Future[str], messages: Sequence[WireMessage], began: float, error: Exception, why: str
    ) -> None:
        _end(lost, why)
        self._note(messages, began, error=error)

    def _note(
        self, messages: Sequence[WireMessage], began: float, *, refused: int = 0, error: Exception | None = None
    ) -> None:
        seconds = self._clock.monotonic() - began
        self._sender.observers.bridged("send", self._place, messages, seconds, refused=refused, error=error)


def wire_message(envelope: Envelope, service: str) -> WireMessage:
    """An envelope that leaves the service, as other services see it."""
    headers: Mapping[str, str] = envelope.headers or NO_HEADERS
    kind = headers.get(KIND_HEADER)
    if kind is not None:
        headers = {name: value for name, value in headers.items() if name != KIND_HEADER}
    return WireMessage(
        id=envelope.message_id,
        source=service,
        type=envelope.message_type,
        body=envelope.body,
        kind=cast("WireKind", kind or "event"),
        key=envelope.partition_key,
        correlation_id=envelope.correlation_id or envelope.message_id,
        causation_id=envelope.causation_id,
        sent_at=envelope.sent_at,
        hops=envelope.hops,
        headers=headers,
    )


def _is_left(message: WireMessage, sent: Sent) -> bool:
    """Whether the broker has yet to take it. With an event that no other service wants, nothing remains to be done."""
    answer = sent.answer
    return answer is not Answer.CONFIRMED and (answer is not Answer.UNROUTABLE or message.kind == "command")


def _end(lost: asyncio.Future[str], why: str) -> None:
    if not lost.done():
        lost.set_result(why)
