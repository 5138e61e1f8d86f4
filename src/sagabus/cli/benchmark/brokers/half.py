"""One half of the benchmark over a broker, in a process of its own.

`python -m sagabus.cli.benchmark.brokers.half engine|loop MESSAGES`; the first lines of its stdin are the store and the
broker, and it prints one object.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from sagabus.cli.benchmark.brokers import engine
from sagabus.cli.benchmark.brokers.clients import bare
from sagabus.cli.benchmark.brokers.work import BrokerFigures
from sagabus.cli.process import own_process, place_given


def run(half: str, messages: int) -> BrokerFigures:
    """The figures of one half."""
    store, broker = place_given(), place_given()
    if half == "loop":
        return asyncio.run(bare(broker).loop(broker, messages))
    own_process()  # as `sagabus run` does
    return asyncio.run(engine.measure(store, broker, messages))


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(run(sys.argv[1], int(sys.argv[2]))))
