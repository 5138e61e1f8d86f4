"""Private brokers: as the databases of `sagabus.testing.servers`, started, killed and frozen at will."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

from sagabus.testing.sandbox import HOST, ReservedPort, ServerFailed
from sagabus.testing.servers import PrivateServer

__all__ = ["PrivateNats", "PrivateRabbitMQ", "PrivateRedis"]

_RABBITMQ = "SAGABUS_RABBITMQ"
"""The variable that names the folder with the programs of another RabbitMQ."""
_HELLO = b"AMQP\0\0\x09\x01"
_METHOD = b"\x01"
_CONTROL = 60.0
_NATS = "SAGABUS_NATS_SERVER"
"""The variable that names the program of another NATS server."""
_REDIS = "SAGABUS_REDIS_SERVER"
"""The variable that names the program of another Redis, or of Valkey."""
# The port mapper of Erlang would leave the family and outlive the server: here it is a child, and ends with it.
_PROGRAM = (
    """trap 'kill -TERM "$server" 2>/dev/null' TERM""",
    '{epmd} -address {host} -port "$ERL_EPMD_PORT" & epmd=$!',
    'until {epmd} -port "$ERL_EPMD_PORT" -names >/dev/null 2>&1; do kill -0 $epmd || exit 1; sleep 0.02; done',
    "{server} & server=$!",
    "while kill -0 $server 2>/dev/null; do wait $server; status=$?; done",
    "kill $epmd; wait $epmd; exit $status",
)


class PrivateRabbitMQ(PrivateServer):
    """A RabbitMQ with the user `guest`, whose password is `guest`, and the `plugins` that are named.

    `settings` are lines of its `rabbitmq.conf`.
    """

    _programs = ("rabbitmq-server", "epmd", "erl")
    _users = ("rabbitmq",)
    _polite = signal.SIGTERM
    _abrupt = signal.SIGKILL
    _folder: ClassVar[Path] = Path(os.environ.get(_RABBITMQ, "/usr/lib/rabbitmq/bin"))
    """Where Debian has programs that may be run by any user, and write nothing outside of their folder."""

    def __init__(self, settings: Mapping[str, str] | None = None, plugins: Sequence[str] = ()) -> None:
        super().__init__(settings)
        self._plugins = tuple(plugins)
        self._others: tuple[ReservedPort, ReservedPort] | None = None

    @property
    def url(self) -> str:
        """What to connect to; the same until `close`."""
        return f"amqp://guest:guest@{HOST}:{self.port}/"

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl`; what it says. Takes more than a second. Raises ServerFailed when it fails."""
        shelter = self._running()
        said = subprocess.run(  # noqa: S603  # our own
            [self._tool("rabbitmqctl"), "--quiet", *arguments],
            env={**os.environ, **self._environment(shelter.path)},
            capture_output=True,
            text=True,
            timeout=_CONTROL,
            check=False,
            user=shelter.account and shelter.account.pw_uid,
            cwd=shelter.path,
        )
        if said.returncode:
            raise ServerFailed(f"rabbitmqctl {' '.join(arguments)}: {said.stderr or said.stdout}")
        return said.stdout

    def close(self) -> None:
        """Ended, and its data removed. Harmless when repeated; a later start begins with new data."""
        super().close()
        others, self._others = self._others, None
        for port in others or ():
            port.close()

    @classmethod
    def _initialise(cls, data: Path) -> Sequence[str]:
        return ["mkdir", str(data)]

    def _serve(self, folder: Path) -> Sequence[str]:
        program = "\n".join(_PROGRAM).format(epmd=self._path("epmd"), host=HOST, server=self._tool("rabbitmq-server"))
        exports = "".join(f"export {name}={shlex.quote(text)}\n" for name, text in self._environment(folder).items())
        return ["/bin/sh", "-c", exports + program]

    def _with_settings(self, folder: Path) -> Sequence[str]:
        lines = {"listeners.tcp.local": f"{HOST}:{self.port}", **self._settings}
        settings = folder / "rabbitmq.conf"
        settings.write_text("".join(f"{name} = {text}\n" for name, text in lines.items()), encoding="utf-8")
        settings.chmod(0o644)
        (folder / "enabled_plugins").write_text(f"[{','.join(self._plugins)}].\n", encoding="utf-8")
        return self._serve(folder)

    def _greets(self, connection: socket.socket) -> bool:
        connection.sendall(_HELLO)
        return connection.recv(1) == _METHOD

    def _environment(self, folder: Path) -> dict[str, str]:
        if self._others is None:
            self._others = ReservedPort(), ReservedPort()
        mapper, distribution = (str(port.number) for port in self._others)
        return {
            "HOME": str(folder),
            "ERL_EPMD_PORT": mapper,
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_NODENAME": "sagabus@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": distribution,
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_SCHEMA_DIR": str(folder / "schema"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            # Its distribution would listen on all interfaces otherwise.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
        }

    @classmethod
    def _tool(cls, name: str) -> str:
        of_debian = cls._folder / name
        return str(of_debian) if of_debian.exists() else cls._path(name)


class PrivateRedis(PrivateServer):
    """A Redis that writes every command to its disk before it answers, and asks for no password.

    `settings` are lines of its `redis.conf`.
    """

    _programs = (os.environ.get(_REDIS, "redis-server"),)
    _users = ("redis",)
    _polite = signal.SIGTERM
    _abrupt = signal.SIGKILL

    @property
    def url(self) -> str:
        """What to connect to; the same until `close`."""
        return f"redis://{HOST}:{self.port}/0"

    @classmethod
    def _initialise(cls, data: Path) -> Sequence[str]:
        return ["mkdir", str(data)]

    def _serve(self, folder: Path) -> Sequence[str]:
        lines = {
            "port": str(self.port),
            "bind": HOST,
            "dir": str(folder / "data"),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": '""',
            **self._settings,
        }
        settings = folder / "redis.conf"
        settings.write_text("".join(f"{name} {text}\n" for name, text in lines.items()), encoding="utf-8")
        settings.chmod(0o644)
        return [self._path(self._programs[0]), str(settings)]

    def _with_settings(self, folder: Path) -> Sequence[str]:
        return self._serve(folder)  # they stand in its file

    def _greets(self, connection: socket.socket) -> bool:
        connection.sendall(b"PING\r\n")
        return connection.recv(5) in {b"+PONG", b"-NOAU"}


class PrivateNats(PrivateServer):
    """A NATS server with JetStream, whose users need no password.

    It writes every message to the disk before it confirms it, where its version can: from 2.10 on. `settings` are
    lines of its configuration file.
    """

    _programs = (os.environ.get(_NATS, "nats-server"),)
    _users = ("nats",)
    _polite = signal.SIGTERM
    _abrupt = signal.SIGKILL

    @property
    def url(self) -> str:
        """What to connect to; the same until `close`."""
        return f"nats://{HOST}:{self.port}"

    @classmethod
    def version(cls) -> tuple[int, ...]:
        """Of the program, such as (2, 9, 10)."""
        return _version(cls._path(cls._programs[0]))

    @classmethod
    def _initialise(cls, data: Path) -> Sequence[str]:
        return ["mkdir", str(data)]

    def _serve(self, folder: Path) -> Sequence[str]:
        return [self._path(self._programs[0]), f"--config={folder / 'settings.conf'}"]

    def _with_settings(self, folder: Path) -> Sequence[str]:
        synced = "sync_interval: always" if self.version() >= (2, 10) else ""
        jetstream = f'{{ store_dir: "{folder / "data"}"\n {synced} }}'
        lines = {"listen": f"{HOST}:{self.port}", "jetstream": jetstream, **self._settings}
        settings = folder / "settings.conf"
        settings.write_text("".join(f"{name}: {text}\n" for name, text in lines.items()), encoding="utf-8")
        settings.chmod(0o644)
        return self._serve(folder)

    def _greets(self, connection: socket.socket) -> bool:
        return connection.recv(5) == b"INFO "


@cache
def _version(program: str) -> tuple[int, ...]:
    said = subprocess.run([program, "--version"], capture_output=True, check=True, text=True).stdout  # noqa: S603  # it names itself
    return tuple(map(int, re.findall(r"\d+", said)[:3]))
