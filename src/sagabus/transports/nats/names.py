"""What things are called at NATS: names and subjects that hold any text, and can be read back.

Letters, digits, `_` and `-` stand for themselves. Every other byte of the text's UTF-8 is `=` and two hexadecimal
digits, as the keys of a bucket permit.
"""

from __future__ import annotations

import re

from sagabus.transport import WireKind

_OTHER = re.compile(rb"[^A-Za-z0-9_-]")
_ESCAPE = re.compile(rb"=([0-9A-F]{2})")
_DOT = "=2E"


def token(text: str) -> str:
    """A text as one part of a subject, and as the name of a consumer."""
    raw = text.encode("utf-8", "surrogatepass")
    return _OTHER.sub(lambda found: b"=%02X" % found[0][0], raw).decode("ascii")


def tokens(text: str) -> str:
    """A text as parts of a subject: a dot divides, unless one of the parts would be empty."""
    parts = [token(part) for part in text.split(".")]
    return ".".join(parts) if all(parts) else _DOT.join(parts)


def text(subject: str) -> str:
    """The text behind `token` or `tokens`. What was written by neither is read as it stands."""
    raw = _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), subject.encode("utf-8", "surrogateescape"))
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return subject


class Names:
    """Everything that stands at the broker under one prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.stream = prefix
        """Where all messages are."""
        self.subjects = (f"{prefix}.event.>", f"{prefix}.command.>")
        """What it takes."""
        self.bucket = f"{prefix}-topology"
        """Where it is written down who receives what."""
        self.bucket_stream = f"KV_{self.bucket}"

    def subject(self, kind: WireKind, message_type: str) -> str:
        """Where messages of a type are published."""
        return f"{self.prefix}.{kind}.{tokens(message_type)}"

    def named(self, subject: str) -> tuple[WireKind, str]:
        """The kind and the type that a subject of the stream says."""
        kind, _, rest = subject.removeprefix(f"{self.prefix}.").partition(".")
        return ("command" if kind == "command" else "event", text(rest))

    def value(self, key: str) -> str:
        """The subject of a key of the bucket."""
        return f"$KV.{self.bucket}.{key}"

    def link(self, nonce: str) -> str:
        """Where a link answers whether it is there."""
        return f"{self.prefix}.link.{nonce}"
