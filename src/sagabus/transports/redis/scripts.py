"""What the server does at once, in Lua. A script runs alone, so that no other connection sees it half done.

The lease is a key that expires. Each script that takes or settles compares its token first. So a link that another one
has followed changes nothing, however late its commands arrive.
What receives and settles makes room, so it has the flag `allow-oom`: it runs although the server's memory is full.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import NamedTuple


class Script(NamedTuple):
    """A script, and the name that the server knows it by once it has run."""

    text: bytes
    sha: bytes


def _script(name: str) -> Script:
    content = files("sagabus.transports.redis").joinpath("lua", f"{name}.lua").read_bytes()
    return Script(content, hashlib.sha1(content, usedforsecurity=False).hexdigest().encode())


FENCED = b"FENCED"
"""The answer to a link without the lease."""
LOST = b"LOST"
"""The answer to a link whose server has lost its data."""

DECLARE = _script("declare")
"""The mark, and what is wrong or missing. Makes what is missing, unless something is wrong."""

SEND = _script("send")
"""One answer for each message, packed: it is in the queues of all its receivers, it has none, or the server's error."""

TAKE_OVER = _script("take_over")
"""1 with the number of entries that a stranger deleted, or 0 with the milliseconds that the lease lasts."""

TAKE = _script("take")
"""The next cursor, the last entry that was handed out (where there is none now), how many come again, and entries.

The server packs these as MessagePack: one value for the client to read, and not one for each header.
"""

SETTLE = _script("settle")
"""Acknowledge entries and remove them: the stream holds what waits, and nothing else."""

RENEW = _script("renew")

RELEASE = _script("release")
