"""How much of a worker's memory something takes, as far as it matters: bytes of messages."""

from __future__ import annotations

from sagabus.envelope import Envelope

UNLIMITED = 1 << 62


def size_of(envelope: Envelope) -> int:
    """Bytes of a message, with its headers."""
    size = len(envelope.body)
    if envelope.headers:
        for name, text in envelope.headers.items():
            size += len(name) + len(text)
    return size
