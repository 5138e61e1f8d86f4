"""What a bus makes of a store, or of a broker, whose crash may lose what it has confirmed."""

from __future__ import annotations

import logging
from typing import Literal, TypeAlias

from sagabus.errors import ConfigurationError
from sagabus.store import Administration
from sagabus.transport import Link

log = logging.getLogger("sagabus")

Durability: TypeAlias = Literal["require", "warn", "accept"]
"""Refuse a store or a broker whose crash may lose something, log a WARNING for each reason, or say nothing."""


async def check_durability(store: Administration, wanted: Durability) -> None:
    """Ask the store; ConfigurationError with all reasons where durable commits are required."""
    if wanted == "accept":
        return
    risks = await store.durability_risks()
    if risks and wanted == "require":
        raise ConfigurationError(*(f'{risk}; Settings(durability="require") refuses that' for risk in risks))
    for risk in risks:
        log.warning("a crash may lose what was accepted: %s", risk)


class BrokerDurability:
    """Asks link after link, and says each reason once."""

    def __init__(self, place: str, wanted: Durability) -> None:
        self._place, self._wanted = place, wanted
        self._said: set[str] = set()

    async def check(self, link: Link) -> None:
        """Ask a broker; ConfigurationError with all reasons where durable messages are required."""
        if self._wanted == "accept":
            return
        risks = [f"the broker {self._place} {risk}" for risk in await link.durability_risks()]
        if risks and self._wanted == "require":
            raise ConfigurationError(*(f'{risk}; Settings(durability="require") refuses that' for risk in risks))
        for risk in risks:
            if risk not in self._said:
                log.warning("a crash may lose what was confirmed: %s", risk)
        self._said.update(risks)
