"""The routing: which channel receives which message type, at which version."""

from __future__ import annotations

from collections.abc import Sequence

from sagabus.errors import ConfigurationError
from sagabus.store import Routing, Subscription
from sagabus.stores.memory.leasing import ensure_lanes
from sagabus.stores.memory.tables import Tables

COMMAND = "command"


def routing(tables: Tables, lanes: int) -> Routing:
    """The subscriptions as they are."""
    return Routing(tables.version, lanes, tuple(tables.subscriptions.values()), tuple(sorted(tables.paused)))


def add(tables: Tables, subscriptions: Sequence[Subscription], lanes: int) -> bool:
    """Add or change subscriptions, all or none; whether anything is different now."""
    after = dict(tables.subscriptions)
    after.update({(each.message_type, each.channel): each for each in subscriptions})
    if problems := [problem for each in subscriptions if (problem := _rivals(after, each))]:
        raise ConfigurationError(*dict.fromkeys(problems))
    for each in subscriptions:
        ensure_lanes(tables, each.channel, lanes)
    if after == tables.subscriptions:
        return False
    tables.subscriptions = after
    tables.version += 1
    return True


def remove(tables: Tables, channel: str, message_type: str) -> bool:
    """Remove one subscription; whether it was there."""
    if tables.subscriptions.pop((message_type, channel), None) is None:
        return False
    tables.version += 1
    return True


def _rivals(subscriptions: dict[tuple[str, str], Subscription], new: Subscription) -> str | None:
    receivers = [each for each in subscriptions.values() if each.message_type == new.message_type]
    if len(receivers) < 2 or all(each.kind != COMMAND for each in receivers):
        return None
    channels = ", ".join(sorted(repr(each.channel) for each in receivers))
    return f"command {new.message_type!r} has more than one receiver: {channels}; a command has exactly one"
