"""What a bus asks of its store when it opens: that its subscriptions are known."""

from __future__ import annotations

import logging

from sagabus.definitions.reading import Definitions
from sagabus.engine.routing import bridge_subscriptions, subscriptions_of
from sagabus.settings import Settings
from sagabus.store import Registration, Routing

log = logging.getLogger("sagabus")


async def register(store: Registration, defined: Definitions, settings: Settings, *, bridged: bool) -> Routing:
    """Make the subscriptions of all definitions known, and those of a bridge, if the bus has one."""
    rules, retention = defined.rules, settings.retention
    asked = [each for item in defined.by_name.values() for each in subscriptions_of(item, rules, retention)]
    if bridged:
        asked += bridge_subscriptions(retention)
    routing = await store.register(asked)
    if settings.lanes is not None and routing.lanes not in (0, settings.lanes):
        log.warning(
            "the store has %d lanes, not the %d of Settings.lanes, and keeps them: `sagabus lanes` changes them",
            routing.lanes,
            settings.lanes,
        )
    return routing
