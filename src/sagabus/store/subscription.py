"""Who receives what, as a store keeps it. A part of the contract in `store`."""

from __future__ import annotations

import msgspec


class Subscription(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """That one channel receives one message type."""

    message_type: str
    channel: str
    kind: str
    """event or command; a command has one receiver."""
    key: str | None = None
    """The message's field that is its partition key in this channel; None if the subscriber evaluates the key."""
    keyed: bool = False
    """The subscriber evaluates the key by code: an envelope from elsewhere arrives with no partition key."""
    window: int = 0
    """How long its de-duplication records are kept, in microseconds."""
    deduplicated: bool = True


class Routing(msgspec.Struct, frozen=True):
    """The subscriptions at one version, and the number of lanes that keys are hashed to."""

    version: int
    lanes: int
    subscriptions: tuple[Subscription, ...]
    paused: tuple[str, ...] = ()
    """Channels of which no worker begins a message. A transaction of the caller's does not ask for them."""
