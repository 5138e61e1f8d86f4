"""PORT: renewing leases without an event loop; a store gives it."""

from __future__ import annotations

from typing import Protocol


class Keeper(Protocol):
    """Keeps the leases of a worker from any thread, on a connection of its own: a blocked event loop does not stop it.

    Connects when it is first used. One thread at a time.
    """

    def renew(self, worker: str, *, duration: int, within: float) -> None:
        """Have all leases that `worker` still holds, and its registration, end `duration` microseconds from now.

        Takes no lane, shares none and raises no epoch. Lanes that others have taken over stay theirs, and rows that
        another transaction has locked stay as they are. Twice is harmless. Raises StoreUnavailable or StoreBusy after
        about `within` seconds, and ForkedProcess in a process that did not open the store.
        """
        ...

    def close(self) -> None:
        """Disconnect; twice is harmless. Leases stay."""
        ...
