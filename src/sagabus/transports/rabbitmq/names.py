"""What everything is called at the broker, and what it is made with.

Two durable topic exchanges, `<prefix>.events` and `<prefix>.commands`, have the type of a message as its routing key.
Each service has one queue. Three kinds of *markers* remember what AMQP cannot ask the broker: exchanges through which
nothing is ever sent. The broker compares one setting of an exchange when it is declared again, its alternate exchange,
and refuses a difference. So two services cannot both own a command, and a queue cannot feed two stores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import NamedTuple

from sagabus.transport import Part, Topology, WireKind

_LONGEST = 255
"""Bytes of a name in AMQP."""
_DIGEST = 32

QUEUE: Mapping[str, str | int | bool] = {
    "x-queue-type": "quorum",
    "x-single-active-consumer": True,
    "x-overflow": "reject-publish",
    "x-delivery-limit": 1_000_000_000,
}
"""By default a full quorum queue drops what is old: this one refuses what is new. By default RabbitMQ 4 drops a message
at its 21st delivery. RabbitMQ 3 takes the `-1` that says "never" to RabbitMQ 4, and drops a message that comes back
once. A queue keeps the settings that it was made with. So it gets a number that all versions take, and that is never
reached.
"""


class Marker(NamedTuple):
    """An exchange whose alternate exchange is what it remembers."""

    name: str
    remembers: str | None = None


class Binding(NamedTuple):
    """One type that leads into the queue of a service."""

    exchange: str
    kind: WireKind
    type: str
    marker: Marker


class Names:
    """Those of one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.events = self._name("events")
        self.commands = self._name("commands")

    def exchange(self, kind: WireKind) -> str:
        """Where messages of a kind are published."""
        return self.commands if kind == "command" else self.events

    def queue(self, service: str) -> str:
        """The queue of a service."""
        return self._name(f"service.{service}")

    def owner(self, service: str, command: str) -> Marker:
        """Remembers which service receives a command."""
        return Marker(self._name(f"owner.{command}"), self._name(f"service.{service}"))

    def store(self, service: str, store: str) -> Marker:
        """Remembers which store the queue of a service feeds."""
        return Marker(self._name(f"store.{service}"), self._name(f"store.{service}:{store}"))

    def claims(self, topology: Topology) -> Iterator[Marker]:
        """What no other service, or no other store, may have claimed."""
        if topology.store:
            yield self.store(topology.service, topology.store)
        for command in topology.commands:
            yield self.owner(topology.service, command)

    def bindings(self, topology: Topology) -> Iterator[Binding]:
        """All that leads into the queue of a service, each with a marker that says that it was made."""
        for each in topology.events:
            yield self._binding(topology.service, "event", each)
        for each in topology.commands:
            yield self._binding(topology.service, "command", each)

    def parts(self, topology: Topology) -> Iterator[Part]:
        """All of it, as it can be shown."""
        for exchange in (self.events, self.commands):
            yield Part("exchange", exchange, {"type": "topic", "durable": "true"})
        if not topology.receives:
            return
        bindings = list(self.bindings(topology))
        receives = tuple(f"{binding.kind} {binding.type}" for binding in bindings)
        settings = {name: str(value).lower() for name, value in QUEUE.items()}
        yield Part("queue", self.queue(topology.service), settings, receives)
        for marker in (*self.claims(topology), *(binding.marker for binding in bindings)):
            remembers = {} if marker.remembers is None else {"alternate-exchange": marker.remembers}
            yield Part("exchange", marker.name, {"type": "fanout", "internal": "true"} | remembers)

    def _binding(self, service: str, kind: WireKind, name: str) -> Binding:
        return Binding(self.exchange(kind), kind, name, Marker(self._name(f"bound.{service}:{kind}:{name}")))

    def _name(self, text: str) -> str:
        """A name that AMQP takes: a long one ends with a hash of the whole."""
        name = f"{self._prefix}.{text}"
        if len(raw := name.encode()) <= _LONGEST:
            return name
        return f"{raw[: _LONGEST - _DIGEST - 1].decode(errors='ignore')}~{sha256(raw).hexdigest()[:_DIGEST]}"
