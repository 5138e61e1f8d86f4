"""Headers as NATS carries them: lines of printable ASCII. What does not fit is JSON, in one header of its own.

Headers of the server's own begin with `Nats-`: one of them can purge a stream. So no header of a user's has such a name
on the wire.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from sagabus.transports.wire import NAMES

OTHERS = "sagabus-headers"
"""A JSON object of all headers whose name or value is no plain text."""
_NAME = re.compile(r"(?![Nn][Aa][Tt][Ss]-)[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SPACE = " \t\n\r\v\f"
"""What stands around a value in bytes, too, and is no part of it."""
_VERSION = b"NATS/1.0"


def written(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that every client can read."""
    if all(map(_fits, headers, headers.values())):
        return dict(headers)
    plain = {name: value for name, value in headers.items() if _fits(name, value)}
    others = {name: value for name, value in headers.items() if name not in plain}
    plain[OTHERS] = _ascii(others)
    return plain


def block(headers: Mapping[str, str]) -> bytes:
    """Such headers as they travel."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return b"NATS/1.0\r\n%b\r\n" % lines.encode()


def read(block: bytes) -> dict[str, object]:
    """Headers out of what came. Bytes that are no text remain bytes, and several values of one name a list."""
    found: dict[str, object] = {}
    try:
        lines = block.decode().split("\r\n")
    except UnicodeDecodeError:
        found = _of_bytes(block)
    else:
        for line in lines[1:]:
            name, colon, text = line.partition(":")
            if colon:
                _add(found, name.strip(_SPACE), text.strip(_SPACE))
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
    if not (name in NAMES or (name != OTHERS and _NAME.fullmatch(name) is not None)):
        return False
    return value.isascii() and value.isprintable() and value.strip() == value


def _ascii(headers: Mapping[str, str]) -> str:
    import json  # msgspec writes no ASCII, and refuses texts that UTF-8 cannot write

    return json.dumps(headers, separators=(",", ":"))


def _of_bytes(block: bytes) -> dict[str, object]:
    found: dict[str, object] = {}
    for line in block.split(b"\r\n")[1:]:
        name, colon, raw = line.partition(b":")
        if colon:
            _add(found, name.strip().decode("utf-8", "replace"), _text(raw.strip()))
    return found


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
