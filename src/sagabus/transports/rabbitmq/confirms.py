"""What the broker says of the messages of one batch: one future for all of them, where the driver has several for each.

A batch goes to the socket as a whole. The driver still counts the messages of a channel, and matches what the broker
says of each. So a batch gives it a place for each message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from sagabus.transport import Answer, Sent
from sagabus.transports.rabbitmq.driver import Channel, expect, forget, write
from sagabus.transports.rabbitmq.faults import exceptions

_CONFIRMED = Sent(Answer.CONFIRMED)
_UNKNOWN = Sent(Answer.UNKNOWN, "the broker did not take it: a queue is full, or has no leader now")


class Publish(NamedTuple):
    """One message, as the driver knows it."""

    at: int
    """Its place in what was to be sent."""
    own_id: str
    frames: bytes


class Batch:
    """Messages that wait for the broker, in one channel."""

    def __init__(self, channel: Channel, publishes: Sequence[Publish], found: dict[int, Sent]) -> None:
        """`found`: gets the answers as they come, by the places of their messages."""
        self._channel, self._publishes, self.found = channel, publishes, found
        self._open = len(publishes)
        self._done: asyncio.Future[None] | None = None

    async def send(self) -> None:
        """Send all and wait for all answers. Raises what the driver does for a channel or a connection that has ended.

        Cancelled, it leaves the answers to come to nothing.
        """
        channel, publishes = self._channel, self._publishes
        payload = b"".join([each.frames for each in publishes])
        async with channel.lock:
            await write(channel, payload)
            # Nothing has waited since the frames went out. So the driver counts what was sent, and nothing else.
            done = self._done = expect(channel, {each.own_id: _Place(self, each.at) for each in publishes})
        await done

    def note(self, at: int, sent: Sent) -> None:
        """The broker has answered."""
        self.found[at] = sent
        self._open -= 1
        if not self._open:
            for each in self._publishes:
                forget(self._channel, each.own_id)
            if self._done is not None and not self._done.done():
                self._done.set_result(None)


class _Place:
    """Stands where the driver has a future for each message."""

    __slots__ = ("_at", "_batch")

    def __init__(self, batch: Batch, at: int) -> None:
        self._batch, self._at = batch, at

    def done(self) -> bool:
        return self._at in self._batch.found

    def cancelled(self) -> bool:
        return False

    def set_result(self, _: object) -> None:
        self._batch.note(self._at, _CONFIRMED)

    def set_exception(self, error: BaseException) -> None:
        if isinstance(error, exceptions.PublishError):
            self._batch.note(self._at, Sent(Answer.UNROUTABLE, f"the broker returned it: {error.args[0]}"))
        else:
            self._batch.note(self._at, _UNKNOWN)
