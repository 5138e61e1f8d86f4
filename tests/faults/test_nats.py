"""What may happen to links and messages of NATS, and what must not come of it."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.nats_server import Streams, ids, note, receive, send
from tests.support.private_servers import require
from tests.support.waiting import until

from sagabus.errors import TransportError
from sagabus.testing.brokers import PrivateNats
from sagabus.transport import Answer, Topology
from sagabus.transports.nats.link import NatsLink

pytestmark = pytest.mark.faults


# --- links that end, stand still, or are not alone --------------------------------------------------------------------


async def test_a_frozen_link_is_replaced_and_what_it_had_comes_first() -> None:
    async with Streams(lease="2") as streams:
        frozen = await streams.link("noted")
        standby = await streams.link("noted", proxied=False)
        await send(standby, *map(note, range(4)))
        first, second, _ = had = await receive(frozen, 3)
        await frozen.settle([first])
        streams.proxy.stall()

        found = await receive(standby, 3)

        assert ids(found) == ["m1", "m2", "m3"]
        streams.proxy.flow()
        with pytest.raises(TransportError, match="another link of the service receives now"):
            await receive(frozen, 1)
        assert second in had
        await standby.settle(found)
        assert (await streams.consumer())["num_ack_pending"] == 0


async def test_a_frozen_link_acknowledges_late_what_it_had_committed() -> None:
    async with Streams(lease="2") as streams:
        frozen = await streams.link("noted")
        standby = await streams.link("noted", proxied=False)
        await send(standby, *map(note, range(2)))
        had = await receive(frozen, 2)
        streams.proxy.stall()
        again = await receive(standby, 2)
        streams.proxy.flow()

        await frozen.settle(had)
        await standby.settle(again)

        assert [each.is_again for each in again] == [True, True]
        await send(standby, note(2))
        assert ids(await receive(standby, 1)) == ["m2"]


async def test_messages_that_a_frozen_link_had_asked_for_keep_their_place() -> None:
    """Its request stands at the server: what comes next goes there, and to the next link only when its time is over."""
    async with Streams(lease="1") as streams:
        frozen = await streams.link("noted")
        standby = await streams.link("noted", proxied=False)
        waits = asyncio.create_task(frozen.receive(10))
        await until(lambda: _waiting(streams))
        streams.proxy.stall()
        takes_over = asyncio.create_task(receive(standby, 3))
        await until(lambda: _is_held_by(standby))

        await send(standby, *map(note, range(3)))

        assert ids(await takes_over) == ["m0", "m1", "m2"]
        streams.proxy.flow()
        with pytest.raises(TransportError):
            await waits


async def test_what_an_operator_takes_by_hand_keeps_its_place() -> None:
    async with Streams() as streams:
        link = await streams.link("noted")
        await send(link, *map(note, range(2)))
        by_hand = await streams.stream.pull_subscribe_bind("books", streams.prefix)
        (taken,) = await by_hand.fetch(1)  # and never settled
        await send(link, note(2))

        assert ids(await receive(link, 3)) == ["m0", "m1", "m2"]
        assert taken.data == b"0"


async def test_a_message_that_is_held_for_long_is_not_handed_out_again() -> None:
    async with Streams() as streams:
        link = await streams.link("noted")
        config = (await streams.consumer())["config"] | {"ack_wait": 100_000_000}
        await streams.api(f"CONSUMER.DURABLE.CREATE.{streams.prefix}.books", stream_name=streams.prefix, config=config)
        await send(link, note(0))
        held = await receive(link, 1)
        waits = asyncio.create_task(receive(link, 1))
        await until(lambda: _redelivered(streams))

        await send(link, note(1))

        (found,) = await waits
        assert found.message.id == "m1"
        await link.settle([*held, found])
        assert (await streams.consumer())["num_ack_pending"] == 0


async def test_a_ping_that_is_given_up_costs_nothing() -> None:
    """nats-py stops to read when it hears a pong that is no longer waited for."""
    async with Streams() as streams:
        link = await streams.link()
        streams.proxy.stall()
        waits = asyncio.create_task(link.ping())
        await until(lambda: streams.proxy.stalled)
        waits.cancel()
        await asyncio.wait([waits])
        streams.proxy.flow()

        await link.ping()


async def test_a_batch_that_is_larger_than_what_may_be_in_flight_is_confirmed_in_order() -> None:
    async with Streams() as streams:
        link = await streams.link("noted")
        large = [replace(note(number), body=bytes(900_000)) for number in range(20)]

        assert await send(link, *large) == [Answer.CONFIRMED] * 20

        assert ids(await receive(link, 20)) == [f"m{number}" for number in range(20)]


# --- retention, and who receives what ---------------------------------------------------------------------------------


async def test_the_stream_keeps_only_what_a_service_has_not_settled() -> None:
    async with Streams() as streams:
        books = await streams.link("noted")
        other = await streams.link("noted", "ended", service="other")
        await send(books, note(0), note(1, "ended"), note(2))
        await other.settle(await receive(other, 3))
        assert await _kept(streams) == 3

        await books.settle(await receive(books, 2))

        await until(lambda: _has_kept(streams, 0))


async def test_a_service_that_comes_later_gets_what_is_sent_after_that() -> None:
    """That no service received a type is not remembered."""
    async with Streams() as streams:
        shop = await streams.link()
        assert await send(shop, note(0)) == [Answer.UNROUTABLE]
        books = await streams.link("noted")

        assert await send(shop, note(1)) == [Answer.CONFIRMED]

        assert ids(await receive(books, 1)) == ["m1"]


async def test_an_old_process_drops_nothing_that_a_new_one_has_asked_for() -> None:
    """While a release is rolled out, the process that receives knows less than the service does."""
    async with Streams() as streams:
        old = await streams.link("noted")
        await send(old, note(0), note(1, "unheard"))
        await old.settle(await receive(old, 1))
        await streams.link("noted", "new")

        await send(old, note(2, "new"))

        assert ids(await receive(old, 1)) == ["m2"]


async def test_two_services_that_ask_for_a_command_at_once_have_one_owner() -> None:
    async with Streams() as streams:
        names = [f"s{number}" for number in range(4)]
        links = [await streams.link() for _ in names]

        ends = await asyncio.gather(
            *(link.declare(Topology(name, commands=("do",))) for link, name in zip(links, names, strict=True)),
            return_exceptions=True,
        )

        assert sorted(type(end).__name__ for end in ends) == ["ConfigurationError"] * 3 + ["NoneType"]


async def test_what_many_declare_at_once_is_all_there() -> None:
    async with Streams() as streams:
        links = [await streams.link() for _ in range(4)]

        await asyncio.gather(*(link.declare(Topology("books", (f"e{at}", "all"))) for at, link in enumerate(links)))

        await links[0].declare(Topology("books", ("all", "e0", "e1", "e2", "e3")), make=False)


@pytest.mark.slow
async def test_many_services_that_open_at_once_do_not_end_a_new_server() -> None:
    """A 2.9 server falls when it is asked for a message of a stream that it is about to make."""
    require(PrivateNats)
    with PrivateNats() as server:
        for _ in range(40):
            await asyncio.gather(*(_open_at_once(("127.0.0.1", server.port)) for _ in range(5)))

        assert server.is_running


# --- messages of strangers --------------------------------------------------------------------------------------------


async def test_bytes_that_are_no_text_stop_no_link() -> None:
    """nats-py would stop to read, and say nothing."""
    async with Streams() as streams:
        link = await streams.link("noted")
        _, writer = connection = await asyncio.open_connection(*streams.server)
        writer.write(b'CONNECT {"headers":true}\r\n')
        for subject, lines in ((b"noted\xff", b"a: b"), (b"noted", b"a: \xff"), (b"noted", b"\xff: b")):
            head = b"NATS/1.0 \xff\r\n" + lines + b"\r\n\r\n"
            place = streams.prefix.encode() + b".event." + subject
            writer.write(b"HPUB %s %d %d\r\n%s{}\r\n" % (place, len(head), len(head) + 2, head))
        await writer.drain()
        await until(lambda: _last(streams, 3))

        await send(link, note(0))

        found = await receive(link, 3)
        assert [each.message.problem is None for each in found] == [False, False, True]
        assert connection[1] is writer
        writer.close()
        await writer.wait_closed()


async def test_headers_of_users_do_nothing_at_the_server() -> None:
    async with Streams() as streams:
        link = await streams.link("noted")
        obeyed = {"Nats-Rollup": "all", "Nats-Msg-Id": "x", "Nats-Expected-Last-Sequence": "99", "line": "a\r\nb: c"}

        assert await send(link, note(0, headers=obeyed), note(1, headers=obeyed)) == [Answer.CONFIRMED] * 2

        found = await receive(link, 2)
        assert [each.message.headers for each in found] == [obeyed, obeyed]


async def _open_at_once(server: tuple[str, int]) -> None:
    async with Streams(server) as streams:
        links = [await streams.link(proxied=False) for _ in range(6)]
        topologies = [Topology(f"s{at}" if at % 2 else "books", ("a", "b")) for at in range(6)]
        await asyncio.gather(*map(NatsLink.declare, links, topologies))


# --- what is asked of the server --------------------------------------------------------------------------------------


async def _waiting(streams: Streams) -> bool:
    return bool((await streams.consumer())["num_waiting"])


async def _redelivered(streams: Streams) -> bool:
    return bool((await streams.consumer())["delivered"]["consumer_seq"] > 2)


async def _kept(streams: Streams) -> int:
    return int((await streams.api(f"STREAM.INFO.{streams.prefix}"))["state"]["messages"])


async def _has_kept(streams: Streams, count: int) -> bool:
    return await _kept(streams) == count


async def _last(streams: Streams, sequence: int) -> bool:
    return bool((await streams.api(f"STREAM.INFO.{streams.prefix}"))["state"]["last_seq"] >= sequence)


def _is_held_by(link: Any) -> bool:
    return bool(link._ownership.is_held)
