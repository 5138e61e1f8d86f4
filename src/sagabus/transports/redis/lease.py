"""The right of one link to receive for its service, which it keeps for as long as it is heard of."""

from __future__ import annotations

import os
from collections import deque

from sagabus.transports.lifetime import Lifetime

_REMEMBERED = 8


class Leases:
    """Those of the links of one transport."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        """For how long a link may be silent before another one receives."""
        self._known: deque[Lease] = deque(maxlen=_REMEMBERED)

    def of(self, life: Lifetime) -> Lease:
        """That of a new link."""
        lease = Lease(self, life)
        self._known.append(lease)
        return lease

    @property
    def ended(self) -> list[str]:
        """The tokens of links that have ended. Nothing has to wait until their leases run out."""
        return [each.token for each in self._known if each.is_over]


class Lease:
    """What one link shows of itself to receive."""

    def __init__(self, leases: Leases, life: Lifetime) -> None:
        self._leases, self._life = leases, life
        self.token = os.urandom(8).hex()
        self.seconds = leases.seconds
        self.milliseconds = int(leases.seconds * 1000)

    @property
    def is_over(self) -> bool:
        """Whether its link has ended."""
        return self._life.is_over

    @property
    def ended(self) -> list[str]:
        """The tokens that it may follow at once."""
        return self._leases.ended
