"""Message ids: minted once by the sender, and derived where a second run must mint the same ones.

The ids of `publish` are UUIDv7 (RFC 9562): they carry their own send time, which the de-duplication horizon relies on.
The ids of what a handler sends derive from (incoming id, subscription, ordinal), so a second run repeats them.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Protocol, TypeAlias

from sagabus.clock import Clock
from sagabus.errors import InvalidMessageId

Derive: TypeAlias = Callable[[str, str, int | str], str]
"""Makes an id of (incoming id, subscription, ordinal), by position."""

MAX_ID_LENGTH = 200
_VERSION_7 = 7
_UUID_7 = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
"""The form that `new_id` writes; the parser of `uuid` takes others too, and ten times as long."""
_DERIVED = re.compile("[0-9a-f]{32}")


class Identity(Protocol):
    """Where new ids and randomness come from."""

    def new_id(self) -> str:
        """An id never given before, by this process or any other."""
        ...

    def fraction(self) -> float:
        """A number in [0, 1), for jitter."""
        ...


class SystemIdentity:
    """UUIDv7 ids with the operating system's randomness, increasing within this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0

    def new_id(self) -> str:
        """Milliseconds and a fraction first, so ids sort by time; 62 random bits from the system (fork-safe)."""
        stamp = max(self._clock.now() * 4096 // 1000, self._last + 1)
        self._last = stamp
        high = (stamp >> 12) << 16 | 0x7000 | (stamp & 0xFFF)
        low = int.from_bytes(os.urandom(8), "big") & 0x3FFFFFFFFFFFFFFF | 0x8000000000000000
        digits = f"{high << 64 | low:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def fraction(self) -> float:
        """53 random bits from the system."""
        return (int.from_bytes(os.urandom(7), "big") >> 3) / (1 << 53)


def derive(incoming: str, subscription: str, ordinal: int | str) -> str:
    """The id of the n-th message that `subscription` sends while it handles `incoming`: equal for every run."""
    digest = _prefixed(subscription, ordinal).copy()
    digest.update(incoming.encode())
    return digest.hexdigest()


def derive_in(service: str | None) -> Derive:
    """`derive` for the subscriptions of one service, since two services may have subscriptions of one name."""
    if service is None:
        return derive
    # No name has a slash in it, so what belongs to a service is not that of a subscription without one.
    prefix = f"{service}/"
    return lambda incoming, subscription, ordinal: derive(incoming, prefix + subscription, ordinal)


def may_be_derived(message_id: str) -> bool:
    """Whether the id has the form of those that are derived."""
    return _DERIVED.fullmatch(message_id) is not None


def accepted_id(source: str, foreign: str) -> str:
    """The id, in this service, of a message that another one sent: ids are unique within their source only."""
    return blake2b(f"from:{len(source)}:{source}:{foreign}".encode(), digest_size=16).hexdigest()


def number_of(message_id: str) -> int:
    """A number from 0 to 2**63 - 1 that is as random as the id."""
    return int.from_bytes(blake2b(message_id.encode(), digest_size=8).digest(), "big") >> 1


@lru_cache(maxsize=4096)
def _prefixed(subscription: str, ordinal: int | str) -> blake2b:
    # Begun once for each: copying a digest is half the price of beginning one. The length keeps the parts apart.
    return blake2b(f"{len(subscription)}:{subscription}:{ordinal}:".encode(), digest_size=16)


def check_id(message_id: str, what: str = "message id") -> str:
    """Return the id; raise InvalidMessageId when it is empty, too long or not printable text."""
    if not isinstance(message_id, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers are not all type-checked
        raise InvalidMessageId(f"a {what} must be text, not {type(message_id).__name__}", message_id=message_id)
    if not message_id.strip():
        raise InvalidMessageId(f"a {what} must not be empty or blank", message_id=message_id)
    if len(message_id) > MAX_ID_LENGTH:
        raise InvalidMessageId(
            f"a {what} has at most {MAX_ID_LENGTH} characters, not the {len(message_id)} of {message_id[:40]!r}…",
            message_id=message_id,
        )
    if not message_id.isprintable():
        raise InvalidMessageId(
            f"a {what} must not contain control characters or broken Unicode, unlike {message_id[:40]!r}",
            message_id=message_id,
        )
    return message_id


def stamp_of(message_id: str) -> int | None:
    """The send time that a UUIDv7 id carries, in microseconds since 1970; None for any other id."""
    if len(message_id) != 36 or message_id[14] != "7":  # the text form of a UUID and its version digit
        return None
    if _UUID_7.fullmatch(message_id) is not None:
        return int(message_id[:8] + message_id[9:13], 16) * 1000
    try:
        parsed = uuid.UUID(message_id)
    except ValueError:
        return None
    return (parsed.int >> 80) * 1000 if parsed.version == _VERSION_7 else None
