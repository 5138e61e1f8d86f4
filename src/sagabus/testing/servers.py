"""Private database servers: started for one test or demonstration, killed and frozen at will, gone when it is over.

Each has a temporary directory and its own port of 127.0.0.1, and asks for no password on this machine. What is durable
in production is durable here. Needs a POSIX system and the server's own programs, but no driver.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import ClassVar, Self

from sagabus.testing.sandbox import HOST, ReservedPort, ServerFailed, Shelter, until

__all__ = ["PrivateMariaDB", "PrivatePostgres", "PrivateServer", "ServerFailed"]

_START = 60.0
_STOP = 30.0
_ATTEMPTS = 3


class PrivateServer(ABC):
    """A server of one's own; nothing that it did not start itself is ever touched.

    `settings` are the server's, and win over ours. Data and port are kept until `close`, or until the interpreter
    ends, in whichever way. All calls block; not for two threads at once.
    """

    _programs: ClassVar[tuple[str, ...]]
    _users: ClassVar[tuple[str, ...]]
    """Who may run it when we are root, as which servers refuse to run. In order of preference."""
    _polite: ClassVar[signal.Signals]
    """Stops it in good order without waiting for its clients."""
    _abrupt: ClassVar[signal.Signals]
    """Ends it at once, without regard for its data."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._settings = dict(settings or {})
        self._shelter: Shelter | None = None
        self._port: ReservedPort | None = None

    @classmethod
    def available(cls) -> bool:
        """Whether its programs are on this machine."""
        return all(map(_program, cls._programs))

    def start(self) -> None:
        """Ready for queries when it returns, on the port and with the data of last time, if there was one.

        Raises ServerFailed with the end of the server's log. Harmless when it runs.
        """
        if self._shelter is None:
            self._begin(_ATTEMPTS)
        elif not self.is_running:
            self._launch(self._shelter)

    def stop(self) -> None:
        """Ended in good order, all open transactions rolled back; the data are kept. A frozen one is thawed for it.

        One that takes too long is killed, and that raises ServerFailed. Harmless when it does not run.
        """
        shelter = self._shelter
        if shelter is not None and not shelter.end(self._polite, patience=_STOP):
            raise ServerFailed(f"{self} did not stop within {_STOP:.0f} s, and was killed\n{shelter.end_of_log()}")

    def kill(self) -> None:
        """Every process of it ended at once, without warning; the data are kept. Harmless when it does not run."""
        if self._shelter is not None:
            self._shelter.end(signal.SIGKILL)

    def restart(self, *, kill: bool = False) -> None:
        """Stop it, or kill it, and start it again on the same port with the same data."""
        if kill:
            self.kill()
        else:
            self.stop()
        self.start()

    def freeze(self) -> None:
        """Connections stay open, new ones are taken by the system, and nothing is answered until `thaw`.

        Raises ServerFailed when it does not run. Harmless when repeated.
        """
        self._running().freeze()

    def thaw(self) -> None:
        """It goes on as if nothing had happened.

        Raises ServerFailed when it does not run. Harmless when it is not frozen.
        """
        self._running().thaw()

    def close(self) -> None:
        """Ended, and its data removed. Harmless when repeated; a later start begins with new data."""
        shelter, self._shelter = self._shelter, None
        if shelter is not None:
            shelter.close()
        if self._port is not None:
            self._port.close()
            self._port = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended, by whatever cause. A frozen one runs."""
        return self._shelter is not None and self._shelter.is_inhabited

    @property
    def port(self) -> int:
        """Where it listens, or will listen; the same until `close`."""
        if self._port is None:
            self._port = ReservedPort()
        return self._port.number

    @property
    @abstractmethod
    def url(self) -> str:
        """What to connect to; the same until `close`."""

    def __str__(self) -> str:
        return f"{type(self).__name__} on port {self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @classmethod
    @abstractmethod
    def _initialise(cls, data: Path) -> Sequence[str]:
        """The command that makes a new database."""

    @abstractmethod
    def _serve(self, folder: Path) -> Sequence[str]:
        """The command that serves the database in the folder's `data`."""

    @abstractmethod
    def _greets(self, connection: socket.socket) -> bool:
        """Whether the other side speaks the protocol and is ready for queries."""

    @staticmethod
    def _path(program: str) -> str:
        """Where one of its programs is."""
        return str(_program(program))

    def _with_settings(self, folder: Path) -> Sequence[str]:
        """The command that serves, with the user's settings."""
        return [*self._serve(folder), *(f"--{name}={text}" for name, text in self._settings.items())]

    @classmethod
    def _new_shelter(cls) -> Shelter:
        if not cls.available():
            raise ServerFailed(f"{cls.__name__} needs {' and '.join(cls._programs)}, which are not on this machine")
        return Shelter(_account(cls._users), cls._abrupt)

    @classmethod
    @cache
    def _template(cls) -> Shelter:
        """A new database, once per interpreter: to copy it takes a tenth of the time."""
        shelter = cls._new_shelter()
        shelter.run(cls._initialise(shelter.path / "data"))
        return shelter

    def _begin(self, attempts: int) -> None:
        try:
            template, shelter = self._template(), self._new_shelter()
            self._shelter = shelter
            shelter.run(["cp", "-Rp", str(template.path / "data"), str(shelter.path)])
            self._launch(shelter)
        except ServerFailed:
            port = self.port
            self.close()
            # Only if a port cannot be reserved, another program may have taken it.
            if attempts == 1 or not _is_taken(port):
                raise
            self._begin(attempts - 1)

    def _launch(self, shelter: Shelter) -> None:
        shelter.settle(self._with_settings(shelter.path))
        if until(lambda: not shelter.is_inhabited or self._answers(), _START) and shelter.is_inhabited:
            return
        self.kill()
        raise ServerFailed(f"{self} ended, or was not ready within {_START:.0f} s\n{shelter.end_of_log()}")

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection((HOST, self.port), timeout=1) as connection:
            return self._greets(connection)
        return False

    def _running(self) -> Shelter:
        if self._shelter is None or not self.is_running:
            raise ServerFailed(f"{self} does not run")
        return self._shelter


class PrivatePostgres(PrivateServer):
    """A PostgreSQL with the superuser `postgres` and the database `postgres`, in UTF-8 and the locale C."""

    _programs = ("initdb", "postgres")
    _users = ("postgres",)
    _polite = signal.SIGINT
    _abrupt = signal.SIGQUIT

    @property
    def url(self) -> str:
        """What to connect to; the same until `close`."""
        return f"postgresql://postgres@{HOST}:{self.port}/postgres"

    def kill(self) -> None:
        """Every process of it ended at once, without warning; the data are kept. Harmless when it does not run."""
        super().kill()
        self._free_memory()

    @classmethod
    def _initialise(cls, data: Path) -> Sequence[str]:
        options = "--no-sync --no-locale --encoding=UTF8 --auth=trust --username=postgres"
        return [str(_program("initdb")), *options.split(), f"--pgdata={data}"]

    def _serve(self, folder: Path) -> Sequence[str]:
        return [
            *(str(_program("postgres")), "-D", str(folder / "data")),
            f"--port={self.port}",
            f"--listen_addresses={HOST}",
            "--unix_socket_directories=",
            "--shared_buffers=16MB",
            "--fsync=on",
            "--synchronous_commit=on",
        ]

    def _greets(self, connection: socket.socket) -> bool:
        startup = b"\0\3\0\0user\0postgres\0database\0postgres\0\0"
        connection.sendall((len(startup) + 4).to_bytes(4, "big") + startup)
        reply = b""
        while chunk := connection.recv(4096):
            reply += chunk
            if reply[-6:-1] == b"Z\0\0\0\5":  # ready for query
                connection.sendall(b"X\0\0\0\4")
                return True
        return False

    def _free_memory(self) -> None:
        # The system keeps the shared memory of a killed PostgreSQL until it is removed, and has a few thousand
        # segments.
        remover = shutil.which("ipcrm")
        if self._shelter is None or self.is_running or remover is None:
            return
        with suppress(OSError, IndexError):
            lock = (self._shelter.path / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            memory = lock[6].split()[1]
            subprocess.run([remover, "-m", memory], capture_output=True, check=False)  # noqa: S603  # its own


class PrivateMariaDB(PrivateServer):
    """A MariaDB with the superuser `root` and the empty database `test`, in utf8mb4."""

    _programs = ("mariadb-install-db", "mariadbd")
    _users = ("mysql",)
    _polite = signal.SIGTERM
    _abrupt = signal.SIGKILL
    _storage: ClassVar[tuple[str, ...]] = (
        "--innodb-buffer-pool-size=16M",
        "--innodb-log-file-size=16M",
        "--innodb-flush-method=fsync",  # the default bypasses the cache, which not every file system allows
        "--innodb-use-native-aio=0",  # the system has few, and other servers need some
    )

    @property
    def url(self) -> str:
        """What to connect to; the same until `close`."""
        return f"mysql://root@{HOST}:{self.port}/test"

    @classmethod
    def _initialise(cls, data: Path) -> Sequence[str]:
        options = "--no-defaults --auth-root-authentication-method=normal --skip-name-resolve"
        return [str(_program("mariadb-install-db")), *options.split(), f"--datadir={data}", *cls._storage]

    def _serve(self, folder: Path) -> Sequence[str]:
        return [
            *(str(_program("mariadbd")), "--no-defaults", f"--datadir={folder / 'data'}"),
            f"--port={self.port}",
            f"--bind-address={HOST}",
            f"--socket={folder / 'socket'}",
            f"--pid-file={folder / 'pid'}",
            f"--tmpdir={folder}",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--innodb-flush-log-at-trx-commit=1",
            "--key-buffer-size=1M",
            "--aria-pagecache-buffer-size=8M",
            *self._storage,
        ]

    def _greets(self, connection: socket.socket) -> bool:
        return connection.recv(5)[4:] == b"\x0a"  # the version of the protocol; errors have 0xff there


def _program(name: str) -> str | None:
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda path: [int(number) for number in re.findall(r"\d+", path.parent.name)],
        reverse=True,
    )
    places = [os.environ.get("PATH", os.defpath), *map(str, versions), "/usr/sbin"]
    return shutil.which(name, path=os.pathsep.join(places))


def _account(preferred: tuple[str, ...]) -> pwd.struct_passwd | None:
    """Whose rights a server is given; None: it has ours."""
    if os.geteuid() != 0:
        return None
    for name in preferred:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    return pwd.getpwnam("nobody")


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
