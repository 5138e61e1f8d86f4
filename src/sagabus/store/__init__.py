"""PORT: the store. `roles` is the contract, in small protocols, and the other modules have the values that cross it.

An adapter imports what it needs from here, and `envelope` and `outcome`.
"""

from sagabus.store.connection import AsyncConnection, Connection, Lent
from sagabus.store.delivery import Batch, Cursor, Fetched, Lane, Loaded, by_place
from sagabus.store.inspection import ChannelCounts, Inspection, WorkerSeen
from sagabus.store.journal import JournalRow
from sagabus.store.keeper import Keeper
from sagabus.store.loud import Loud, Sift
from sagabus.store.roles import (
    Acceptance,
    Administration,
    AsyncJoined,
    Capability,
    Commit,
    Delivery,
    Inspected,
    Joined,
    Joining,
    Leasing,
    Letters,
    Life,
    Mending,
    Queue,
    Registration,
    Routed,
    Store,
    Unit,
    Upkeep,
)
from sagabus.store.running import Running
from sagabus.store.subscription import Routing, Subscription
from sagabus.store.upkeep import Divided, Purged, ReplayResult, Retention

__all__ = ["Acceptance", "Administration", "AsyncConnection", "AsyncJoined", "Batch", "Capability", "ChannelCounts"]
__all__ += ["Commit", "Connection", "Cursor", "Delivery", "Divided", "Fetched", "Inspected", "Inspection", "Joined"]
__all__ += ["Joining", "JournalRow", "Keeper", "Lane", "Leasing", "Lent", "Letters", "Life", "Loaded", "Loud"]
__all__ += ["Mending", "Purged", "Queue", "Registration", "ReplayResult", "Retention", "Routed", "Routing", "Running"]
__all__ += ["Sift", "Store", "Subscription", "Unit", "Upkeep", "WorkerSeen", "by_place"]
