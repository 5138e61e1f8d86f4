"""Databases that ask for a password, on private servers: it is changed, and connections are ended, from their side."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from tests.support.databases import stranger
from tests.support.private_servers import require

from sagabus.testing.servers import PrivateMariaDB, PrivatePostgres, PrivateServer

_HBA = """
host all postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""


class GuardedDatabase(ABC):
    """A database of its own, and a user who needs a password for it."""

    kind: ClassVar[str]
    refusal: ClassVar[str]
    """What is in the error of a wrong password."""

    def __init__(self, server: PrivateServer) -> None:
        self.server = server
        self.name = f"test_{uuid4().hex[:12]}"
        self.user = f"user_{uuid4().hex[:12]}"
        self._make()
        self.run(f"CREATE TABLE {self.name}.ledger (id varchar(64))")

    @property
    def place(self) -> str:
        """What is behind the login in the URL of a bus."""
        return self.server.url.partition("@")[2].partition("/")[0] + f"/{self._path}"

    def url(self, options: str = "", login: str = "") -> str:
        """Of a bus."""
        scheme = self.server.url.partition(":")[0]
        return f"{scheme}://{login or self.user}@{self.place}{'&' if '?' in self.place else '?'}{options}"

    @abstractmethod
    def change(self, password: str) -> None:
        """New connections need this one."""

    @abstractmethod
    def shut_out(self, how: str) -> str:
        """The user may not connect until `let_in`: `locked`, or the password has `expired`. What the error says."""

    @abstractmethod
    def let_in(self) -> None:
        """Undo that."""

    @abstractmethod
    def end_connections(self) -> None:
        """The server ends those of the user."""

    def rows(self) -> list[str]:
        """What is in the ledger, in order."""
        return [str(row[0]) for row in self.run(f"SELECT id FROM {self.name}.ledger ORDER BY id")]

    def run(self, sql: str) -> Sequence[tuple[Any, ...]]:
        """Run statements as the server's administrator."""
        connection = stranger(self.server.url)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    @property
    @abstractmethod
    def _path(self) -> str: ...

    @abstractmethod
    def _make(self) -> None: ...


class GuardedPostgres(GuardedDatabase):
    kind = "postgres"
    refusal = "password authentication failed"

    @property
    def _path(self) -> str:
        return f"postgres?schema={self.name}&search_path={self.name}"

    def _make(self) -> None:
        self.run(f"CREATE ROLE {self.user} LOGIN; CREATE SCHEMA {self.name}")
        self.run(f"ALTER DEFAULT PRIVILEGES IN SCHEMA {self.name} GRANT ALL ON TABLES TO {self.user}")
        self.run(f"GRANT ALL ON SCHEMA {self.name} TO {self.user}")

    def change(self, password: str) -> None:
        self.run(f"ALTER ROLE {self.user} PASSWORD '{password}'")

    def shut_out(self, how: str) -> str:
        told = {"locked": "NOLOGIN", "expired": "VALID UNTIL '2020-01-01'"}
        self.run(f"ALTER ROLE {self.user} {told[how]}")
        return {"locked": "not permitted to log in", "expired": self.refusal}[how]

    def let_in(self) -> None:
        self.run(f"ALTER ROLE {self.user} LOGIN VALID UNTIL 'infinity'")

    def end_connections(self) -> None:
        self.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{self.user}'")


class GuardedMysql(GuardedDatabase):
    kind = "mysql"
    refusal = "Access denied"

    @property
    def _path(self) -> str:
        return self.name

    def _make(self) -> None:
        self.run(f"CREATE DATABASE {self.name}")
        self.run(f"CREATE USER {self.user}@'127.0.0.1' IDENTIFIED BY 'unknown'")
        self.run(f"GRANT ALL ON {self.name}.* TO {self.user}@'127.0.0.1'")

    def change(self, password: str) -> None:
        self.password = password
        self.run(f"ALTER USER {self.user}@'127.0.0.1' IDENTIFIED BY '{password}'")

    def shut_out(self, how: str) -> str:
        told = {"locked": "ACCOUNT LOCK", "expired": "PASSWORD EXPIRE"}
        self.run(f"ALTER USER {self.user}@'127.0.0.1' {told[how]}")
        return {"locked": "account is locked", "expired": "must SET PASSWORD"}[how]

    def let_in(self) -> None:
        self.run(f"ALTER USER {self.user}@'127.0.0.1' ACCOUNT UNLOCK")
        self.change(self.password)

    def end_connections(self) -> None:
        self.run(f"KILL USER {self.user}@'127.0.0.1'")


class _GuardedServer(PrivatePostgres):
    """Trusts its administrator, and asks all others."""

    def _with_settings(self, folder: Path) -> Sequence[str]:
        rules = folder / "guard.conf"
        rules.write_text(_HBA, encoding="utf-8")
        rules.chmod(0o644)
        return [*super()._with_settings(folder), f"--hba_file={rules}"]


def guarded(kind: str) -> GuardedDatabase:
    """A database of the kind; skips on a laptop without the server."""
    require(PrivatePostgres if kind == "postgres" else PrivateMariaDB)
    return GuardedPostgres(_postgres()) if kind == "postgres" else GuardedMysql(_mysql())


@cache
def _postgres() -> PrivatePostgres:
    """Runs until this interpreter ends, and is gone then."""
    server = _GuardedServer()
    server.start()
    return server


@cache
def _mysql() -> PrivateMariaDB:
    server = PrivateMariaDB()
    server.start()
    return server
