"""However much waits, in the broker or in the store for a broker: a process keeps no more of it than its windows.

The peak is that of the whole process, since a moment before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.brokers import Lab
from tests.support.two_services import is_empty
from tests.support.waiting import until

from sagabus import Bus, Settings, event, handler
from sagabus.stores.sqlite import file
from sagabus.transport import Topology, WireMessage
from sagabus.transports import transport_from_url

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc"),
]

MOST = 24 << 20
"""Bytes by which the process may grow. All that waits has 40 MB at least."""
AMOUNTS = pytest.mark.parametrize(
    ("count", "size"), [(8_000, 5_000), pytest.param(100_000, 1_000, marks=pytest.mark.slow)]
)
WINDOW = Settings(prefetch=500)
WARM = 1_000
BATCH = 250


@event("memory.filled")
class Filled:
    number: int
    filling: str


@handler("keep")
def keep(message: Filled) -> None: ...


class Peak:
    """The most memory that this process has had since."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        self._before = self._now()

    @property
    def growth(self) -> int:
        return self._now() - self._before

    @staticmethod
    def _now() -> int:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) << 10


@pytest.fixture(autouse=True)
def small_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite keeps up to 64 MiB of pages for each connection, whatever the bus does."""
    monkeypatch.setitem(file._PRAGMAS, "cache_size", -2_000)


@AMOUNTS
async def test_what_waits_in_the_store_for_a_broker_is_not_in_memory(
    lab: Lab, tmp_path: Path, count: int, size: int
) -> None:
    store = f"sqlite:///{tmp_path}/shop.db"
    async with lab:
        await declared(lab)
        await leave(lab, store, WARM, size)
        shop = Bus(store, transport=lab.url(), service="shop", settings=WINDOW)
        await shop.open(worker=False)
        for numbers in batches(count):
            await shop.publish_many(Filled(number, "x" * size) for number in numbers)
        await shop.close()

        peak = Peak()
        async with Bus(store, transport=transport_from_url(lab.url(port=1)), service="shop", settings=WINDOW) as away:
            await until(lambda: away.health().waits)
            (waiting,) = [each for each in await away.counts() if each.channel == "broker:out"]
            assert waiting.ready == count
        async with Bus(store, transport=lab.url(), service="shop", settings=WINDOW) as shop:
            await until(lambda: is_empty(shop), 600, every=0.5)

        assert peak.growth < MOST
        assert await lab.waiting("books") == WARM + count


@AMOUNTS
async def test_what_waits_in_the_broker_is_not_in_memory(lab: Lab, tmp_path: Path, count: int, size: int) -> None:
    store = f"sqlite:///{tmp_path}/books.db"
    async with lab:
        await declared(lab)
        await put(lab, WARM, size)
        await take(lab, store, WARM)
        await put(lab, count, size, after=WARM)

        peak = Peak()
        await take(lab, store, count)

        assert peak.growth < MOST


async def declared(lab: Lab) -> None:
    link = await lab.transport().connect()
    await link.declare(Topology("books", ("memory.filled",)))
    await link.close()


async def leave(lab: Lab, store: str, count: int, size: int) -> None:
    async with Bus(store, transport=lab.url(), service="shop", settings=WINDOW) as shop:
        for numbers in batches(count):
            await shop.publish_many(Filled(number, "x" * size) for number in numbers)
        await until(lambda: is_empty(shop), 60, every=0.1)


async def put(lab: Lab, count: int, size: int, after: int = 0) -> None:
    """Have so many messages wait at the broker."""
    link = await lab.transport().connect()
    filling = b"x" * size
    for numbers in batches(count):
        await link.send(
            [
                WireMessage(
                    id=str(after + number),
                    source="shop",
                    type="memory.filled",
                    body=b'{"number":%d,"filling":"%s"}' % (number, filling),
                )
                for number in numbers
            ]
        )
    await link.close()


async def take(lab: Lab, store: str, count: int) -> None:
    async with Bus(store, keep, transport=lab.url(), service="books", settings=WINDOW) as books:
        await until(lambda: books.statistics["keep", "completed"] == count, 600, every=0.1)


def batches(count: int) -> Iterator[range]:
    for first in range(0, count, BATCH):
        yield range(first, min(first + BATCH, count))
