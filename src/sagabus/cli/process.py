"""What a process that does nothing else but work for a bus may do to itself; a library may not."""

from __future__ import annotations

import gc

_YOUNGEST = 20_000


def own_process() -> None:
    """Spare the garbage collector: what is loaded by now stays for good, and messages leave next to no cycles behind.

    Measured: a tenth more messages a second. Calling twice is harmless.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNGEST, 20, 50)
