"""Where a private server lives: a temporary directory, a port, and processes that do not outlive this interpreter.

Run as a program, this file is the keeper of one shelter, so it imports nothing but the standard library. The servers
themselves are in `servers`.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["ReservedPort", "ServerFailed", "Shelter", "until"]

HOST = "127.0.0.1"

_OF_SERVERS = ("PG", "MYSQL", "MARIADB", "RABBITMQ", "ERL")
"""What variables begin with that are for another server."""
_LAST_LINES = 60
"""Of a log: a virtual machine says much after the reason."""
_RUN = 60.0
_ABRUPT = 5.0
_DEATH = 10.0
_STOPPED = frozenset("Tt")
_OVER = frozenset("ZX")
_THREADS = 17
"""Where Linux tells their number, counted from the state."""


class ServerFailed(Exception):
    """Read the end of the server's log, which is quoted: it did not start, or did not obey."""


class ReservedPort:
    """A port of 127.0.0.1 that no other program gets until `close`, even if no server listens on it.

    Who means to listen sets SO_REUSEADDR, as servers do. Without this, a port whose server is down may become the near
    end of another connection, even of one to itself. Only Linux can do it; elsewhere it is merely free now.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind((HOST, 0))
        self.number: int = self._socket.getsockname()[1]
        if sys.platform == "linux":
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # set earlier, `bind` might share one
        else:
            self._socket.close()

    def close(self) -> None:
        """Give it back. Harmless when repeated."""
        self._socket.close()


class Shelter:
    """A temporary directory and the program that runs in it, both gone at the latest when this interpreter is.

    However it ends: `atexit` knows nothing of signals and `os._exit`, but the end of a pipe tells the keeper.
    """

    def __init__(self, account: pwd.struct_passwd | None, abrupt: signal.Signals) -> None:
        self.account = account
        self._abrupt = abrupt
        self._owner = os.getpid()
        self._inhabitant: subprocess.Popen[bytes] | None = None
        self.path = Path(tempfile.mkdtemp(prefix="sagabus-"))
        self._log = self.path / "log"
        if account is not None:
            os.chown(self.path, account.pw_uid, account.pw_gid)
        self._keeper = subprocess.Popen(  # noqa: S603  # this very file
            [sys.executable, "-I", "-S", __file__, str(self.path), str(int(abrupt))],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt from the keyboard is not for it
        )
        atexit.register(self.close)

    def settle(self, command: Sequence[str]) -> None:
        """Start a program here, which is then the inhabitant."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OF_SERVERS)}
        account = self.account
        with self._log.open("ab") as log:
            self._inhabitant = subprocess.Popen(  # noqa: S603  # our own
                command,
                cwd=self.path,
                env=kept | {"HOME": str(self.path), "TMPDIR": str(self.path), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=account and account.pw_uid,
                group=account and account.pw_gid,
                extra_groups=[] if account else None,
            )
        self._tell_keeper(self._inhabitant.pid)

    def run(self, command: Sequence[str]) -> None:
        """Run a program to its end. When it fails, the shelter is closed, and that raises ServerFailed."""
        self.settle(command)
        until(lambda: not self.is_inhabited, _RUN)
        if self._inhabitant is None or self._inhabitant.returncode != 0:
            said = self.end_of_log()
            self.close()
            raise ServerFailed(f"{' '.join(command)} failed, or took more than {_RUN:.0f} s\n{said}")

    @property
    def is_inhabited(self) -> bool:
        """Whether the inhabitant has not ended. A frozen one has not."""
        return self._inhabitant is not None and self._inhabitant.poll() is None

    def freeze(self) -> None:
        """Stop every process of the inhabitant; all stand still when it returns."""
        if self._inhabitant is not None and self.is_inhabited:
            _freeze(self._inhabitant.pid)

    def thaw(self) -> None:
        """Let them go on. Harmless when they are not stopped."""
        if self._inhabitant is not None and self.is_inhabited:
            _thaw(self._inhabitant.pid)

    def end(self, how: signal.Signals, *, patience: float = 0) -> bool:
        """Send the inhabitant a signal; what has not ended in time is killed: then False."""
        if self._inhabitant is None or not self.is_inhabited:
            return True
        obeyed = _end(self._inhabitant.pid, how, patience)
        self._inhabitant.wait(_DEATH)
        self._tell_keeper(0)
        return obeyed

    def close(self) -> None:
        """End what runs here, without regard for its files, and remove them. Harmless when repeated."""
        atexit.unregister(self.close)
        if os.getpid() != self._owner:
            return  # a forked child has inherited our exit functions, but not our servers
        self.end(self._abrupt, patience=_ABRUPT)
        self._keeper.kill()
        self._keeper.communicate()
        shutil.rmtree(self.path, ignore_errors=True)

    def end_of_log(self) -> str:
        """What was said here last."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(lines[-_LAST_LINES:])

    def _tell_keeper(self, leader: int) -> None:
        if self._keeper.stdin is not None:
            with suppress(BrokenPipeError):  # a killed keeper is missed only if this process is killed, too
                self._keeper.stdin.write(b"%d\n" % leader)


def until(claim: Callable[[], bool], limit: float) -> bool:
    """Wait until a claim holds, at most `limit` seconds; whether it does."""
    end = time.monotonic() + limit
    while not (holds := claim()) and time.monotonic() < end:
        time.sleep(0.005)
    return holds


def _end(leader: int, how: signal.Signals, patience: float) -> bool:
    if how != signal.SIGKILL:
        _thaw(leader)
        _signal(leader, how)
        if until(lambda: _are([leader], _OVER), patience):
            return True
    _freeze(leader)  # so that no child is born while we look for them
    family = _family(leader)
    for process in family:
        _signal(process, signal.SIGKILL)
    until(lambda: _are(family, _OVER), _DEATH)
    return how == signal.SIGKILL


def _freeze(leader: int) -> None:
    _signal(leader, signal.SIGSTOP)
    until(lambda: _are([leader], _STOPPED | _OVER), _DEATH)
    family = _family(leader)
    for process in family:
        _signal(process, signal.SIGSTOP)
    until(lambda: _are(family, _STOPPED | _OVER), _DEATH)


def _thaw(leader: int) -> None:
    for process in reversed(_family(leader)):
        _signal(process, signal.SIGCONT)


def _signal(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


def _family(leader: int) -> list[int]:
    """A process, its children, theirs, and so on. A process group would not do: PostgreSQL's each have their own."""
    processes = _processes()
    found = [leader]
    for member in found:
        found.extend(process for process, (parent, _) in processes.items() if parent == member)
    return found


def _are(family: Sequence[int], states: frozenset[str]) -> bool:
    processes = _processes(family)
    return all(processes.get(member, (0, "X"))[1] in states for member in family)


def _processes(wanted: Sequence[int] | None = None) -> dict[int, tuple[int, str]]:
    """Parent and state of each process, or of those wanted that exist."""
    found: dict[int, tuple[int, str]] = {}
    if sys.platform != "linux":
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,state="], capture_output=True, check=True)  # noqa: S607
        for process, parent, state in map(str.split, listing.stdout.decode().splitlines()):
            found[int(process)] = int(parent), state[0]
        return found
    for process in _numbers() if wanted is None else wanted:
        with suppress(OSError):  # it has ended since
            found[process] = _process(process)
    return found


def _numbers() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _process(number: int) -> tuple[int, str]:
    fields = Path(f"/proc/{number}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    # A process is not over with its first thread: while another one lives, its ports and files are open.
    return int(fields[1]), "D" if fields[0] == "Z" and int(fields[_THREADS]) > 1 else fields[0]


def _keep(folder: str, abrupt: int) -> None:
    """Note what lives in a sandbox until its process has ended. Then end it and remove the directory."""
    leader = 0
    for line in sys.stdin:
        leader = int(line)
    if leader:
        _end(leader, signal.Signals(abrupt), _ABRUPT)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _keep(sys.argv[1], int(sys.argv[2]))
