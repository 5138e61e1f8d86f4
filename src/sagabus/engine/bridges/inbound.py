"""What comes for the service: take a batch, append it with its inbox records in one commit, then acknowledge.

A copy finds its id in the inbox, whatever made it: the broker, the sender, or an acknowledgement that was lost. While
the store is away the bridge holds two batches and takes no more, so nothing goes back to the broker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from sagabus.clock import Clock, sleep
from sagabus.engine.acceptor import Acceptor
from sagabus.engine.bridges.reception import Reception
from sagabus.engine.bridges.wire_format import WireFormat
from sagabus.engine.observers import Observers
from sagabus.engine.routing import LiveRouting
from sagabus.envelope import Envelope
from sagabus.errors import StoreError
from sagabus.outcome import Admission
from sagabus.policies.deduplication import DeduplicationRules, Duplicate, report_duplicate
from sagabus.transport import Delivery, Link

log = logging.getLogger("sagabus")
T = TypeVar("T")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 3.0


class Inbound:
    """Takes messages from one link after another."""

    def __init__(
        self,
        service: str,
        wire_format: WireFormat,
        reception: Reception,
        acceptor: Acceptor,
        routing: LiveRouting,
        *,
        rules: DeduplicationRules,
        observers: Observers,
        clock: Clock,
        place: str,
    ) -> None:
        """`place`: which broker, for observers."""
        self._format, self._place = wire_format, place
        self._service, self._reception, self._acceptor, self._routing = service, reception, acceptor, routing
        self._rules, self._observers, self._clock = rules, observers, clock
        self.holds = False
        """The store does not take what came."""

    async def take(self, link: Link, most: int) -> None:
        """Take from a link, so many at once at most, until it ends with a TransportError.

        While the store keeps one batch, the next one comes, and no more than that. The store gets batch after batch, in
        order, and none is settled before the store has it.
        """
        coming, settling = _begun(link.receive(most)), None
        try:
            while True:
                deliveries = await _first(coming, settling)
                coming = _begun(link.receive(most))
                # Subscriptions here have got a service's own events from the store.
                foreign = [each for each in deliveries if not self._is_own_event(each)]
                with self._observed("receive", foreign):
                    await self._keep(foreign)
                if settling is not None:
                    await settling
                settling = _begun(self._settle(link, deliveries))
        finally:
            await _ended([coming] if settling is None else [coming, settling])

    async def _settle(self, link: Link, deliveries: Sequence[Delivery]) -> None:
        with self._observed("settle", deliveries):
            await link.settle(deliveries)

    @contextmanager
    def _observed(self, step: Literal["receive", "settle"], deliveries: Sequence[Delivery]) -> Generator[None]:
        if not (deliveries and self._observers.are_at_bridges):
            yield
            return
        began = self._clock.monotonic()
        messages = [each.message for each in deliveries]
        try:
            yield
        except BaseException as error:
            self._observers.bridged(step, self._place, messages, self._clock.monotonic() - began, error=error)
            raise
        self._observers.bridged(step, self._place, messages, self._clock.monotonic() - began)

    def _is_own_event(self, delivery: Delivery) -> bool:
        message = delivery.message
        return message.source == self._service and message.kind == "event" and message.problem is None

    async def _keep(self, deliveries: Sequence[Delivery]) -> None:
        """Append all in one commit; one by one where that fails, so that one of them costs no other."""
        if not deliveries:
            return
        try:
            await self._append([self._reception.envelope(self._format.incoming(each.message)) for each in deliveries])
        except Exception as error:  # noqa: BLE001  # whatever a strange message does to a store
            if len(deliveries) > 1:
                log.warning("%d messages from the broker cannot be kept together: %s", len(deliveries), error)
                for each in deliveries:
                    await self._keep([each])
            else:
                log.error("a message from the broker cannot be kept as it is: %s", error)
                unusable = self._reception.unusable(deliveries[0].message, f"cannot be kept: {type(error).__name__}")
                await self._append([unusable])

    async def _append(self, received: Sequence[Envelope]) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                envelopes, answers = await self._acceptor.append(lambda: self._addressed(received))
            except StoreError as error:
                self.holds = True
                log.error("cannot keep what came from the broker, trying again in %.2g s: %s", pause, error)
                await sleep(self._clock, pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                self.holds = False
                self._note(envelopes, answers)
                return

    def _addressed(self, received: Sequence[Envelope]) -> list[Envelope]:
        table = self._routing.table
        return [envelope for each in received for envelope in self._reception.addressed(each, table)]

    def _note(self, envelopes: Sequence[Envelope], answers: Sequence[Admission]) -> None:
        for envelope, answer in zip(envelopes, answers, strict=True):
            if answer is Admission.ACCEPTED:
                continue
            self._observers.answered(envelope, answer, self._rules)
            where = (envelope.channel, envelope.message_type, envelope.message_id)
            if answer is Admission.DUPLICATE and self._rules.report(*where):  # no publisher waits for this answer
                report_duplicate("log", Duplicate(*where))


def _begun(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    return asyncio.get_running_loop().create_task(work, name="sagabus-bridge-take")


async def _first(coming: asyncio.Task[T], settling: asyncio.Task[None] | None) -> T:
    """What came. Raises at once what settling meets meanwhile."""
    if settling is not None:
        await asyncio.wait((coming, settling), return_when=asyncio.FIRST_COMPLETED)
        if settling.done():
            settling.result()
    return await coming


async def _ended(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel what has not ended, and wait for it: nothing of it goes on behind the link."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
