"""What lanes and keys are called: the lane of a channel, and the key of an instance or of an inbox record.

A named tuple equals its plain tuple and costs ten times as much to make. So a ref is made where it is kept, and looked
up by the plain tuple on the way of a message.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

LaneLike: TypeAlias = tuple[str, int]
"""A `LaneRef`, or the plain tuple that equals it: for look-ups."""
KeyLike: TypeAlias = tuple[str, str]
"""A `KeyRef`, or the plain tuple that equals it: for look-ups."""

RESERVED = "\x1e"
"""No key that a user writes begins with it, and no message id: it begins those of a tenant. A claimed key begins with
another, in the inbox."""
_TENANT = re.compile(r"[A-Za-z0-9._-]{1,63}")


class LaneRef(NamedTuple):
    """One lane of one channel."""

    channel: str
    lane: int


class KeyRef(NamedTuple):
    """One key of one channel, or one message id in its inbox, as it is stored.

    A tenant is a prefix of what is stored, written and read here alone. Without a tenant a key is stored as it is. So
    no table has to be rewritten for the first tenant.
    """

    channel: str
    stored: str

    @classmethod
    def of(cls, channel: str, key: str, tenant: str = "") -> KeyRef:
        """The ref of a tenant's key or message id: no other pair of the two is stored alike.

        ValueError for a tenant that is not 1 to 63 letters, digits, dots, dashes and underscores. The same for a key
        that begins with the reserved character.
        """
        if key.startswith(RESERVED):
            raise ValueError(f"a key or a message id must not begin with U+001E, unlike {key[:40]!r}")
        if not tenant:
            return cls(channel, key)
        if _TENANT.fullmatch(tenant) is None:
            raise ValueError(f"a tenant is 1 to 63 letters, digits, dots, dashes, underscores, unlike {tenant[:80]!r}")
        return cls(channel, f"{RESERVED}{tenant}{RESERVED}{key}")

    @property
    def tenant(self) -> str:
        """Whose it is; empty without a tenant."""
        return self._parts()[0]

    @property
    def key(self) -> str:
        """The key or message id as the user wrote it."""
        return self._parts()[1]

    def _parts(self) -> tuple[str, str]:
        if not self.stored.startswith(RESERVED):
            return "", self.stored
        tenant, mark, key = self.stored[1:].partition(RESERVED)
        # An older release let users begin a key with the reserved character: such a key belongs to no tenant.
        return (tenant, key) if mark and _TENANT.fullmatch(tenant) else ("", self.stored)
