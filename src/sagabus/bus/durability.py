"""What a bus makes of a store whose commits a crash may lose: decided once, when it opens."""

from __future__ import annotations

import logging
from typing import Literal, TypeAlias

from sagabus.errors import ConfigurationError
from sagabus.store import Administration

log = logging.getLogger("sagabus")

Durability: TypeAlias = Literal["require", "warn", "accept"]
"""Refuse a store whose commits a crash may lose, log a WARNING for each reason, or say nothing."""


async def check_durability(store: Administration, wanted: Durability) -> None:
    """Ask the store; ConfigurationError with all reasons where durable commits are required."""
    if wanted == "accept":
        return
    risks = await store.durability_risks()
    if risks and wanted == "require":
        raise ConfigurationError(*(f'{risk}; Settings(durability="require") refuses that' for risk in risks))
    for risk in risks:
        log.warning("a crash may lose what was accepted: %s", risk)
