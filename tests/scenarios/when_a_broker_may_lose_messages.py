"""What a crash of the broker may lose is said when a bus opens, or refused: only a link can ask."""

import logging
from collections.abc import Sequence

import pytest
from tests.scenarios.shop import capture
from tests.support.waiting import until

from sagabus import Bus, Settings
from sagabus.errors import ConfigurationError
from sagabus.transport import Capability, Link
from sagabus.transports.memory import MemoryTransport

RISKS = ("keeps no log: set appendonly yes", "evicts: set noeviction")


class Doubtful(MemoryTransport):
    """Says that it is durable in general, and what stands against it here."""

    capabilities = MemoryTransport.capabilities | {Capability.DURABLE}

    async def connect(self) -> Link:  # type: ignore[override]
        link = await super().connect()

        async def risks() -> Sequence[str]:
            return RISKS

        link.durability_risks = risks  # type: ignore[method-assign]
        return link


def bus(transport: MemoryTransport, durability: str) -> Bus:
    settings = Settings(durability=durability)  # type: ignore[arg-type]
    return Bus("memory:", capture, transport=transport, service="till", settings=settings)


async def test_a_bus_that_requires_durability_refuses_it_with_all_reasons() -> None:
    with pytest.raises(ConfigurationError) as refused:
        async with bus(Doubtful(name="doubtful"), "require"):
            pass

    assert len(refused.value.problems) == len(RISKS)
    for risk in RISKS:
        assert f"the broker memory://doubtful {risk}" in str(refused.value)
    assert "refuses" in str(refused.value)


async def test_each_reason_is_a_warning_once(caplog: pytest.LogCaptureFixture) -> None:
    transport = Doubtful()
    with caplog.at_level(logging.WARNING, "sagabus"):
        async with bus(transport, "warn") as opened:
            transport.broker.disconnect()
            await until(lambda: "the next try" in caplog.text)
            await until(lambda: not opened.health().waits)

    for risk in RISKS:
        assert caplog.text.count(risk) == 1


async def test_accepted_is_not_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "sagabus"):
        async with bus(Doubtful(), "accept"):
            pass

    assert "may lose" not in caplog.text
