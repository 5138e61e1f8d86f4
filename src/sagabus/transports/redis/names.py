"""What the keys of one broker are called. All have one hash tag, so that a cluster keeps them on one node."""

from __future__ import annotations

GROUP = "sagabus"
"""The group of each stream. A stream has no other, for what the group has settled is removed."""
CONSUMER = "bridge"
"""Of the group. All links of a service share it: the lease says which of them receives."""


class Names:
    """The keys below one prefix."""

    def __init__(self, prefix: str) -> None:
        self._tag = f"{{{prefix}}}"
        self.queues = f"{self._tag}:queue:"
        """What the name of every stream begins with."""
        self.mark = f"{self._tag}:mark"
        """A random text. It is another one once the server has lost its data."""

    def queue(self, service: str) -> str:
        """The stream of all that waits for a service."""
        return self.queues + service

    def lease(self, service: str) -> str:
        """Which link receives for the service."""
        return f"{self._tag}:lease:{service}"

    def store(self, service: str) -> str:
        """Which store the queue of the service feeds."""
        return f"{self._tag}:store:{service}"

    def event(self, name: str) -> str:
        """The set of services that want an event."""
        return f"{self._tag}:event:{name}"

    def command(self, name: str) -> str:
        """The one service that receives a command."""
        return f"{self._tag}:command:{name}"
