"""The worker processes of a demonstration: started, watched, killed without warning, replaced, none left behind.

Killing is SIGKILL (or what the system has in its place): no handler runs, no lease is given back, no transaction is
tidied up.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sagabus.cli.demonstration.progress_file import Work, read_tally
from sagabus.cli.process import given

_START = 60.0
_STOP = 15.0
_STANDSTILL = 2.0


class WorkerEndedError(Exception):
    """See the reason: a worker process ended, or never began, without a kill."""


@dataclass(frozen=True, slots=True)
class Team:
    """Workers that do the same on one store."""

    url: str
    process: str
    """What they do: see `worker`."""
    lease: int
    """Seconds."""
    transport: str | None = None
    """The broker by which they talk as a service of the name `process`."""

    @property
    def places(self) -> bytes:
        """What each of them is given on its stdin."""
        return given(self.url) + (b"" if self.transport is None else given(self.transport))


@dataclass(slots=True, eq=False)
class InFlight:
    """One worker process."""

    number: int
    process: asyncio.subprocess.Process
    tally: Path
    complaints: Path
    team: Team

    def __str__(self) -> str:
        service = "" if self.team.transport is None else f" of {self.team.process}"
        return f"worker {self.number}{service}"

    @property
    def work(self) -> Work:
        """What it is at, or was at when it died."""
        return read_tally(self.tally)


class Crew:
    """The worker processes of some teams; `size` of each live except between a kill and the replacement."""

    def __init__(self, teams: Sequence[Team], folder: Path, *, size: int = 2) -> None:
        self._teams = tuple(teams)
        self._folder = folder
        self._size = size
        self._started = 0
        self._killed: Counter[Team] = Counter()
        self.live: list[InFlight] = []
        self.interrupted = 0
        """Handler runs that kills have cut short."""

    async def start(self) -> None:
        """Start all and wait until they work."""
        await asyncio.gather(*(self.hire(team) for team in self._teams for _ in range(self._size)))

    async def hire(self, team: Team) -> InFlight:
        """Start one and wait until it works."""
        self._started += 1
        number = self._started
        tally, complaints = self._folder / f"tally-{number}", self._folder / f"worker-{number}.log"
        service = () if team.transport is None else (team.process,)
        with complaints.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "sagabus.cli.demonstration.worker"),
                *(team.process, str(tally), str(team.lease), *service),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                # An interrupt from the keyboard is for the command alone. In its session all the same: should the
                # command be killed while a worker stands still, the system ends that.
                process_group=0,
            )
        hand = InFlight(number, process, tally, complaints, team)
        if process.stdin is not None:
            process.stdin.write(team.places)
        self.live.append(hand)
        try:
            async with asyncio.timeout(_START):
                if process.stdout is None or await process.stdout.readline() != b"ready\n":
                    await process.wait()
                    self.check()
        except TimeoutError:
            said = _last_line(complaints)
            raise WorkerEndedError(f"{hand} did not begin to work within {_START:.0f} s: {said}") from None
        return hand

    @property
    def next_victims(self) -> list[InFlight]:
        """The live ones of the team that has lost the fewest."""
        fewest = min(self._killed[hand.team] for hand in self.live)
        return [hand for hand in self.live if self._killed[hand.team] == fewest]

    async def catch(self, chance: random.Random) -> InFlight | None:
        """One of them that has been brought to a standstill with work in flight, to be killed; None when none has any.

        Between a look at a worker that runs and its end, its work may be done.
        """
        victims = self.next_victims
        candidates = [hand for hand in self.busy() if hand in victims]
        while candidates:
            hand = candidates.pop(chance.randrange(len(candidates)))
            if await _stands_still(hand) and hand.work.in_flight:
                return hand
            _go_on(hand)
        return None

    async def kill(self, hand: InFlight) -> Work:
        """Kill one where it stands; what it was at."""
        self.live.remove(hand)
        with suppress(ProcessLookupError):
            hand.process.kill()
        await hand.process.wait()
        self.interrupted += hand.work.running
        self._killed[hand.team] += 1
        return hand.work

    @property
    def work(self) -> Work:
        """What all of them are at."""
        return _sum(hand.work for hand in self.live)

    def busy(self) -> list[InFlight]:
        """Those that have work in flight."""
        self.check()
        return [hand for hand in self.live if hand.work.in_flight]

    def check(self) -> None:
        """Raise WorkerEndedError when one has ended by itself."""
        for hand in self.live:
            if hand.process.returncode is not None:
                raise WorkerEndedError(f"{hand} ended by itself: {_last_line(hand.complaints)}")

    async def dismiss(self) -> None:
        """Let all stop in good order, and kill those that do not. Harmless when repeated."""
        for hand in self.live:
            if hand.process.stdin is not None:
                hand.process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP):
                await asyncio.gather(*(hand.process.wait() for hand in self.live))
        await self.end()

    async def end(self) -> None:
        """Kill all that still live."""
        while self.live:
            hand = self.live.pop()
            with suppress(ProcessLookupError):
                hand.process.kill()
            await hand.process.wait()

    @property
    def runs(self) -> int:
        """Handler runs begun by all workers that ever lived."""
        return self.all_work.begun

    @property
    def all_work(self) -> Work:
        """The numbers of all workers that ever lived."""
        return _sum(read_tally(self._folder / f"tally-{number}") for number in range(1, self._started + 1))


def _sum(works: Iterable[Work]) -> Work:
    return Work(*map(sum, zip(Work(), *works, strict=True)))


def _go_on(hand: InFlight) -> None:
    if sys.platform == "linux":
        with suppress(ProcessLookupError):
            hand.process.send_signal(signal.SIGCONT)


async def _stands_still(hand: InFlight) -> bool:
    """Stop a process where it is, and wait until it has stopped; whether it has."""
    if sys.platform != "linux":
        return True  # where stopping is not to be had or not to be waited for, the kill has to do
    end = time.monotonic() + _STANDSTILL
    with suppress(ProcessLookupError, ChildProcessError):
        hand.process.send_signal(signal.SIGSTOP)
        while time.monotonic() < end:
            if os.waitid(os.P_PID, hand.process.pid, os.WSTOPPED | os.WNOHANG) is not None:  # noqa: ASYNC222  # returns at once
                return True
            await asyncio.sleep(0.001)
    return False


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
