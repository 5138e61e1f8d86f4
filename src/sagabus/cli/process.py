"""What the processes of the command do to themselves, and how they are given URLs; a library may do neither."""

from __future__ import annotations

import gc
import json
import sys

_YOUNGEST = 20_000
_SWITCH_SECONDS = 0.0005


def own_process() -> None:
    """Spare the garbage collector, and let threads take turns quickly.

    What is loaded by now stays for good, and messages leave next to no cycles behind (measured: a tenth more messages a
    second). After each of its statements, the store's thread must win the interpreter back from running handlers. That
    takes half a millisecond at worst instead of five (measured: another tenth). Calling twice is harmless.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNGEST, 20, 50)
    sys.setswitchinterval(_SWITCH_SECONDS)


def given(place: str) -> bytes:
    """The URL of a store or a broker for a child process, as one line of its stdin: others can read its arguments."""
    return json.dumps(place).encode() + b"\n"


def place_given() -> str:
    """The next URL that the parent process has given. What follows on stdin is left there."""
    return str(json.loads(sys.stdin.buffer.readline()))
