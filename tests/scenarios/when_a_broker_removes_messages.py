"""What operators have set at a broker, and what the doctor says of it."""

import asyncio
from collections.abc import Sequence

import pytest

from sagabus import Bus, Settings, event, handler
from sagabus.bus.diagnosis import surroundings
from sagabus.bus.diagnosis.records import Diagnosis
from sagabus.errors import TransportError
from sagabus.policies.brokers import Broker
from sagabus.transport import Hazard, Topology
from sagabus.transports.memory import MemoryBroker, MemoryTransport


@event("removals.noted")
class Noted:
    number: int


@handler("noting")
def note(message: Noted) -> None: ...


class OverseenTransport(MemoryTransport):
    """One at whose broker people set things."""

    def __init__(self, broker: MemoryBroker, *found: Hazard, unseen: str = "", error: str = "") -> None:
        super().__init__(broker)
        self.found, self.unseen, self.error = found, unseen, error
        self.asked: list[Topology] = []

    async def hazards(self, topology: Topology) -> Sequence[Hazard]:
        self.asked.append(topology)
        if self.error:
            raise TransportError(self.error)
        return self.found


async def examined(*transports: MemoryTransport) -> Diagnosis:
    """What the doctor says of a service that is well otherwise."""
    brokers = {
        f"b{number}": Broker(transport=transport, sends=[f"b{number}.*"]) for number, transport in enumerate(transports)
    }
    async with Bus("memory:", note, transport=brokers, service="books", settings=Settings(durability="accept")) as bus:
        await bus.idle()
        return await bus.doctor()


async def test_each_hazard_is_a_finding_and_shows_no_login() -> None:
    hazards = [
        Hazard("a policy removes messages: see amqp://u:hunter2@host", "error", "mend it"),
        Hazard("a policy may", "warning", "mend that"),
        Hazard("a policy is there", "note"),
    ]
    transport = OverseenTransport(MemoryBroker(), *hazards)

    found = await examined(transport)

    assert [(each.kind, each.severity, each.command) for each in found.findings] == [
        ("policy", "error", "mend it"),
        ("policy", "warning", "mend that"),
        ("policy", "note", None),
    ]
    assert found.findings[0].text == f"{transport.place}: a policy removes messages: see amqp://…@host"
    assert [topology.events for topology in transport.asked] == [("removals.noted",)]
    assert not found.is_well


async def test_what_cannot_be_seen_is_a_note_and_no_reason_for_an_alarm() -> None:
    transport = OverseenTransport(MemoryBroker(), unseen="nobody shows them: add eyes")

    found = await examined(transport)

    (note_of_it,) = found.findings
    assert (note_of_it.kind, note_of_it.severity) == ("unseen-policies", "note")
    assert note_of_it.text == f"{transport.place}: nobody shows them: add eyes"
    assert (found.is_well, found.unknown, transport.asked) == (True, (), [])


async def test_an_answer_that_is_none_is_said_and_the_doctor_goes_on() -> None:
    transport = OverseenTransport(MemoryBroker(), error="it refuses http://u:hunter2@host: correct the login")

    found = await examined(transport)

    assert found.findings == ()
    expected = f"the policies of brokers: {transport.place}: it refuses http://…@host: correct the login"
    assert found.unknown == (expected,)


async def test_an_answer_that_does_not_come_costs_no_other_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Silent(OverseenTransport):
        async def hazards(self, topology: Topology) -> Sequence[Hazard]:
            await asyncio.Event().wait()
            return ()

    monkeypatch.setattr(surroundings, "_PATIENCE", 0.2)

    silent, other = Silent(MemoryBroker()), OverseenTransport(MemoryBroker(), Hazard("a policy removes messages"))

    found = await examined(silent, other)

    assert [each.kind for each in found.findings] == ["policy"]
    assert found.unknown == (f"the policies of brokers: {silent.place}: no answer for 0.2 s",)


async def test_a_service_that_receives_nothing_there_has_no_queue_to_look_at() -> None:
    transport = OverseenTransport(MemoryBroker(), unseen="nobody shows them")
    async with Bus("memory:", transport=transport, service="shop", settings=Settings(durability="accept")) as bus:
        found = await bus.doctor()

    assert [each for each in found.findings if each.kind == "unseen-policies"] == []
