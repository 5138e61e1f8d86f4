"""A subscription for tests of the engine's parts, whose handler never runs, and messages of its channel."""

from sagabus import Bus, event, handler
from sagabus.envelope import Envelope


@event("unit.noted")
class Noted:
    number: int


@handler("taker")
def take(message: Noted) -> None:
    pass


(SUBSCRIPTION,) = Bus("memory:", take).definitions


def stored(position: int, lane: int = 0) -> Envelope:
    """One that stands in its channel."""
    return Envelope(
        message_id=f"m{position}", message_type="unit.noted", body=b"{}", channel="taker", lane=lane, position=position
    )
