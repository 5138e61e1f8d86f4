"""Whoever is killed by the demonstration dies at work, however short the work is."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sagabus.cli.demonstration.worker_processes import Crew, InFlight, Team

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

TEAMS = [Team("memory:", name, lease=1, transport="memory://shop") for name in ("shop", "works")]


@asynccontextmanager
async def crew_of(tmp_path: Path, *kinds: str) -> AsyncIterator[Crew]:
    crew = Crew(TEAMS, tmp_path, size=len(kinds))
    try:
        for number, kind in enumerate(kinds):
            team = TEAMS[number % len(TEAMS)]
            tally = tmp_path / f"tally-{number}"
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", RESTLESS, str(tally), kind), stdout=asyncio.subprocess.PIPE
            )
            crew.live.append(InFlight(number, process, tally, tmp_path / "none.log", team))
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


def test_teams_lose_their_workers_in_turns(tmp_path: Path) -> None:
    async def kill_all() -> list[str]:
        killed = []
        async with crew_of(tmp_path, *["rests"] * 6) as crew:
            while crew.live:
                killed.append(crew.next_victims[0])
                await crew.kill(killed[-1])
        return [str(hand) for hand in killed]

    assert [name.split(" of ")[1] for name in asyncio.run(kill_all())] == ["shop", "works"] * 3


def test_an_idle_worker_is_not_caught_and_goes_on(tmp_path: Path) -> None:
    async def look() -> None:
        async with crew_of(tmp_path, "rests") as crew:
            assert await crew.catch(random.Random(1)) is None
            (hand,) = crew.live
            assert hand.process.returncode is None

    asyncio.run(look())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the arguments of a process are not in /proc")
@pytest.mark.parametrize(("process", "transport"), [("orders", None), ("shop", "memory://S3cr3tW0rd")])
def test_no_other_user_sees_the_urls_of_a_worker(process: str, transport: str | None, tmp_path: Path) -> None:
    def arguments_of(hand: InFlight) -> bytes:
        return Path(f"/proc/{hand.process.pid}/cmdline").read_bytes()

    async def look() -> list[bytes]:
        team = Team(f"sqlite:///{tmp_path}/S3cr3tW0rd.db", process, lease=1, transport=transport)
        crew = Crew([team], tmp_path, size=1)
        try:
            await crew.start()
            return [arguments_of(hand) for hand in crew.live]
        finally:
            await crew.dismiss()

    (arguments,) = asyncio.run(look())

    assert b"demonstration.worker" in arguments
    assert b"S3cr3tW0rd" not in arguments
