"""One half of the benchmark in a process of its own: neither shares memory or threads with the other.

`python -m sagabus.cli.benchmark.half engine SAGAS TOKEN WORKERS`, `… worker`, `… crash` (a worker to be killed), or
`… loop-KIND SAGAS`; the first line of its stdin is the store, and it prints one object.
"""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module

import msgspec

from sagabus.cli.benchmark import crash, engine
from sagabus.cli.process import own_process, place_given


def run(half: str, place: str, *options: str) -> bytes:
    """The figures of one half."""
    if half.startswith("loop-"):
        # Only the driver of this database needs to be there.
        measure = import_module(f"sagabus.cli.benchmark.loops.{half.removeprefix('loop-')}").measure
        found = measure(place, int(options[0]))
        return msgspec.json.encode(found if not asyncio.iscoroutine(found) else asyncio.run(found))
    if half == "worker":
        asyncio.run(engine.serve(place))
        return b""
    if half == "crash":
        asyncio.run(crash.work(place))
        return b""
    own_process()  # as `sagabus run` does
    sagas, token, workers = options
    return msgspec.json.encode(asyncio.run(engine.measure(place, int(sagas), token, int(workers))))


if __name__ == "__main__":
    sys.stdout.buffer.write(run(sys.argv[1], place_given(), *sys.argv[2:]))
