"""How much one run, one transaction or one batch writes at once: it is counted while it is gathered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sagabus.envelope import Envelope
from sagabus.errors import TooManyBytes
from sagabus.message.stamping import size_of

__all__ = ["Load", "stated"]

_OF_A_STATEMENT = 100
"""About what one takes besides its text and its parameters."""


class Load:
    """The bytes of what is sent, as it will be stored: once for each receiver. One message always fits."""

    __slots__ = ("_is_begun", "_key", "_limit", "_sender", "_size")

    def __init__(self, sender: str, limit: int, key: str | None = None, before: Sequence[Envelope] = ()) -> None:
        """`before`: what was sent while it could not be too much."""
        self._sender, self._limit, self._key = sender, limit, key
        self._size, self._is_begun = 0, False
        if before:
            self.add(before)

    def add(self, envelopes: Iterable[Envelope]) -> None:
        """Count one message more; TooManyBytes, and nothing is counted, if that is too much."""
        size = self._size
        for envelope in envelopes:
            size += len(envelope.body) + (size_of(envelope.headers) if envelope.headers else 0)
        if size > self._limit and self._is_begun:
            raise TooManyBytes(self._sender, self._limit, self._key)
        self._size, self._is_begun = size, True


def stated(
    before: int, sql: str, parameters: Sequence[object] | Mapping[str, object], cause: Envelope, limit: int
) -> int:
    """About how many bytes the statements of the run of `cause` have with this one; TooManyBytes if that is too much.
    One statement always fits.
    """
    values = parameters.values() if isinstance(parameters, Mapping) else parameters
    texts = sum(len(each) for each in values if isinstance(each, (str, bytes, bytearray)))
    size = before + _OF_A_STATEMENT + len(sql) + texts
    if size > limit and before:
        raise TooManyBytes(cause.channel, limit, cause.partition_key, "statements")
    return size
