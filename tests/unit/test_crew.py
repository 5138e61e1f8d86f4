"""Whoever is killed by the demonstration dies at work, however short the work is."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sagabus.cli.demonstration.worker_processes import Crew, InFlight

# Works for a moment, rests for a moment, and so on; or only rests.
RESTLESS = """
import sys, time
from pathlib import Path
from sagabus.cli.demonstration.progress_file import Tally
tally = Tally(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    if sys.argv[2] == "works":
        tally.note(running=1)
        time.sleep(0.0002)
        tally.note(running=-1)
    time.sleep(0.0002)
"""


@asynccontextmanager
async def crew_of(tmp_path: Path, *kinds: str) -> AsyncIterator[Crew]:
    crew = Crew("memory:", "orders", tmp_path, lease=1, size=len(kinds))
    try:
        for number, kind in enumerate(kinds):
            tally = tmp_path / f"tally-{number}"
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", RESTLESS, str(tally), kind), stdout=asyncio.subprocess.PIPE
            )
            crew.live.append(InFlight(number, process, tally, tmp_path / "none.log"))
            assert process.stdout is not None
            await process.stdout.readline()
        yield crew
    finally:
        await crew.end()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody is stopped before the kill")
def test_a_caught_worker_is_killed_mid_work(tmp_path: Path) -> None:
    async def kill_all() -> list[int]:
        cut = []
        async with crew_of(tmp_path, *["works"] * 8) as crew:
            while crew.live:
                hand = await crew.catch(random.Random(1))
                if hand is not None:
                    cut.append((await crew.kill(hand)).in_flight)
        return cut

    assert asyncio.run(kill_all()) == [1] * 8


def test_an_idle_worker_is_not_caught_and_goes_on(tmp_path: Path) -> None:
    async def look() -> None:
        async with crew_of(tmp_path, "rests") as crew:
            assert await crew.catch(random.Random(1)) is None
            (hand,) = crew.live
            assert hand.process.returncode is None

    asyncio.run(look())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the arguments of a process are not in /proc")
def test_no_other_user_sees_the_store_of_a_worker(tmp_path: Path) -> None:
    def arguments_of(hand: InFlight) -> bytes:
        return Path(f"/proc/{hand.process.pid}/cmdline").read_bytes()

    async def look() -> list[bytes]:
        crew = Crew(f"sqlite:///{tmp_path}/S3cr3tW0rd.db", "orders", tmp_path, lease=1, size=1)
        try:
            await crew.start()
            return [arguments_of(hand) for hand in crew.live]
        finally:
            await crew.dismiss()

    (arguments,) = asyncio.run(look())

    assert b"demonstration.worker" in arguments
    assert b"S3cr3tW0rd" not in arguments
