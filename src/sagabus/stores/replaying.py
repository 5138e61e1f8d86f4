"""What replaying a dead letter does, decided once for every store. Pure: a store finds the facts and obeys."""

from __future__ import annotations

from typing import NamedTuple

from sagabus.envelope import Cause, DeadLetter
from sagabus.store import ReplayResult


class Facts(NamedTuple):
    """What a store knows in addition to the letter."""

    has_copy: bool = False
    """A message of the same id and content was accepted: its inbox record is there."""
    was_replaced: bool = False
    """A timer of the same name and key was set again."""
    is_below_horizon: bool = False
    """Records as old as the message's stamp are forgotten: whether a copy took effect is no longer known."""


def replay_of(letter: DeadLetter, facts: Facts, *, force: bool) -> ReplayResult:
    """DONE: close an open letter and put its message back. ALREADY_DONE: an open one is closed, its message stays out,
    its key goes on. Anything else changes nothing.
    """
    if letter.status != "open":
        return ReplayResult.ALREADY_DONE
    if letter.cause is Cause.DAMAGED:
        return ReplayResult.DAMAGED
    if facts.was_replaced or (letter.cause is Cause.TOO_OLD and facts.has_copy):
        return ReplayResult.ALREADY_DONE
    if force:
        return ReplayResult.DONE
    if letter.cause is Cause.COLLISION:
        return ReplayResult.COLLISION
    return ReplayResult.TOO_OLD if facts.is_below_horizon else ReplayResult.DONE
