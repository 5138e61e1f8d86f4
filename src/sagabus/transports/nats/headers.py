"""Headers as NATS carries them: lines of printable ASCII. What does not fit is JSON, in one header of its own.

Headers of the server's own begin with `Nats-`: one of them can purge a stream. So no header of a user's has such a name
on the wire.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

OTHERS = "sagabus-headers"
"""A JSON object of all headers whose name or value is no plain text."""
_NAME = re.compile(r"(?![Nn][Aa][Tt][Ss]-)[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")
_VERSION = b"NATS/1.0"


def written(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that every client can read."""
    plain = {name: value for name, value in headers.items() if _fits(name, value)}
    if len(plain) < len(headers):
        others = {name: value for name, value in headers.items() if name not in plain}
        plain[OTHERS] = _ascii(others)
    return plain


def size(headers: Mapping[str, str]) -> int:
    """How many bytes they take."""
    return len(_VERSION) + 4 + sum(len(name) + len(value) + 4 for name, value in headers.items())


def read(block: bytes) -> dict[str, object]:
    """Headers out of what came. Bytes that are no text remain bytes, and several values of one name a list."""
    found: dict[str, object] = {}
    for line in block.split(b"\r\n")[1:]:
        name, colon, raw = line.partition(b":")
        if colon:
            _add(found, name.strip().decode("utf-8", "replace"), _text(raw.strip()))
    others = found.get(OTHERS)
    if isinstance(others, str) and (decoded := _object(others)) is not None:
        del found[OTHERS]
        found.update(decoded)
    return found


def status(block: bytes) -> int | None:
    """What the server says in place of a message; None for a message."""
    first = block[len(_VERSION) : len(_VERSION) + 4]
    return int(first) if first[:1] == b" " and first[1:].isdigit() else None


def described(block: bytes) -> str:
    """The server's words behind a status."""
    return block.partition(b"\r\n")[0][len(_VERSION) + 5 :].decode("utf-8", "replace").strip()


def _fits(name: str, value: str) -> bool:
    return name != OTHERS and _NAME.fullmatch(name) is not None and _VALUE.fullmatch(value) is not None


def _ascii(headers: Mapping[str, str]) -> str:
    import json  # msgspec writes no ASCII, and refuses texts that UTF-8 cannot write

    return json.dumps(headers, separators=(",", ":"))


def _add(found: dict[str, object], name: str, value: object) -> None:
    found[name] = [found[name], value] if name in found else value


def _text(raw: bytes) -> object:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _object(text: str) -> dict[str, str] | None:
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except msgspec.DecodeError:
        return None
