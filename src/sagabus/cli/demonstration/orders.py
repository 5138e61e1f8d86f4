"""The orders of the demonstration: those of a campaign, with work that takes long enough to be killed in."""

from __future__ import annotations

from sagabus.testing.campaign.orders import Shop, Words, shop_definitions, works_definitions

_WORK = 0.008


def definitions(words: Words) -> tuple[object, ...]:
    """All of the process, for one kind of database."""
    return (*shop(words), *works(words))


def shop(words: Words) -> tuple[object, ...]:
    """The sagas, as one of two services."""
    return shop_definitions(Shop(words, _WORK))


def works(words: Words) -> tuple[object, ...]:
    """All handlers, as the other one."""
    return works_definitions(Shop(words, _WORK))
