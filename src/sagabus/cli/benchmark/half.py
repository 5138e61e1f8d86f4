"""One half of the benchmark in a process of its own: neither shares memory or threads with the other.

`python -m sagabus.cli.benchmark.half engine URL SAGAS TOKEN` or `… loop PATH SAGAS`; it prints one object.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from sagabus.cli.benchmark import engine, loop
from sagabus.cli.process import own_process


def run(half: str, place: str, sagas: int, *token: str) -> bytes:
    """The figures of one half."""
    if half == "loop":
        return msgspec.json.encode(loop.measure(place, sagas))
    own_process()  # as `sagabus run` does
    return msgspec.json.encode(asyncio.run(engine.measure(place, sagas, *token)))


if __name__ == "__main__":
    sys.stdout.buffer.write(run(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:]))
