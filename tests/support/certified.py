"""Servers that show a certificate and ask for the client's, both of which are replaced while they run."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from tests.faults.proxy import Proxy
from tests.support.certificates import made, sign
from tests.support.databases import stranger
from tests.support.guarded_brokers import reload
from tests.support.private_servers import require

from sagabus.testing.brokers import PrivateNats, PrivateRabbitMQ, PrivateRedis
from sagabus.testing.sandbox import ReservedPort
from sagabus.testing.servers import PrivateMariaDB, PrivatePostgres, PrivateServer

_HBA = """
host all postgres 127.0.0.1/32 trust
hostssl all all 127.0.0.1/32 trust clientcert=verify-ca
"""
Settings = Callable[[Path, int], Mapping[str, str]]


class Files:
    """Of one side: `ca.pem`, `cert.pem` and `key.pem` in a folder, by the first authority until they are replaced."""

    def __init__(self, folder: Path, made: Path, name: str, owner: str) -> None:
        self.folder, self._made, self._name, self._owner = folder, made, name, owner
        folder.mkdir()
        folder.chmod(0o755)
        self.replace("authority")

    def replace(self, authority: str, only: Sequence[str] = ("ca", "cert", "key")) -> None:
        """Take those that this authority has signed. Each is replaced in one step."""
        name = self._name if authority == "authority" else f"{self._name}-new"
        sources = {"ca": f"{authority}.pem", "cert": f"{name}.pem", "key": f"{name}.key"}
        for kind in only:
            new = Path(shutil.copy(self._made / sources[kind], self.folder / "new"))
            new.chmod(0o600)
            with suppress(LookupError, PermissionError):
                shutil.chown(new, self._owner)
            new.replace(self.folder / f"{kind}.pem")


class Certified:
    """One server."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        server, self._settings = KINDS[kind]
        require(server)
        for name, names in (("server-new", "IP:127.0.0.1"), ("client-new", "DNS:client")):
            sign(folder, name, "stranger", names)
        self.client = Files(folder / "of-client", folder, "client", "root")
        self._files = Files(folder / "of-server", folder, "server", server._users[0])
        self._port = ReservedPort()
        settings = self._settings(self._files.folder, self._port.number)
        self.server: Any = _Guarded(settings) if server is PrivatePostgres else server(settings)
        self.proxy: Proxy | None = None

    @property
    def port(self) -> int:
        """Where it speaks TLS."""
        if self.proxy is not None:
            return self.proxy.port
        return self._port.number if self.kind in ("redis", "rabbitmq") else int(self.server.port)

    @asynccontextmanager
    async def reached(self) -> AsyncIterator[None]:
        """Be there in this event loop. A NATS goes on with connections by certificates of before: a proxy ends them."""
        if self.kind != "nats":
            yield
            return
        async with Proxy("127.0.0.1", self.server.port) as self.proxy:
            yield

    async def replace(self) -> None:
        """Show, and ask for, certificates of another authority; end the connections that there are."""
        self._files.replace("stranger")
        await _RELOADS[self.kind](self)

    def close(self) -> None:
        self.server.close()
        self._port.close()


class _Guarded(PrivatePostgres):
    def _with_settings(self, folder: Path) -> Sequence[str]:
        rules = folder / "guard.conf"
        rules.write_text(_HBA, encoding="utf-8")
        rules.chmod(0o644)
        return [*super()._with_settings(folder), f"--hba_file={rules}"]


def _run(server: Any, *statements: str) -> list[Any]:
    connection = stranger(server.url)
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


async def _reload_postgres(found: Certified) -> None:
    _run(
        found.server,
        "SELECT pg_reload_conf()",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'",
    )


async def _reload_mysql(found: Certified) -> None:
    _run(found.server, "FLUSH SSL", "KILL USER app@'127.0.0.1'")


async def _reload_nats(found: Certified) -> None:
    await reload(found.server)
    assert found.proxy is not None
    found.proxy.cut()


async def _reload_redis(found: Certified) -> None:
    folder = found._files.folder
    async with Redis.from_url(found.server.url) as operator:
        files = {"cert-file": "cert", "key-file": "key", "ca-cert-file": "ca"}
        pairs = [part for name, file in files.items() for part in (f"tls-{name}", f"{folder}/{file}.pem")]
        await operator.execute_command("CONFIG", "SET", *pairs)
        await operator.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


async def _reload_rabbitmq(found: Certified) -> None:
    await asyncio.to_thread(found.server.control, "eval", "ssl:clear_pem_cache().")
    await asyncio.to_thread(found.server.control, "close_all_connections", "replaced")


_RELOADS: dict[str, Callable[[Certified], Any]] = {
    "postgres": _reload_postgres,
    "mysql": _reload_mysql,
    "nats": _reload_nats,
    "redis": _reload_redis,
    "rabbitmq": _reload_rabbitmq,
}
KINDS: dict[str, tuple[type[PrivateServer], Settings]] = {
    "postgres": (
        PrivatePostgres,
        lambda at, _: {
            "ssl": "on",
            "ssl_ca_file": f"{at}/ca.pem",
            "ssl_cert_file": f"{at}/cert.pem",
            "ssl_key_file": f"{at}/key.pem",
        },
    ),
    "mysql": (
        PrivateMariaDB,
        lambda at, _: {"ssl-ca": f"{at}/ca.pem", "ssl-cert": f"{at}/cert.pem", "ssl-key": f"{at}/key.pem"},
    ),
    "nats": (
        PrivateNats,
        lambda at, _: {
            "tls": f'{{ cert_file: "{at}/cert.pem", key_file: "{at}/key.pem", ca_file: "{at}/ca.pem", verify: true }}'
        },
    ),
    "redis": (
        PrivateRedis,
        lambda at, port: {
            "tls-port": str(port),
            "tls-cert-file": f"{at}/cert.pem",
            "tls-key-file": f"{at}/key.pem",
            "tls-ca-cert-file": f"{at}/ca.pem",
            "tls-auth-clients": "yes",
        },
    ),
    "rabbitmq": (
        PrivateRabbitMQ,
        lambda at, port: {
            "listeners.ssl.local": f"127.0.0.1:{port}",
            "ssl_options.cacertfile": f"{at}/ca.pem",
            "ssl_options.certfile": f"{at}/cert.pem",
            "ssl_options.keyfile": f"{at}/key.pem",
            "ssl_options.verify": "verify_peer",
            "ssl_options.fail_if_no_peer_cert": "true",
        },
    ),
}


@contextmanager
def certified(kind: str) -> Iterator[Certified]:
    """A server of the kind that runs; skips on a laptop without it."""
    with made() as folder:
        found = Certified(kind, folder)
        try:
            found.server.start()
            yield found
        finally:
            found.close()


def prepare(found: Certified) -> None:
    """On a database: the user `app`, who needs a certificate."""
    if found.kind == "postgres":
        _run(found.server, "CREATE ROLE app LOGIN", "GRANT ALL ON DATABASE postgres TO app", "CREATE SCHEMA bus")
        _run(found.server, "GRANT ALL ON SCHEMA bus TO app")
    else:
        _run(found.server, "CREATE USER app@'127.0.0.1' REQUIRE X509", "GRANT ALL ON test.* TO app@'127.0.0.1'")
