"""One worker process of a demonstration: `python -m sagabus.cli.demonstration.worker PROCESS TALLY LEASE`.

The first line of its stdin is the store. It says `ready` on stdout once it works, and stops when its stdin ends. So no
worker outlives the command that started it, however that one dies.
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
from sagabus.cli.demonstration.progress_file import Tally, counting
from sagabus.cli.process import place_given
from sagabus.clock import SystemClock
from sagabus.store_urls import store_from_url

PROCESSES = {"orders": (orders.definitions, 6), "replay": (replay.definitions, 50)}


async def work(url: str, process: str, tally: Tally, lease: timedelta) -> None:
    """Handle messages until stdin ends."""
    definitions, concurrency = PROCESSES[process]
    settings = Settings(concurrency=concurrency, prefetch=128, lease=lease, grace=timedelta(seconds=5))
    store = counting(store_from_url(url, SystemClock(), settings.lanes), tally)
    async with Bus(store, *definitions(database_at(url).words), settings=settings, middleware=[tally]):
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, _wait_for_end)


def _wait_for_end() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass


if __name__ == "__main__":
    asyncio.run(work(place_given(), sys.argv[1], Tally(Path(sys.argv[2])), timedelta(seconds=int(sys.argv[3]))))
