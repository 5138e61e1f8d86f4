"""Children in a fraction of the time: one process imports everything once and forks for each child that is asked for.

Runs as `python -m tests.support.fork_server` and takes one JSON object per line. It has a single thread and no open
database, so its forks are as good as fresh processes.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import importlib
import json
import linecache
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

from sagabus import Bus, Context, Saga, event, failpoint, starts, timer

ROOT = Path(__file__).resolve().parents[2]
_LIMIT = 60


@dataclass(frozen=True)
class End:
    """How a child ended: its exit code, or the negative number of the signal."""

    code: int
    log: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


class ForkServer:
    """Asks for children: the side of the test."""

    def __init__(self) -> None:
        self._logs = tempfile.TemporaryDirectory(prefix="sagabus-fork_server-")
        self._number = count()
        self._log_of: dict[int, Path] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fork_server"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, program: str, place: Path | str, *arguments: object, failpoints: str = "") -> int:
        """The process id of a child that runs `module:coroutine_function(place, *arguments)`; a file or a URL."""
        log = Path(self._logs.name) / f"{next(self._number)}.log"
        child = int(
            self._ask(
                "start",
                program=program,
                path=str(place),
                arguments=arguments,
                failpoints=failpoints,
                log=str(log),
            )
        )
        self._log_of[child] = log
        return child

    def wait(self, child: int) -> End:
        """Wait for the end of a child."""
        code = int(self._ask("wait", child=child))
        log = self._log_of.pop(child)
        return End(code, log.read_text(encoding="utf-8") if log.exists() else "")

    def has_said(self, child: int, words: str) -> bool:
        """Whether a child that lives has printed something."""
        log = self._log_of[child]
        return log.exists() and words in log.read_text(encoding="utf-8")

    def wait_until_stopped(self, child: int) -> bool:
        """Wait until a child is frozen (or has ended: then False)."""
        return bool(self._ask("wait_until_stopped", child=child))

    def run(self, program: str, place: Path | str, *arguments: object, failpoints: str = "") -> End:
        """Start a child and wait for its end."""
        return self.wait(self.start(program, place, *arguments, failpoints=failpoints))

    def command(self, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run `sagabus` with these words in a child of its own, here and in this environment, to its end; or
        `python -c …`.
        """
        out, err = (Path(self._logs.name) / f"{next(self._number)}.{stream}" for stream in ("out", "err"))
        variables = dict(os.environ if environment is None else environment)
        child = self._ask(
            "command", words=words, folder=str(Path.cwd()), variables=variables, out=str(out), err=str(err)
        )
        code = int(self._ask("wait", child=child))
        printed, complained = (file.read_text(encoding="utf-8") for file in (out, err))
        return subprocess.CompletedProcess(["sagabus", *words], code, printed, complained)

    def close(self) -> None:
        """End the children that are left, and the server."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._logs.cleanup()

    def _ask(self, request: str, **arguments: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"request": request, **arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the fork server has died"
        return json.loads(answer)


@cache
def shared() -> ForkServer:
    """The one of this process; `tests/conftest.py` closes it."""
    return ForkServer()


def sagabus(*words: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, without the time that an interpreter takes to start."""
    return shared().command(*words, environment=environment)


class _Parent:
    """Forks and waits: the side of the server."""

    def __init__(self) -> None:
        self.children: set[int] = set()

    def start(self, program: str, path: str, arguments: list[Any], failpoints: str, log: str) -> int:
        module, _, function = program.partition(":")
        run = getattr(_ready(module), function)

        def life() -> int:
            failpoint.arm(failpoints)
            asyncio.run(run(path, *arguments))
            return 0

        return self._fork(life, log, log)

    def command(self, words: list[str], folder: str, variables: dict[str, str], out: str, err: str) -> int:
        for name in ("main", "benchmark", "demonstration"):
            importlib.import_module(f"sagabus.cli.{name}")

        def life() -> int:
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(variables)
            sys.path[0] = ""
            if words[:2] == ["python", "-c"]:
                exec(words[2], {"__name__": "__main__"})
                return 0
            sys.argv[:] = ["sagabus", *words]
            return sys.modules["sagabus.cli"].main()

        return self._fork(life, out, err)

    def _fork(self, life: Callable[[], int], out: str, err: str) -> int:
        gc.freeze()  # or the first collection of each child would copy all that is here
        child = os.fork()
        if child == 0:
            _live(life, out, err)
        self.children.add(child)
        return child

    def wait(self, child: int) -> int:
        _, status = os.waitpid(child, 0)
        self.children.discard(child)
        return os.waitstatus_to_exitcode(status)

    def wait_until_stopped(self, child: int) -> bool:
        found = os.waitid(os.P_PID, child, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        return found is not None and found.si_code == os.CLD_STOPPED


def _ready(module: str) -> ModuleType:
    """A program, with its sources at hand: the bus reads those of sagas."""
    found = importlib.import_module(module)
    linecache.getlines(found.__file__ or "")
    return found


def _live(life: Callable[[], int], out: str, err: str) -> None:
    """The whole life of a child."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, file in ((1, out), (2, err)):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
        sys.stdout.reconfigure(line_buffering=True)
        faulthandler.enable()
        faulthandler.dump_traceback_later(_LIMIT, exit=True)
        code = life()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001  # told by the exit code and the log
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@event("fork-server.begun")
class _Begun:
    id: str


class _Warm(Saga, name="fork-server-warm", key="id"):
    id: str

    @starts
    def begin(self, message: _Begun, ctx: Context) -> None:
        ctx.set_timer("end", after=timedelta(hours=1))

    @timer("end")
    def end(self, ctx: Context) -> None:
        ctx.complete()


async def _warm_up() -> None:
    """Do once what a process does at its first bus: read a saga, compile patterns, fill caches."""
    async with Bus("memory:", _Warm) as bus:
        await bus.publish(_Begun(id="A"))
        await bus.idle()


def _main() -> None:
    for module in (
        "concurrent.futures.thread",
        *(f"sagabus.stores.{store}" for store in ("sqlite", "postgres", "mysql")),
    ):
        importlib.import_module(module)
    asyncio.run(_warm_up())
    parent = _Parent()
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(parent, request.pop("request"))(**request)
        print(json.dumps(answer), flush=True)
    for child in parent.children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    _main()
