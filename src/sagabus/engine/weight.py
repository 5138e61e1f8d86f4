"""How much of a worker's memory something takes, as far as it matters: bytes of messages."""

from __future__ import annotations

from sagabus.envelope import Envelope

UNLIMITED = 1 << 62


def size_of(envelope: Envelope) -> int:
    """Bytes of a message, with its headers."""
    headers = envelope.headers
    return len(envelope.body) + (len("".join((*headers, *headers.values()))) if headers else 0)
