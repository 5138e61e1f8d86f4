"""PORT: the durable truth. One store is the queue, the outbox, the saga storage, the timers and the dead letters.

`append` puts an envelope into the channel of each subscription. A worker leases lanes, fetches, runs handlers and hands
their outcomes to `commit`. Sent messages are then in other channels. There is one way in (`append`, or `join` inside
the caller's own transaction) and one way on (`commit`).

Every call is set-based, so that a server can do it in one round trip. Adapters raise only `StoreError` and its
subclasses. `StoreUnavailable`, `StoreBusy` and `StoreFull` are transient and say nothing about any message. All calls
may be repeated. A cancelled call may have happened: the rows decide.

The contract is in roles, and each part of the engine asks for the ones that it needs. `Store`, at the end, is all of
them. The values that cross it are in `delivery`, `subscription`, `upkeep`, `envelope` and `outcome`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import ClassVar, Literal, Protocol

from sagabus.envelope import Envelope
from sagabus.outcome import Admission, Parameters, Settled
from sagabus.store.connection import Lent
from sagabus.store.delivery import Batch, Cursor, Fetched, Lane, Loaded
from sagabus.store.examination import Fault
from sagabus.store.keeper import Keeper
from sagabus.store.loud import Loud, Sift
from sagabus.store.operating import Erasing, Inspected, Letters, Mending
from sagabus.store.running import Running
from sagabus.store.subscription import Routing, Subscription
from sagabus.store.upkeep import Divided, Purged, Retention

__all__ = ["Acceptance", "Administration", "AsyncJoined", "Capability", "Commit", "Delivery", "Erasing", "Inspected"]
__all__ += [
    "Joined",
    "Joining",
    "Leasing",
    "Letters",
    "Life",
    "Mending",
    "Queue",
    "Registration",
    "Routed",
    "Store",
    "Unit",
]
__all__ += ["Upkeep"]


class Capability(Enum):
    """What a store may or may not be able to do; asking for an absent one raises UnsupportedCapability."""

    STATEMENTS = "statements"
    """User SQL inside the shared commit (`ctx.execute`)."""
    CONNECTION = "connection"
    """The open transaction, for a parameter of a handler (`connection: Connection`) or for `bus.transaction()`."""
    JOIN = "join"
    """Appending inside a transaction that the caller opened."""
    SHARED = "shared"
    """Several processes may use it at once."""
    DURABLE = "durable"
    """What was accepted survives the process."""


class Unit(Protocol):
    """One open transaction: the user's rows, appended messages and at most one batch of outcomes commit together."""

    @property
    def connection(self) -> object:
        """The guarded handle for user SQL in the transaction. Transaction control and DDL raise StatementRefused."""
        ...

    async def lend(self, kind: type | None) -> Lent:
        """The handle as the type that a handler's signature asks for; None is the guarded handle."""
        ...

    async def append(self, envelopes: Sequence[Envelope], routing: int) -> Sequence[Admission] | None:
        """As `Store.append`, inside this transaction."""
        ...

    async def commit(self, batch: Batch | None = None) -> Sequence[Settled]:
        """Commit all of it. Unless every verdict is COMMITTED, all of it has been rolled back."""
        ...


class Joined(Protocol):
    """The way into the store inside a transaction that the caller opened and will end."""

    waits: ClassVar[Literal[False]]

    def routing(self) -> Routing:
        """The subscriptions as this transaction sees them."""
        ...

    def append(self, envelopes: Sequence[Envelope]) -> Sequence[Admission]:
        """As `Store.append`; effective when the caller commits, gone when the caller rolls back. Never commits."""
        ...


class AsyncJoined(Protocol):
    """The same where the caller's connection has to be awaited. A wrong database shows at the first use."""

    waits: ClassVar[Literal[True]]

    async def routing(self) -> Routing:
        """The subscriptions as this transaction sees them."""
        ...

    async def append(self, envelopes: Sequence[Envelope]) -> Sequence[Admission]:
        """As `Store.append`; effective when the caller commits, gone when the caller rolls back. Never commits."""
        ...


class Life(Protocol):
    """What holds a store open. `open` comes first and `close` last; both may be called twice."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this store can do."""
        ...

    async def open(self) -> None:
        """Connect and bring the schema up to date; SchemaTooNew, StoreCorrupt, StoreReadOnly or StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Finish the running call and disconnect. This does not release leases."""
        ...


class Routed(Protocol):
    """Who receives what: envelopes are addressed by it."""

    async def routing(self) -> Routing:
        """The subscriptions as they are now."""
        ...


class Registration(Routed, Protocol):
    """Makes subscriptions known, removes them, and says which store it is."""

    async def register(self, subscriptions: Sequence[Subscription]) -> Routing:
        """Add these subscriptions to those that exist (equal ones change nothing) and return the whole routing. A
        command that another channel receives already is a ConfigurationError and changes nothing.
        """
        ...

    async def unregister(self, channel: str, message_type: str) -> Routing:
        """Remove one subscription; envelopes that are already in the channel stay."""
        ...

    async def identity(self, fresh: int, *, renew: bool = False, keeps: bool = True) -> str:
        """What tells this store from every other one, for a broker that remembers which store a queue feeds.

        It is the same in every process. `fresh` is a random number below 2**63. It is kept if the store has none yet,
        or if it is to renew. Without `keeps`, nothing is written. A copy of the store has another identity as far as
        the store can tell: see docs/brokers.md. Empty for a store that ends with its process.
        """
        ...


class Acceptance(Routed, Protocol):
    """The way in."""

    async def append(self, envelopes: Sequence[Envelope], routing: int) -> Sequence[Admission] | None:
        """Accept addressed envelopes durably; one answer for each, in order. None, and nothing accepted, if `routing`
        is no longer the current version: the caller addresses them again.

        Of guarded envelopes with one (channel, message id) only the first is ever accepted, and a copy is DUPLICATE.
        Other content under the id is a COLLISION and goes to the channel's dead letters. An envelope stamped below the
        channel's horizon is TOO_OLD and goes there too. Envelopes that are not guarded are always accepted. A timer
        replaces the one with its channel, key and name.

        A body that is not UTF-8, or contains NUL, costs only its message. The envelope is DAMAGED and goes to the dead
        letters, guarded or not, unless it is a DUPLICATE. The letter's body is JSON that holds every byte.
        """
        ...


class Joining(Protocol):
    """The way in, inside a transaction of the caller's."""

    def join(self, native: object) -> Joined | AsyncJoined:
        """Enter a transaction of the caller's; NoOpenTransaction, WrongDatabase or UnsupportedCapability at once.

        The store need not be open: all that is read and written is in that transaction.
        """
        ...


class Leasing(Routed, Protocol):
    """Which worker works on which lanes. A lease is for order and speed: what is right, the commit decides."""

    async def lease(
        self,
        worker: str,
        channels: Sequence[str],
        *,
        duration: int,
        window: int,
        patient: bool = False,
        knows: Mapping[str, Sequence[str]] | None = None,
    ) -> Sequence[Lane]:
        """Register `worker` as live, renew its lanes and take its fair share. Returns all lanes that it owns now.

        It takes a lane that has no owner, or whose lease has ended by the store's clock. Live workers share the lanes
        of a channel evenly, to one lane. So the answer may miss lanes that it owned before, and their in-flight
        envelopes are dropped. `window` is the maximum of in-flight envelopes per lane until this worker leases again.
        If it dies, that many become suspects of the next worker, and so do all that are due by schedule. `patient`:
        take over no lane from another worker now. Of a lane with loud keys (`note_loud`), that many of each of these
        become suspects, and that many of all others.

        `knows`: the message types that this worker knows, by channel. If a live worker knows a type that another does
        not, the other gets no lane of that channel. If each of two knows a type that the other does not, the one whose
        kind began later works. That holds as soon as all live workers of the channel say what they know.
        """
        ...

    async def note_loud(self, worker: str, loud: Sequence[Loud]) -> bool:
        """Note which keys of some lanes `worker` fetches by cursors of their own, in place of those noted before. To be
        called before it fetches anything past one of theirs: after a death, what is suspect follows from it.

        False, and nothing is noted, when one of the lanes has moved on. Forgotten when a lane changes its owner.
        """
        ...

    async def note_running(self, worker: str, running: Mapping[str, Sequence[Running]]) -> None:
        """Note which runs of `worker` last, by channel, in place of those noted there before: for people to see.

        Of each channel the first `MOST_NOTED` are kept, and how many there are. Nothing is noted for a channel where
        the worker is not registered, and all is forgotten with its registration. Twice is harmless.
        """
        ...

    def keeper(self) -> Keeper:
        """A way to renew leases that needs no event loop; the store is open while it is used."""
        ...

    async def leave(self, worker: str, keeping: Sequence[Lane], *, duration: int, window: int) -> None:
        """Give back all lanes but some, which are renewed: their last handlers finish. `worker` counts no longer among
        those who share, until it leases again.
        """
        ...

    async def release(self, worker: str, lanes: Sequence[Lane] | None = None) -> None:
        """Give lanes back at once; all of them, and the worker's registration, when None. Others' are left alone."""
        ...


class Delivery(Protocol):
    """What is due, for those who have leased it."""

    async def fetch(self, cursors: Sequence[Cursor], limit: int) -> Fetched:
        """Due envelopes of the lanes, at most `limit` of each lane, neither stashed nor held back.

        Per lane, in order: those due at once with a position above the cursor's. Also all scheduled ones that are due
        by now, again on every call while they are stored: the caller knows what it has in flight. An envelope is held
        back while another one of its channel and key waits for its retry or is parked as a dead letter. A stashed
        envelope whose patience has ended is due.
        """
        ...

    async def sift(self, sift: Sift, limit: int) -> Fetched:
        """As `fetch`, for one lane and some of its keys. Either all keys but those left out, with scheduled envelopes
        that are due, or one key alone, without them. `reached` says up to where this has looked.
        """
        ...

    async def load(self, saga: str, keys: Sequence[str]) -> Sequence[Loaded]:
        """What is stored under each key, in the order asked."""
        ...

    async def changed(self, timeout: float | None) -> None:
        """Return when something may have become due, at the latest after `timeout` seconds. A hint, not a promise."""
        ...


class Commit(Routed, Protocol):
    """The way on: outcomes become rows."""

    async def commit(self, batch: Batch) -> Sequence[Settled]:
        """**The transaction.** For each outcome, in one transaction: remove or mark its envelope, save its instance,
        record its transition, and append what it sent. Also set and cancel timers, claim keys, run statements, and
        write its dead letter and its row of the journal. One answer for each outcome, in order.

        All that are answered COMMITTED commit together, durably, before this returns; of the others nothing remains.
        One outcome's failure costs only that outcome and those of the same (channel, partition key) after it, which are
        DROPPED. Raises only when nothing was committed, or when it is unknown (StoreUnavailable): repeat the runs, the
        rows decide. Completing an instance removes all its timers. A save that wakes makes due at once what is stashed
        for its instance.
        """
        ...

    def transaction(self) -> AbstractAsyncContextManager[Unit]:
        """Open a transaction; leaving it without `commit` rolls back. It may hold up other writers while it is open."""
        ...

    def check_lending(self, kind: type | None) -> None:
        """Raise UnsupportedCapability for a type that `Unit.lend` cannot give, naming those that it can."""
        ...

    def execute_check(self, sql: str, parameters: Parameters) -> None:
        """Raise at once for what `commit` would refuse: transaction control, DDL, the store's own tables, bad SQL."""
        ...


class Upkeep(Protocol):
    """Forgets what is old."""

    async def purge(self, retention: Sequence[Retention], limit: int) -> Purged:
        """Forget what is older than its window, the oldest first. At most `limit` each of inbox records, tombstones,
        closed dead letters, recorded transitions, rows of the journal and entries of the audit log.

        In their transaction the channel's horizon rises to just above the youngest of them, and never falls.
        """
        ...

    async def mend(self, fault: Fault) -> int:
        """Remove what a fault of a MENDABLE kind consists of, if it still holds; returns the number of rows. Twice is
        harmless. ValueError for another kind.
        """
        ...


class Administration(Protocol):
    """What operators ask of a store and do to the whole of it, such as by the command line."""

    async def versions(self) -> Sequence[int] | None:
        """The versions of the schema that the database has had, in order; empty where it has no tables, None for a
        store without a schema. Makes nothing, and connects for itself, whether the store is open or not.
        """
        ...

    async def absence(self) -> str | None:
        """In words, without anything secret: no such file, or no tables. None where there is a store to look at.

        Makes nothing, and connects for itself, whether the store is open or not.
        """
        ...

    def newest_version(self) -> int | None:
        """The version of the schema that `open` leaves behind; None for a store without a schema."""
        ...

    def script(self) -> str | None:
        """All migrations as one text, for those who apply schemas by hand: `open` finds nothing to do afterwards. None
        for a store without a schema.
        """
        ...

    async def durability_risks(self) -> Sequence[str]:
        """Why a crash of the machine may lose commits: one sentence for each reason, with the way out; empty if nothing
        does. It only reads. A bus calls it each time it opens.
        """
        ...

    async def divide(self, lanes: int) -> Divided:
        """Divide every channel into so many lanes, in one transaction. The current number changes nothing.

        All stored envelopes go to the lanes that `lane_of` says, by their key or else their id. The routing's version
        rises, so that publishers address again. Afterwards no lane has an owner and every epoch is new, so in-flight
        work is fenced. What a crashed worker may have had in flight stays suspect.

        ConfigurationError for less than one lane, or more than `MOST_LANES`.
        """
        ...

    async def fence_all(self) -> int:
        """Fence all lanes, in one transaction; returns their number.

        Call it after a restore or a failover that lost commits: in-flight work is rejected and redelivered. Epochs and
        the routing's version rise by a thousand, past every value of the lost commits. Lanes keep their owners, and
        suspect envelopes stay suspect.
        """
        ...


class Queue(Leasing, Delivery, Commit, Inspected, Protocol):
    """The store of a worker."""


class Store(
    Life, Registration, Acceptance, Joining, Queue, Letters, Mending, Erasing, Upkeep, Administration, Protocol
):
    """All roles together: what an adapter implements, and what a bus is given."""
