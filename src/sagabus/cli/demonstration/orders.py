"""The orders of the demonstration: those of a campaign, with work that takes long enough to be killed in."""

from __future__ import annotations

from sagabus.testing.campaign.orders import Shop, Words
from sagabus.testing.campaign.orders import definitions as of_campaign

_WORK = 0.008


def definitions(words: Words) -> tuple[object, ...]:
    """All of the process, for one kind of database."""
    return of_campaign(Shop(words, _WORK))
