"""JSON as SQLAlchemy reads it, on a connection whose own codecs stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

Decoders: TypeAlias = dict[str, Callable[[bytes], Any]]
"""By type: what SQLAlchemy makes of the bytes that the server would send in the binary format."""

_MARKS = {"jsonb": "\1"}
"""What the binary format has in front of the text."""


def decoding(statement: Any, decoders: Decoders) -> Any:
    """The prepared statement; if there is JSON in its rows, one that decodes it."""
    names = [attribute.type.name.removesuffix("[]") for attribute in statement.get_attributes()]
    found = {place: _reader(name, decoders[name]) for place, name in enumerate(names) if name in decoders}
    return _DecodingStatement(statement, found) if found else statement


def _reader(name: str, decoder: Callable[[bytes], Any]) -> Callable[[Any], Any]:
    mark = _MARKS.get(name, "")

    def read(value: Any) -> Any:
        if value is None:
            return None
        return decoder((mark + value).encode()) if isinstance(value, str) else list(map(read, value))

    return read


class _Decoding:
    def __init__(self, native: Any, readers: Mapping[int, Callable[[Any], Any]]) -> None:
        self._native = native
        self._readers = readers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._native, name)

    async def fetch(self, *arguments: Any, **options: Any) -> list[Sequence[Any]]:
        """The rows."""
        return [
            [self._readers[place](value) if place in self._readers else value for place, value in enumerate(row)]
            for row in await self._native.fetch(*arguments, **options)
        ]


class _DecodingStatement(_Decoding):
    async def cursor(self, *arguments: Any, **options: Any) -> _Decoding:
        """The same for rows that come bit by bit."""
        return _Decoding(await self._native.cursor(*arguments, **options), self._readers)
