"""PORT: one broker. A bridge (`engine.bridges`) sends what leaves a service, and takes in what comes for it.

A `Transport` makes links, and a `Link` is one connection for as long as it lasts. A lost link does not come back: the
bridge makes another one. So nothing of an old connection, such as a delivery, can be taken for something of a new one.

Every call may be cancelled, and may have happened all the same. Adapters raise only `TransportError`, and
`ConfigurationError` for what waiting cannot cure. No text of theirs has a password in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

__all__ = [
    "Answer",
    "Capability",
    "Delivery",
    "Hazard",
    "Link",
    "Overseen",
    "Part",
    "Sent",
    "Topology",
    "Transport",
    "WireKind",
    "WireMessage",
]

WireKind: TypeAlias = Literal["event", "command"]
NO_HEADERS: Mapping[str, str] = {}


class Capability(Enum):
    """What a broker may or may not be able to do. A bus that needs an absent one refuses it when it opens."""

    ORDERED = "order in the queue of a service"
    """What one link sent one after another, another link receives in that order. One link of a service receives at a
    time. What it leaves unsettled comes first for the next."""
    RETURNS = "word of messages that no queue takes"
    """A message without a receiver is answered UNROUTABLE."""
    DURABLE = "messages that survive the broker's restart"
    OWNERS = "one owner for each command"
    """A second service that asks for a command is refused by `Link.declare`."""
    TIMES = "a time at which it got each message"
    """A message of a stranger has a time, so that a late copy is known for one."""
    STORES = "memory of the store that a queue feeds"
    """A queue of a service that feeds another store is refused by `Link.declare`, unless it is to move."""


class WireMessage(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One message between services. Instants are microseconds since 1970."""

    id: str
    """The sender's: unique together with `source` only."""
    source: str
    """The service that sent it; empty where the message says none."""
    type: str
    body: bytes
    kind: WireKind = "event"
    key: str | None = None
    """Messages of one service with the same key stay in order."""
    correlation_id: str | None = None
    causation_id: str | None = None
    sent_at: int | None = None
    """When the sender sent it, or else when the broker got it. None where neither says so."""
    hops: int = 0
    headers: Mapping[str, str] = NO_HEADERS
    """Those of the user, without the names that carry the fields above."""
    problem: str | None = None
    """Out of a broker only: why the fields cannot be relied on. The body is what came."""


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """A message that a link has handed out, until it is settled."""

    message: WireMessage
    tag: int
    """Names the delivery within its link."""
    is_again: bool = False
    """The broker has handed it out before, as far as it knows."""


class Answer(Enum):
    """What a broker said of one sent message."""

    CONFIRMED = "confirmed"
    """It is in the queue of every receiver."""
    UNROUTABLE = "unroutable"
    """No queue takes it."""
    REFUSED = "refused"
    """The broker never takes it: it is too large, or not permitted."""
    UNKNOWN = "unknown"
    """It may be in the queues or not: it has to be sent again, under the same id."""


class Sent(msgspec.Struct, frozen=True, gc=False):
    """The answer to one message."""

    answer: Answer
    reason: str = ""
    """In the broker's words, without anything secret."""


class Topology(msgspec.Struct, frozen=True):
    """What one service needs at the broker: a queue of its own, and what goes there."""

    service: str
    events: tuple[str, ...] = ()
    """Types that it receives besides all other services that want them."""
    commands: tuple[str, ...] = ()
    """Types that it alone receives."""
    store: str = ""
    """Which store the queue feeds, for brokers with STORES; empty where it may be any."""

    @property
    def receives(self) -> bool:
        """Whether it needs a queue at all."""
        return bool(self.events or self.commands)


class Part(msgspec.Struct, frozen=True):
    """One thing at the broker that a topology consists of, in the broker's own words, for people to read."""

    kind: str
    """Such as `queue`, `exchange`, `stream` or `consumer`."""
    name: str
    settings: Mapping[str, str] = NO_HEADERS
    """What it is declared with."""
    receives: tuple[str, ...] = ()
    """What leads into it: bindings, subjects or filters."""


class Hazard(msgspec.Struct, frozen=True):
    """Something that people have set at the broker, and that may cost messages of a service or their order."""

    text: str
    """One sentence, without anything secret."""
    severity: Literal["error", "warning", "note"] = "error"
    """error: it removes messages. warning: it may. note: worth knowing."""
    command: str | None = None
    """What mends it."""


class Link(Protocol):
    """One connection, from its begin to its end. After its end every call raises TransportError."""

    async def declare(self, topology: Topology, *, make: bool = True, move: bool = False) -> None:
        """Make what is missing of a topology, remove nothing, and receive for it. Twice is harmless.

        `make=False` makes nothing: ConfigurationError names each part that is missing. `move`: the queue feeds the
        store of this topology from now on, whichever it fed before.

        ConfigurationError names all problems. With OWNERS that is a command that another service receives. With STORES
        it is a queue that feeds another store. Always it is a queue in a form that could lose messages.
        """
        ...

    async def examine(self, topology: Topology) -> Sequence[str]:
        """What `declare` of this topology would refuse, or would have to make: one text each, none if all is there.

        It makes nothing, receives nothing, and leaves other links alone.
        """
        ...

    async def send(self, messages: Sequence[WireMessage]) -> Sequence[Sent]:
        """Send in order; one answer each, once all are known. May be called while another call waits.

        An event goes to every service that wants it, and need not come back to its source.
        TransportError where the link has ended: what was sent is UNKNOWN.
        """
        ...

    async def receive(self, most: int) -> Sequence[Delivery]:
        """The next messages for the declared service, in order: one at least, for which it waits, and `most` at most.

        The link holds no more than it was asked for. What is handed out is not handed out again while the link lasts.
        """
        ...

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge: the broker forgets them. A delivery that is not open in this link is left alone."""
        ...

    async def ping(self) -> None:
        """Hear from the broker; TransportError otherwise."""
        ...

    async def durability_risks(self) -> Sequence[str]:
        """Why a crash of this broker may lose what it has confirmed, as far as it can be asked: one text each.

        Each text says what to change. None where nothing is known against it, or where the transport lacks DURABLE.
        """
        ...

    async def ended(self) -> str:
        """Wait for the end; why it came, in words."""
        ...

    async def close(self) -> None:
        """End. What was handed out and not settled comes again, to another link. Twice is harmless.

        Cancelled, it ends without a farewell, and leaves no connection.
        """
        ...


class Transport(Protocol):
    """One broker, as one service sees it."""

    @property
    def place(self) -> str:
        """Where it is, for logs and errors: nothing secret."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do."""
        ...

    @property
    def largest_batch(self) -> int:
        """How many messages `send` and `receive` take at most."""
        ...

    def parts(self, topology: Topology) -> Sequence[Part]:
        """What `Link.declare` makes of a topology, in order. Asks nothing of the broker."""
        ...

    async def connect(self) -> Link:
        """A new link; TransportError where the broker is not there."""
        ...


@runtime_checkable
class Overseen(Protocol):
    """What a transport has besides if people can change a queue at its broker without a word to those who use it."""

    @property
    def unseen(self) -> str:
        """Why `hazards` cannot see what they have set, and how to let it; empty if it can."""
        ...

    async def hazards(self, topology: Topology) -> Sequence[Hazard]:
        """What they have set at the queue of a service. It changes nothing.

        TransportError, in a sentence with the way out, where the broker does not say.
        """
        ...
