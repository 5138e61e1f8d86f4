"""What others may do to streams and consumers of NATS, and what must not come of it."""

import asyncio
import logging
from typing import Any

import pytest
from tests.support.nats_server import Streams, ids, note, receive, send
from tests.support.waiting import until

from sagabus.errors import ConfigurationError, TransportError
from sagabus.transport import Answer

pytestmark = pytest.mark.faults


async def test_a_consumer_that_is_deleted_ends_the_link_and_is_made_again(caplog: pytest.LogCaptureFixture) -> None:
    async with Streams() as streams:
        link = await streams.link("noted")
        waits = asyncio.create_task(link.receive(1))
        await until(lambda: _waiting(streams))

        await streams.api(f"CONSUMER.DELETE.{streams.prefix}.books")

        with pytest.raises(TransportError, match=r"the consumer books .* is gone"):
            await waits
        with caplog.at_level(logging.WARNING, "sagabus"):
            again = await streams.link("noted")
        assert "made again" in caplog.text
        await send(again, note(0))
        assert ids(await receive(again, 1)) == ["m0"]


async def test_a_consumer_that_is_deleted_while_nothing_is_asked_of_it_is_noticed() -> None:
    async with Streams() as streams:
        link = await streams.link("noted")
        await send(link, note(0))
        had = await receive(link, 1)
        await streams.api(f"CONSUMER.DELETE.{streams.prefix}.books")

        with pytest.raises(TransportError, match=r"the consumer books .* is gone"):
            async with asyncio.timeout(20):
                await link.settle(had)
        assert "gone" in await link.ended()


async def test_a_stream_that_is_deleted_loses_no_message_that_is_sent_meanwhile() -> None:
    async with Streams() as streams:
        link = await streams.link("noted")
        shop = await streams.link()
        await send(shop, note(0))
        await link.settle(await receive(link, 1))
        waits = asyncio.create_task(link.receive(1))
        await until(lambda: _waiting(streams))
        await streams.api(f"STREAM.DELETE.{streams.prefix}")

        (sent,) = await shop.send([note(1)])

        assert sent.answer is Answer.UNKNOWN
        assert "the stream that takes it is gone" in sent.reason
        with pytest.raises(TransportError, match="is gone"):
            await waits
        again = await streams.link("noted")
        assert await send(again, note(1)) == [Answer.CONFIRMED]
        assert ids(await receive(again, 1)) == ["m1"]


async def test_a_bucket_that_is_emptied_has_no_message_settled_and_no_event_unheard() -> None:
    """What nothing is written about any more is neither a message of other services nor one without a receiver."""
    async with Streams() as streams:
        link = await streams.link("noted")
        await send(link, note(0))
        await link.close()
        receiver, sender = await streams.link("noted"), await streams.link()
        await streams.api(f"STREAM.PURGE.KV_{streams.prefix}-topology")

        with pytest.raises(TransportError, match="does not say who receives what"):
            await receive(receiver, 1)
        with pytest.raises(TransportError, match="does not say who receives what"):
            await send(sender, note(1))

        again = await streams.link("noted")
        assert await send(again, note(1)) == [Answer.CONFIRMED]
        assert ids(await receive(again, 2)) == ["m0", "m1"]


async def test_a_full_stream_takes_nothing_and_loses_nothing() -> None:
    async with Streams() as streams:
        await _stream(streams, max_msgs=1)
        link = await streams.link("noted")

        taken, refused = await link.send([note(0), note(1)])

        assert (taken.answer, refused.answer) == (Answer.CONFIRMED, Answer.UNKNOWN)
        assert "maximum messages exceeded" in refused.reason
        await link.settle(await receive(link, 1))
        assert await send(link, note(1)) == [Answer.CONFIRMED]
        assert ids(await receive(link, 1)) == ["m1"]


@pytest.mark.parametrize(
    ("config", "size", "why"),
    [({"max_msg_size": 1000}, 1000, "message size exceeds maximum"), ({}, 70_000, "header size exceeds maximum")],
)
async def test_a_message_that_is_too_large_for_the_stream_is_refused(
    config: dict[str, int], size: int, why: str
) -> None:
    async with Streams() as streams:
        await _stream(streams, **config)
        link = await streams.link("noted")

        taken, refused = await link.send([note(0), note(1, headers={"filling": "x" * size})])

        assert (taken.answer, refused.answer) == (Answer.CONFIRMED, Answer.REFUSED)
        assert why in refused.reason


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"max_age": 60_000_000_000}, "it has max_age"),
        ({"max_msgs_per_subject": 1}, "it has max_msgs_per_subject"),
        ({"max_msgs": 10, "discard": "old"}, "drops old messages when it is full"),
        ({"retention": "workqueue"}, "neither interest nor limits"),
        ({"storage": "memory"}, "not kept in a file"),
        ({"subjects": ["{}.event.>"]}, "it does not take {}.command.>"),
        ({"no_ack": True}, "it confirms nothing"),
    ],
)
async def test_a_stream_that_could_lose_messages_is_refused(config: dict[str, Any], why: str) -> None:
    async with Streams() as streams:
        subjects = [each.format(streams.prefix) for each in config.pop("subjects", ["{}.event.>", "{}.command.>"])]
        await _stream(streams, subjects=subjects, **config)

        with pytest.raises(ConfigurationError, match=why.format(streams.prefix)):
            await streams.link("noted")


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"max_deliver": 5}, "its max_deliver is 5"),
        ({"ack_policy": "none"}, "its ack_policy is none"),
        ({"filter_subject": "{}.event.noted"}, "it has filter_subject"),
        ({"inactive_threshold": 60_000_000_000}, "it has inactive_threshold"),
        ({"headers_only": True}, "it has headers_only"),
    ],
)
async def test_a_consumer_that_could_lose_messages_is_refused(config: dict[str, Any], why: str) -> None:
    async with Streams() as streams:
        await (await streams.link("noted", service="other")).close()
        plain = {"durable_name": "books", "ack_policy": "explicit", "deliver_policy": "all", "max_deliver": -1}
        filled = {
            name: value.format(streams.prefix) if name == "filter_subject" else value for name, value in config.items()
        }
        action = f"CONSUMER.DURABLE.CREATE.{streams.prefix}.books"
        made = await streams.api(action, stream_name=streams.prefix, config=plain | filled)
        assert "error" not in made

        with pytest.raises(ConfigurationError, match=why):
            await streams.link("noted")


async def _stream(streams: Streams, **config: Any) -> None:
    plain = {"name": streams.prefix, "retention": "interest", "discard": "new", "storage": "file"}
    subjects = {"subjects": [f"{streams.prefix}.event.>", f"{streams.prefix}.command.>"]}
    made = await streams.api(f"STREAM.CREATE.{streams.prefix}", **{**plain, **subjects, **config})
    assert "error" not in made, made


async def _waiting(streams: Streams) -> bool:
    return bool((await streams.consumer())["num_waiting"])
