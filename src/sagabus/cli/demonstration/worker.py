"""One worker process of a demonstration: `python -m sagabus.cli.demonstration.worker PROCESS TALLY LEASE [SERVICE]`.

The first line of its stdin is the store, and with a SERVICE the second one is its broker. It says `ready` on stdout
once it works, and stops when its stdin ends. So no worker outlives the command that started it, however that one dies.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path

from sagabus import Bus, Settings
from sagabus.cli.demonstration import orders, replay
from sagabus.cli.demonstration.app_tables import database_at
from sagabus.cli.demonstration.progress_file import DroppedCopies, Tally, counting, counting_transport
from sagabus.cli.process import place_given
from sagabus.clock import SystemClock
from sagabus.store_urls import store_from_url
from sagabus.transports import transport_from_url

PROCESSES = {
    "orders": (orders.definitions, 6),
    "shop": (orders.shop, 6),
    "works": (orders.works, 6),
    "replay": (replay.definitions, 50),
}


async def work(url: str, process: str, tally: Tally, lease: timedelta, way: tuple[str, str] | None = None) -> None:
    """Handle messages until stdin ends. `way`: the name of the service, and the broker by which it talks to others."""
    service, transport = way or (None, None)
    definitions, concurrency = PROCESSES[process]
    settings = Settings(concurrency=concurrency, prefetch=128, lease=lease, grace=timedelta(seconds=5))
    store = counting(store_from_url(url, SystemClock(), settings.lanes), tally)
    bus = Bus(
        store,
        *definitions(database_at(url).words),
        settings=settings,
        middleware=[tally],
        observers=[] if transport is None else [DroppedCopies(tally)],
        transport=None if transport is None else counting_transport(transport_from_url(transport), tally),
        service=service,
    )
    async with bus:
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, _wait_for_end)


def _wait_for_end() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass


def _main(process: str, tally: str, lease: str, service: str | None = None) -> None:
    url = place_given()
    way = None if service is None else (service, place_given())
    asyncio.run(work(url, process, Tally(Path(tally)), timedelta(seconds=int(lease)), way))


if __name__ == "__main__":
    _main(*sys.argv[1:])
