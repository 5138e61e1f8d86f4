"""What is done to the bytes of a body between two services: compressing, encrypting, signing."""

from __future__ import annotations

import zlib
from typing import Protocol

from sagabus.errors import MessageTooLarge

__all__ = ["BodyCodec", "Gzip"]


class BodyCodec(Protocol):
    """Changes the bytes of a body on their way out, and back on their way in.

    The header `sagabus-encoding` names it, so a service that has none, or another one, holds the message as a dead
    letter with its bytes.
    """

    @property
    def name(self) -> str:
        """What the header says: printable, and never used for another encoding."""
        ...

    def encode(self, body: bytes) -> bytes:
        """The bytes that travel."""
        ...

    def decode(self, body: bytes) -> bytes:
        """The body again. Whatever it raises makes the message a dead letter."""
        ...


class Gzip:
    """Compresses bodies. A body that would be larger than `largest` bytes is refused before it fills the memory."""

    name = "gzip"

    def __init__(self, *, level: int = 6, largest: int = 16 * 1024 * 1024) -> None:
        self._level, self._largest = level, largest

    def encode(self, body: bytes) -> bytes:
        """The bytes in the format of gzip, and the same for the same body."""
        packer = zlib.compressobj(self._level, wbits=31)
        return packer.compress(body) + packer.flush()

    def decode(self, body: bytes) -> bytes:
        """The body. Raises MessageTooLarge, and zlib.error for bytes that are no gzip or not all of it."""
        unpacker = zlib.decompressobj(wbits=31)
        found = unpacker.decompress(body, self._largest)
        if unpacker.unconsumed_tail:
            raise MessageTooLarge("a compressed message", self._largest + 1, self._largest)
        if not unpacker.eof:
            raise zlib.error("the compressed body is incomplete")
        return found
