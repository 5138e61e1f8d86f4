"""A worker's memory is bounded in bytes: by what is in flight and what one commit writes, not by how much waits."""

import asyncio
import sys
from pathlib import Path

import pytest
from tests.conftest import Take
from tests.support.databases import SERVERS

from sagabus import Bus, Context, Saga, event, handler, starts
from sagabus.settings import Settings

MEGABYTES = 1 << 20
SQLITE_CACHES = 128
"""Megabytes of pages that the two connections of a store on SQLite keep."""


@event("large.noted")
class Noted:
    key: str
    text: str


@event("large.grown")
class Grown:
    key: str
    size: int


@handler("large-notes", key="key")
async def note(message: Noted) -> None:
    await asyncio.sleep(0)


class Growth(Saga, name="large-growth", key="key", history=True):
    """Becomes as large as it is told, and keeps that in its history as well."""

    key: str
    text: str = ""

    @starts
    def grown(self, message: Grown, ctx: Context) -> None:
        self.text = "x" * message.size


@pytest.fixture(params=["sqlite", *SERVERS])
def url(request: pytest.FixtureRequest, take: Take) -> str:
    """Each kind of store that outlives a process."""
    return take(str(request.param)).url


async def worked_off(url: str) -> int:
    """Have another process work off what is stored; by how many megabytes its memory grew at most."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.scenarios.when_messages_are_large", url),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
    )
    answer, _ = await process.communicate()
    return int(answer)


@pytest.mark.share(3)
async def test_a_backlog_of_large_messages_takes_no_more_memory_than_what_is_in_flight(url: str) -> None:
    bus = Bus(url, note, Growth)
    await bus.open(worker=False)
    for begin in range(0, 320, 16):
        await bus.publish_many([Noted(key=f"k{number}", text="x" * 250_000) for number in range(begin, begin + 16)])
    await bus.close()

    grew = await worked_off(url)

    assert grew < caches(url) + 70  # of 80 that waited


@pytest.mark.share(3)
async def test_recorded_histories_are_written_in_portions(url: str) -> None:
    bus = Bus(url, note, Growth)
    await bus.open(worker=False)
    await bus.publish_many([Grown(key=f"k{number}", size=900_000) for number in range(200)])
    await bus.close()

    grew = await worked_off(url)

    assert grew < caches(url) + 300  # without portions 670 on MySQL, and more elsewhere


def caches(url: str) -> int:
    return SQLITE_CACHES if url.startswith("sqlite:") else 0


def status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith(name))


async def work(url: str) -> None:
    bus = Bus(url, note, Growth)
    await bus.open(worker=False)
    await bus.close()
    before = status("VmRSS")
    async with Bus(url, note, Growth, settings=Settings(prefetch_bytes=16 * MEGABYTES)) as bus:
        await bus.idle(300)
    print(status("VmHWM") - before)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
