"""Whether the server has lost its data since this process last saw it, as a server that keeps nothing on disk does."""

from __future__ import annotations

import asyncio
import logging

log = logging.getLogger("sagabus")

_HOLD = 10.0
"""Seconds in which other services notice the loss too, and declare again. What was sent earlier would miss them."""


class Losses:
    """What one transport knows of its server from link to link."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._mark = ""
        self._until = 0.0

    def note(self, mark: str) -> None:
        """The server has this mark now; empty where it has none."""
        if mark and self._mark and mark != self._mark:
            self._until = asyncio.get_running_loop().time() + _HOLD
            log.error(
                "%s: the server has lost all its data, and what waited there is gone. Sending rests for %g s, in which "
                "all services declare again. Have the server keep its data: `appendonly yes`",
                self._place,
                _HOLD,
            )
        self._mark = mark or self._mark

    def hold(self) -> str | None:
        """Why nothing may be sent for now; None where it may."""
        if asyncio.get_running_loop().time() >= self._until:
            return None
        return "the server has lost its data, and the services declare again what they receive"
