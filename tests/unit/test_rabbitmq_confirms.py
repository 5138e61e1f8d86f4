"""What the driver's channel and a batch of messages say to each other, without a server."""

import asyncio
from typing import Any, Self

import aiormq
import pytest
from aiormq import spec
from pamqp import frame
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from sagabus.transport import Answer, Sent
from sagabus.transports.rabbitmq.confirms import Batch, Publish


class Broker:
    """The other end of one channel of the driver."""

    def __init__(self) -> None:
        self.connection: Any = aiormq.Connection("amqp://localhost/")
        self.connection.connection_tune = spec.Connection.Tune(channel_max=10, frame_max=4_096, heartbeat=0)
        self.connection.server_properties = {"capabilities": {"publisher_confirms": True}}
        self.channel = aiormq.Channel(self.connection, 1)
        self.found: dict[int, Sent] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()

    def send(self, *ids: str) -> asyncio.Task[None]:
        """A batch of messages with such ids; the answers go to a new `found`."""
        self.found = {}
        publishes = [Publish(at, each, f"<{each}>".encode()) for at, each in enumerate(ids)]
        return asyncio.create_task(Batch(self.channel, publishes, self.found).send())

    async def written(self) -> bytes:
        """What goes to the socket at once."""
        payload: bytes = (await self.connection.write_queue.get()).payload
        return payload

    async def says(self, *frames: Frame | ContentHeader | ContentBody) -> None:
        """Answer, as it comes from the wire."""
        for each in frames:
            _, _, read = frame.unmarshal(frame.marshal(each, 1))
            await self.channel.frames.put((0, read))

    async def returns(self, own_id: str) -> None:
        """No queue takes the message with this id."""
        await self.says(
            spec.Basic.Return(reply_code=312, reply_text="NO_ROUTE", exchange="x", routing_key="noted"),
            ContentHeader(body_size=2, properties=spec.Basic.Properties(message_id=own_id)),
            ContentBody(b"{}"),
        )

    def answers(self) -> list[Answer]:
        return [self.found[at].answer for at in sorted(self.found)]


async def test_a_batch_is_written_at_once_and_each_message_gets_its_answer() -> None:
    async with Broker() as broker:
        sending = broker.send("a", "b", "c", "d", "e")
        assert await broker.written() == b"<a><b><c><d><e>"

        await broker.says(spec.Basic.Nack(delivery_tag=4))
        await broker.returns("b")
        await broker.says(spec.Basic.Ack(delivery_tag=3, multiple=True))
        assert not sending.done()
        await broker.says(spec.Basic.Ack(delivery_tag=5))
        await sending

        assert broker.answers() == [
            Answer.CONFIRMED,
            Answer.UNROUTABLE,
            Answer.CONFIRMED,
            Answer.UNKNOWN,
            Answer.CONFIRMED,
        ]
        assert "NO_ROUTE" in broker.found[1].reason
        assert not broker.channel.message_id_delivery_tag
        assert not broker.channel.confirmations


async def test_a_batch_waits_for_its_own_answers_only() -> None:
    async with Broker() as broker:
        first, of_first = broker.send("a", "b"), broker.found
        await broker.written()
        second = broker.send("c")
        await broker.written()

        await broker.says(spec.Basic.Ack(delivery_tag=3))
        await second
        assert (list(broker.found), of_first, first.done()) == ([0], {}, False)

        await broker.says(spec.Basic.Ack(delivery_tag=2, multiple=True))
        await first


async def test_what_a_cancelled_batch_has_not_written_is_not_counted() -> None:
    async with Broker() as broker:
        for number in range(broker.connection.FRAME_BUFFER_SIZE):  # no more goes in: the broker reads nothing
            broker.connection.write_queue.put_nowait(number)
        cancelled = broker.send("a", "b")
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        for _ in range(broker.connection.FRAME_BUFFER_SIZE):
            broker.connection.write_queue.get_nowait()

        sending = broker.send("c")
        assert await broker.written() == b"<c>"
        await broker.says(spec.Basic.Ack(delivery_tag=1))
        await sending

        assert broker.answers() == [Answer.CONFIRMED]


async def test_answers_to_a_cancelled_batch_do_no_harm() -> None:
    async with Broker() as broker:
        cancelled = broker.send("a", "b")
        await broker.written()
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled

        await broker.returns("a")
        await broker.says(spec.Basic.Ack(delivery_tag=1), spec.Basic.Ack(delivery_tag=2))
        sending = broker.send("c")
        await broker.written()
        await broker.says(spec.Basic.Ack(delivery_tag=3))
        await sending

        assert not broker.channel.message_id_delivery_tag


async def test_answers_that_came_before_the_channel_ended_count() -> None:
    async with Broker() as broker:
        sending = broker.send("a", "b", "c")
        await broker.written()

        await broker.says(
            spec.Basic.Ack(delivery_tag=1),
            spec.Channel.Close(reply_code=406, reply_text="PRECONDITION_FAILED - too large", class_id=60, method_id=40),
        )
        with pytest.raises(aiormq.exceptions.ChannelPreconditionFailed, match="too large"):
            await sending

        assert broker.found == {0: Sent(Answer.CONFIRMED)}
        with pytest.raises(aiormq.exceptions.ChannelInvalidStateError):
            await broker.send("d")


async def test_a_connection_that_ends_ends_its_batches() -> None:
    async with Broker() as broker:
        sending = broker.send("a")
        await broker.written()

        await broker.connection.close(aiormq.exceptions.ConnectionClosed(320, "CONNECTION_FORCED"))

        with pytest.raises(aiormq.exceptions.ConnectionClosed, match="CONNECTION_FORCED"):
            await sending
