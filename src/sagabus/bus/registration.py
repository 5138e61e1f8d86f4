"""What a bus asks of its store when it opens: that its subscriptions are known, and those of its bridges no others."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sagabus.definitions.reading import Definitions
from sagabus.engine.routing import bridge_subscriptions, is_of_bridge, subscriptions_of
from sagabus.settings import Settings
from sagabus.store import Registration, Routing

log = logging.getLogger("sagabus")


async def register(
    store: Registration, defined: Definitions, settings: Settings, leaving: Sequence[tuple[str, str | None]]
) -> Routing:
    """Make the subscriptions of all definitions known, and what leaves by the bridges of the bus, if it has any.

    `leaving`: patterns of types, each with its channel; None for types that stay. A bus that has brokers removes the
    patterns of earlier releases. One without brokers leaves them alone, since it may only publish.
    """
    rules, retention = defined.rules, settings.retention
    asked = [each for item in defined.by_name.values() for each in subscriptions_of(item, rules, retention)]
    bridged = bridge_subscriptions(leaving, retention) if leaving else []
    routing = await store.register([*asked, *bridged])
    if bridged:
        wanted = {(each.message_type, each.channel) for each in bridged}
        for each in filter(is_of_bridge, routing.subscriptions):
            if (each.message_type, each.channel) not in wanted:
                log.info("%s: messages %r no longer leave by it", each.channel, each.message_type)
                routing = await store.unregister(each.channel, each.message_type)
    if settings.lanes is not None and routing.lanes not in (0, settings.lanes):
        log.warning(
            "the store has %d lanes, not the %d of Settings.lanes, and keeps them: `sagabus lanes` changes them",
            routing.lanes,
            settings.lanes,
        )
    return routing
