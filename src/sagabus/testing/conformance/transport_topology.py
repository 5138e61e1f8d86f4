"""Who receives what: the part of the suite of transports that is about `Link.declare`."""

from __future__ import annotations

import pytest

from sagabus.errors import ConfigurationError, TransportError
from sagabus.testing.conformance.transport_trial import TransportSuite, TransportTrial, conformance
from sagabus.transport import Answer, Capability


class TopologyConformance(TransportSuite):
    """Who receives what."""

    @conformance
    async def test_every_service_that_wants_an_event_gets_it(self, trial: TransportTrial) -> None:
        books = await trial.link(trial.topology("books"))
        other = await trial.link(trial.topology("other"), other=True)

        await trial.send(books, trial.message(0))

        for link in (books, other):
            (delivery,) = await trial.receive(link, 1)
            assert delivery.message.id == "m0"

    @conformance
    async def test_a_queue_keeps_what_comes_while_no_link_receives(self, trial: TransportTrial) -> None:
        await (await trial.link(trial.topology())).close()
        shop = await trial.link()
        assert await trial.send(shop, trial.message(0)) == [Answer.CONFIRMED]

        (delivery,) = await trial.receive(await trial.link(trial.topology()), 1)

        assert delivery.message == trial.message(0)

    @conformance
    async def test_declaring_twice_changes_nothing_and_more_adds_to_it(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology(), trial.topology(), trial.topology(events=["ended"]))

        await trial.send(link, trial.message(0), trial.message(1, "ended"))

        assert [each.message.id for each in await trial.receive(link, 2)] == ["m0", "m1"]
        await trial.nothing_more(link)

    @conformance
    async def test_a_service_that_receives_nothing_has_no_queue(self, trial: TransportTrial) -> None:
        link = await trial.link(trial.topology(events=[]))

        with pytest.raises(TransportError):
            await link.receive(1)

    @conformance
    async def test_a_second_owner_of_a_command(self, trial: TransportTrial) -> None:
        await trial.link(trial.topology("books", commands=["do"]))
        link = await trial.link(other=True)

        if Capability.OWNERS in trial.transport.capabilities:
            with pytest.raises(ConfigurationError, match="do"):
                await link.declare(trial.topology("other", commands=["do"]))
        else:
            await link.declare(trial.topology("other", commands=["do"]))

    @conformance
    async def test_what_is_missing_is_named_and_not_made(self, trial: TransportTrial) -> None:
        wanted = trial.topology(events=["noted", "ended"], commands=["do"])
        link = await trial.link()
        with pytest.raises(ConfigurationError, match="books"):
            await link.declare(wanted, make=False)
        await link.close()
        await trial.link(trial.topology(events=["noted"]))

        checked = await trial.link()
        with pytest.raises(ConfigurationError) as refused:
            await checked.declare(wanted, make=False)
        await checked.close()

        assert "ended" in str(refused.value)
        assert "do" in str(refused.value)
        assert "noted" not in str(refused.value)
        await (await trial.link(other=True)).declare(trial.topology("other", commands=["do"]))  # the check made nothing

    @conformance
    async def test_an_examination_names_what_is_missing_and_neither_makes_nor_receives(
        self, trial: TransportTrial
    ) -> None:
        wanted = trial.topology(events=["noted", "ended"], commands=["do"])
        await (await trial.link(trial.topology(events=["noted"]))).close()

        looking = await trial.link()
        text = " ".join(await looking.examine(wanted))
        assert all(name in text for name in ("ended", "do"))
        assert "noted" not in text

        receiving = await trial.link(wanted)
        assert list(await looking.examine(wanted)) == []
        await trial.send(looking, trial.message(0))
        assert [each.message.id for each in await trial.receive(receiving, 1)] == ["m0"]

    @conformance
    async def test_what_is_there_is_received_without_being_made(self, trial: TransportTrial) -> None:
        await (await trial.link(trial.topology(commands=["do"]))).close()
        link = await trial.link()
        await link.declare(trial.topology(commands=["do"]), make=False)

        await trial.send(link, trial.message(0), trial.message(1, "do", kind="command"))

        assert [each.message.id for each in await trial.receive(link, 2)] == ["m0", "m1"]

    @conformance
    async def test_a_queue_feeds_one_store(self, trial: TransportTrial) -> None:
        await (await trial.link(trial.topology(store="s1"), trial.topology(store="s1"))).close()
        if Capability.STORES not in trial.transport.capabilities:
            return
        link = await trial.link(other=True)
        with pytest.raises(ConfigurationError, match="another store"):
            await link.declare(trial.topology(store="s2"))
        await link.close()

        moved = await trial.link(other=True)
        await moved.declare(trial.topology(store="s2"), move=True)
        await moved.close()

        await trial.link(trial.topology(store="s2"))
        former = await trial.link(other=True)
        with pytest.raises(ConfigurationError, match="another store"):
            await former.declare(trial.topology(store="s1"))

    @conformance
    async def test_the_parts_can_be_shown(self, trial: TransportTrial) -> None:
        parts = trial.transport.parts(trial.topology(commands=["do"]))

        shown = " ".join(f"{part.kind} {part.name} {part.receives}" for part in parts)
        for name in ("books", "noted", "do"):
            assert trial.name(name) in shown
