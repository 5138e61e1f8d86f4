"""The suite of the transport port: subclass `TransportConformance`, say how to make a broker, and run pytest.

    class TestMyTransport(TransportConformance):
        async def make_transport(self) -> Transport:
            return MyTransport("mybroker://127.0.0.1")

Each test gets a broker in which nothing is declared, or names of its own in a broker that is shared.
"""

from __future__ import annotations

import asyncio

import pytest

from sagabus.errors import TransportError
from sagabus.testing.conformance.transport_topology import TopologyConformance
from sagabus.testing.conformance.transport_trial import PATIENCE, TransportSuite, TransportTrial, conformance
from sagabus.transport import Answer, Capability, Link
from sagabus.transports import wire


class SendingConformance(TransportSuite):
    """What becomes of what is sent."""

    @conformance
    async def test_every_field_arrives_as_it_was_sent(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology(commands=["do"]))
        command = trial.message(
            1,
            "do",
            kind="command",
            key="A 1/ü",
            correlation_id="c1",
            causation_id="m0",
            hops=3,
            headers={"other": "ü text", "traceparent": "00-1-2-03"},
        )

        assert await trial.send(link, trial.message(0), command) == [Answer.CONFIRMED] * 2

        first, second = [each.message for each in await trial.receive(link, 2)]
        assert first == trial.message(0)
        assert second == command

    @conformance
    async def test_a_body_is_bytes_and_arrives_unchanged(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology())
        bodies = [b"", b"\x00\xff\xfe", bytes(range(256)) * 40]

        await trial.send(link, *(trial.message(number, body=body) for number, body in enumerate(bodies)))

        assert [each.message.body for each in await trial.receive(link, 3)] == bodies

    @conformance
    async def test_a_batch_is_answered_message_by_message(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology())
        count = min(100, trial.transport.largest_batch)

        answers = await trial.send(link, *map(trial.message, range(count)))

        assert answers == [Answer.CONFIRMED] * count
        assert [each.message.id for each in await trial.receive(link, count)] == [f"m{n}" for n in range(count)]

    @conformance
    async def test_batches_that_overlap_are_each_answered(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology())

        answers = await asyncio.gather(*(trial.send(link, trial.message(number)) for number in range(20)))

        assert answers == [[Answer.CONFIRMED]] * 20
        assert {each.message.id for each in await trial.receive(link, 20)} == {f"m{number}" for number in range(20)}

    @conformance
    async def test_an_empty_batch_has_no_answers(self, trial: TransportTrial) -> None:
        assert await trial.send(await trial.link(trial.topology())) == []

    @conformance
    async def test_a_message_that_no_queue_takes(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology())
        known, event = trial.message(0), trial.message(1, "unknown")
        command = trial.message(2, "unknown", kind="command")

        answers = await trial.sent(link, event, known, command)

        if Capability.RETURNS in trial.transport.capabilities:
            wanted = [Answer.UNROUTABLE, Answer.CONFIRMED, Answer.UNROUTABLE]
            assert [sent.answer for sent in answers] == wanted
            assert answers[0].reason

    @conformance
    async def test_an_event_does_not_reach_the_receiver_of_a_command_of_that_name(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology(events=["noted"], commands=["do"]))

        await trial.send(link, trial.message(0, "do"), trial.message(1, "noted", kind="command"), trial.message(2))

        (delivery,) = await trial.receive(link, 1)
        assert delivery.message.id == "m2"

    @conformance
    async def test_what_is_too_large_is_refused_and_costs_no_other(self, trial: TransportTrial) -> None:
        if self.too_large is None:
            pytest.skip("this broker takes any size")
        link = await trial.link(trial.topology())
        large = trial.message(1, body=b"x" * self.too_large)

        answers = await trial.sent(link, trial.message(0), large, trial.message(2))

        assert [sent.answer for sent in answers] == [Answer.CONFIRMED, Answer.REFUSED, Answer.CONFIRMED]
        assert answers[1].reason
        assert [each.message.id for each in await trial.receive(link, 2)] == ["m0", "m2"]

    @conformance
    async def test_the_same_message_sent_again_is_delivered_again(self, trial: TransportTrial) -> None:
        """A replay may not be swallowed as a copy: the inbox decides what is one."""
        link = await trial.link(trial.topology())

        assert await trial.send(link, trial.message(0)) == await trial.send(link, trial.message(0))

        assert [each.message.id for each in await trial.receive(link, 2)] == ["m0", "m0"]


class ReceivingConformance(TransportSuite):
    """What is handed out, and what comes again."""

    @conformance
    async def test_what_is_settled_does_not_come_again(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology())
        await trial.send(link, *map(trial.message, range(3)))
        await link.settle(await trial.receive(link, 3))
        await link.close()

        await trial.nothing_more(await trial.link(trial.topology()))

    @conformance
    async def test_what_is_not_settled_comes_again_first_and_in_order(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology())
        await trial.send(link, *map(trial.message, range(4)))
        first, second, third = await trial.receive(link, 3)
        await link.settle([second])
        await link.close()

        again = await trial.receive(await trial.link(trial.topology()), 3)

        assert [each.message.id for each in again] == [first.message.id, third.message.id, "m3"]

    @conformance
    async def test_no_more_is_handed_out_than_was_asked_for(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology())
        await trial.send(link, *map(trial.message, range(5)))

        assert len(await link.receive(2)) <= 2

    @conformance
    async def test_what_is_open_is_not_handed_out_again_in_the_same_link(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology())
        await trial.send(link, trial.message(0))
        (opened,) = await trial.receive(link, 1)

        await trial.send(link, trial.message(1))

        assert [each.message.id for each in await trial.receive(link, 1)] == ["m1"]
        await link.settle([opened])

    @conformance
    async def test_settling_twice_is_harmless(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology())
        await trial.send(link, trial.message(0))
        deliveries = await trial.receive(link, 1)
        await link.settle(deliveries)
        await link.settle(deliveries)
        await link.settle([])

        assert await trial.send(link, trial.message(1)) == [Answer.CONFIRMED]
        assert [each.message.id for each in await trial.receive(link, 1)] == ["m1"]

    @conformance
    async def test_a_delivery_of_a_former_link_is_left_alone(self, trial: TransportTrial) -> None:
        former = await trial.link(trial.topology())
        await trial.send(former, *map(trial.message, range(2)))
        stale = await trial.receive(former, 1)
        await former.close()
        link = await trial.link(trial.topology())
        opened = await trial.receive(link, 1)

        await link.settle(stale)
        await link.close()

        again = await trial.receive(await trial.link(trial.topology()), 2)
        assert [each.message.id for each in again] == [opened[0].message.id, "m1"]

    @conformance
    async def test_one_link_of_a_service_receives_and_the_next_takes_over(self, trial: TransportTrial) -> None:
        if Capability.ORDERED not in trial.transport.capabilities:
            pytest.skip("this broker keeps no order")
        first = await trial.link(trial.topology())
        second = await trial.link(trial.topology(), other=True)
        waits = asyncio.create_task(trial.receive(second, 3))
        await trial.send(second, *map(trial.message, range(4)))
        (settled, _) = await trial.receive(first, 2)
        await first.settle([settled])
        assert not waits.done()

        await first.close()

        assert [each.message.id for each in await waits] == ["m1", "m2", "m3"]

    @conformance
    async def test_waiting_for_messages_can_be_cancelled_and_costs_none(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology())
        waits = asyncio.create_task(link.receive(1))
        await asyncio.sleep(0)
        waits.cancel()
        await asyncio.wait([waits])

        await trial.send(link, trial.message(0))
        await link.close()

        (delivery,) = await trial.receive(await trial.link(trial.topology()), 1)
        assert delivery.message.id == "m0"

    @conformance
    async def test_messages_of_strangers_are_handed_out_whatever_they_are(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology())
        strange: list[tuple[dict[str, object], bytes]] = [
            ({}, b"}{"),
            ({wire.ID: "x"}, b"\xff"),
            ({wire.ID: "x", wire.TYPE: "t", wire.SENT_AT: "yesterday"}, b""),
            ({wire.ID: "x", wire.TYPE: "t", wire.KIND: "wish"}, b"{}"),
        ]
        for headers, body in strange:
            await trial.suite.put(trial.name("books"), headers, body)

        found = await trial.receive(link, len(strange))

        assert [each.message.body for each in found] == [body for _, body in strange]
        assert all(each.message.problem for each in found)
        await link.settle(found)
        await trial.nothing_more(link)


class LinkConformance(TransportSuite):
    """A link from its begin to its end."""

    @conformance
    async def test_a_ping_is_answered(self, trial: TransportTrial) -> None:
        async with asyncio.timeout(PATIENCE):
            await (await trial.link()).ping()

    @conformance
    async def test_a_link_that_is_closed_says_so_and_does_nothing_more(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology())
        await link.close()
        await link.close()

        async with asyncio.timeout(PATIENCE):
            assert await link.ended()
        await _is_over(trial, link)

    @conformance
    async def test_closing_a_link_wakes_a_call_that_waits_for_messages(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology())
        waits = asyncio.create_task(link.receive(1))
        await asyncio.sleep(0)

        async with asyncio.timeout(PATIENCE):
            await link.close()
            with pytest.raises(TransportError):
                await waits

    @conformance
    async def test_closing_that_is_cancelled_ends_the_link_all_the_same(self, trial: TransportTrial) -> None:
        sender = await trial.link(trial.topology())
        await trial.send(sender, trial.message(0))
        await sender.close()
        for steps in (1, 2, 5):
            link = await trial.link(trial.topology())
            (delivery,) = await trial.receive(link, 1)
            assert delivery.message.id == "m0"
            closing = asyncio.create_task(link.close())
            for _ in range(steps):
                await asyncio.sleep(0)
            closing.cancel()
            async with asyncio.timeout(PATIENCE):
                await asyncio.wait([closing])
                assert await link.ended()

    @conformance
    async def test_a_link_that_the_broker_ends_says_so_to_all_who_wait(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology())
        waits = asyncio.create_task(link.receive(1))
        await asyncio.sleep(0)

        await self.cut()

        async with asyncio.timeout(PATIENCE):
            assert await link.ended()
            with pytest.raises(TransportError):
                await waits
        await _is_over(trial, link)

    @conformance
    async def test_what_a_cut_link_had_open_comes_again(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology())
        await trial.send(link, trial.message(0))
        stale = await trial.receive(link, 1)
        await self.cut()
        await link.ended()
        with pytest.raises(TransportError):
            await link.settle(stale)

        (delivery,) = await trial.receive(await trial.link(trial.topology()), 1)

        assert delivery.message.id == "m0"

    @conformance
    async def test_waiting_for_the_end_can_be_cancelled(self, trial: TransportTrial) -> None:
        link = await trial.link()
        waits = asyncio.create_task(link.ended())
        await asyncio.sleep(0)
        waits.cancel()
        await asyncio.wait([waits])

        await link.ping()

    @conformance
    async def test_what_a_crash_may_lose_is_said_in_words(self, trial: TransportTrial) -> None:
        link = await trial.link()

        async with asyncio.timeout(PATIENCE):
            risks = await link.durability_risks()

        assert all(risks)
        assert not any("@" in risk for risk in risks)
        if Capability.DURABLE not in trial.transport.capabilities:
            assert not risks

    @conformance
    async def test_where_it_is_can_be_shown(self, trial: TransportTrial) -> None:
        assert trial.transport.place
        assert "@" not in trial.transport.place
        assert trial.transport.largest_batch > 0


async def _is_over(trial: TransportTrial, link: Link) -> None:
    """Every call says that the link has ended."""
    calls = (
        lambda: link.send([trial.message()]),
        lambda: link.receive(1),
        lambda: link.declare(trial.topology()),
        lambda: link.examine(trial.topology()),
        link.ping,
        link.durability_risks,
    )
    for call in calls:
        with pytest.raises(TransportError):
            async with asyncio.timeout(PATIENCE):
                await call()


class TransportConformance(SendingConformance, TopologyConformance, ReceivingConformance, LinkConformance):
    """Every promise of `sagabus.transport`. Subclass it under a name with `Test` first."""
