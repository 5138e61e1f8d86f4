"""A queue with a limit of deliveries, or with a retention, loses messages: the doctor names it, and makes nothing."""

from typing import Any

import aio_pika
import pytest
from tests.scenarios.shop import Noted
from tests.support.nats_server import Streams
from tests.support.rabbitmq import RabbitMQPlace, rabbitmq

from sagabus import Bus, Settings, handler
from sagabus.bus.diagnosis.records import Finding
from sagabus.transport import Transport

QUEUE: dict[str, Any] = {
    "x-queue-type": "quorum",
    "x-single-active-consumer": True,
    "x-overflow": "reject-publish",
    "x-delivery-limit": 1_000_000_000,
}
"""As the transport declares it."""


@handler("notes", key="key")
def notes(message: Noted) -> None: ...


async def examined(transport: Transport) -> list[Finding]:
    """What the doctor says of the broker."""
    bus = Bus("memory:", notes, transport=transport, service="books", settings=Settings(durability="accept"))
    await bus.open(worker=False)
    try:
        first, second = [(await bus.doctor()).findings for _ in range(2)]
    finally:
        await bus.close()
    assert first == second
    return [each for each in first if each.kind not in ("no-worker", "stopped-bridge", "durability")]


async def declared(transport: Transport) -> None:
    """All that the service needs, as it should be."""
    bus = Bus("memory:", notes, transport=transport, service="books", settings=Settings(durability="accept"))
    await bus.open(worker=False)
    await bus.brokers.declare()
    await bus.close()


@pytest.mark.parametrize(
    ("argument", "value"), [("x-delivery-limit", 5), ("x-message-ttl", 60_000), ("x-expires", 60_000)]
)
async def test_a_queue_of_rabbitmq(argument: str, value: int) -> None:
    place = RabbitMQPlace(rabbitmq())
    async with place.proxy:
        transport = place.transport()
        await declared(transport)
        well = await examined(transport)
        async with await aio_pika.connect(place.server) as connection:
            channel = await connection.channel()
            name = f"{place.prefix}.service.books"
            await channel.queue_delete(name)
            await channel.declare_queue(name, durable=True, arguments={**QUEUE, argument: value})
        found = await examined(transport)
        await place.clear()

    assert {each.kind for each in well} == {"unseen-policies"}
    (finding,) = [each for each in found if each.kind != "unseen-policies"]
    assert (finding.kind, finding.severity) == ("topology", "error")
    assert argument in finding.text
    assert finding.command == "sagabus topology MODULE:BUS --declare"


@pytest.mark.parametrize(
    ("config", "why"),
    [({"max_age": 3_600_000_000_000}, "it has max_age"), ({"max_msgs_per_subject": 1}, "it has max_msgs_per_subject")],
)
async def test_a_stream_of_nats(config: dict[str, Any], why: str) -> None:
    async with Streams() as streams:
        transport = streams.transport()
        await declared(transport)
        well = await examined(transport)
        found = await streams.api(f"STREAM.INFO.{streams.prefix}")
        changed = await streams.api(f"STREAM.UPDATE.{streams.prefix}", **{**found["config"], **config})
        assert "error" not in changed
        wrong = await examined(transport)

    assert well == []
    assert [(each.kind, each.severity) for each in wrong] == [("topology", "error")]
    assert why in wrong[0].text


async def test_a_consumer_of_nats_that_gives_up() -> None:
    async with Streams() as streams:
        await (await streams.link("noted", service="other")).close()
        plain = {"durable_name": "books", "ack_policy": "explicit", "deliver_policy": "all", "max_deliver": 5}
        action = f"CONSUMER.DURABLE.CREATE.{streams.prefix}.books"
        await streams.api(action, stream_name=streams.prefix, config=plain)
        found = await examined(streams.transport())

    assert "its max_deliver is 5" in "".join(each.text for each in found if each.kind == "topology")
