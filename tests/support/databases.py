"""Where a bus keeps its rows in a test, one class for each kind of store, and what else is there read by other means.

Servers are given by URL: one that is absent skips on a laptop and fails in continuous integration. Its tables are made
once per process (a schema of PostgreSQL's, a prefix for MySQL) and emptied after each test.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit
from uuid import uuid4

import psycopg
import pymysql
import pytest
from pymysql.constants import CLIENT

POSTGRES = os.environ.get("SAGABUS_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/test")
MYSQL = os.environ.get("SAGABUS_TEST_MYSQL", "mysql://root@127.0.0.1:3306/test")
LEDGER = "CREATE TABLE ledger (id TEXT, amount INTEGER CHECK (amount >= 0))"

KINDS = {"sqlite": "sqlite", "postgresql": "postgres", "mysql": "mysql"}
_OF_A_BUS = ("schema", "prefix", "pool", "deadline", "pooler", "notify", "search_path", "synchronous_commit")
"""What is said in a bus's URL, and not to other drivers."""
_USERS = re.compile(r"(?<!\.)\b(ledger|placed|turn|done|campaign_[a-z]+)\b")
"""The tables of the user's that there are in tests; not where a statement names their database."""
_TABLE = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)")
_CHANGES = re.compile(r"\s*(DELETE|UPDATE|INSERT|ALTER|DROP INDEX)\b")


class Words:
    """The user's SQL, written once with `?`, in the words of the database that a URL names."""

    def __init__(self, url: str) -> None:
        self.kind = KINDS[urlsplit(url).scheme]
        self._prefix = dict(parse_qsl(urlsplit(url).query)).get("prefix", "")
        self.lock = "" if self.kind == "sqlite" else " FOR UPDATE"
        """Behind a SELECT: the row will be changed."""

    def sql(self, text: str) -> str:
        """A statement as the bus's driver takes it."""
        if self.kind == "postgres":
            first, *others = text.split("?")
            return first + "".join(f"${number}{part}" for number, part in enumerate(others, 1))
        return self.local(text) if self.kind == "mysql" else text

    def say(self, text: str) -> str:
        """The same, as campaigns ask for it."""
        return self.sql(text)

    def local(self, text: str) -> str:
        """A statement as our own driver takes it; a prefix is put before the user's tables as well."""
        if self.kind == "mysql":
            text = _USERS.sub(rf"users_{self._prefix}\1", text)
        return text if self.kind == "sqlite" else text.replace("?", "%s")

    async def execute(self, connection: Any, sql: str, parameters: Sequence[object] = ()) -> Any:
        """Run one statement on a connection lent by the bus, be it one that answers at once or one to be awaited."""
        found = connection.execute(self.sql(sql), parameters)
        return await found if inspect.isawaitable(found) else found


class Database(ABC):
    """A place for one bus at a time, and what is in it."""

    kind: ClassVar[str]
    is_server: ClassVar[bool] = True

    def __init__(self) -> None:
        self.tables: list[str] = []
        """The user's own."""

    @property
    @abstractmethod
    def url(self) -> str:
        """What a bus is given."""

    @cached_property
    def words(self) -> Words:
        """How SQL is written here."""
        return Words(self.url)

    def sql(self, text: str) -> str:
        """A statement of the user's as the bus's driver takes it."""
        return self.words.sql(text)

    def run(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and commit; its rows. On an event loop, it may change nothing: that is for `change`."""
        assert not (_CHANGES.match(sql) and _is_on_a_loop()), "await database.change(...) on an event loop"
        return self._run(sql, parameters)

    async def change(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """The same from an event loop: a bus on it goes on meanwhile, and ends the transaction that has the lock."""
        await asyncio.to_thread(self._run, sql, parameters)

    @abstractmethod
    def _run(self, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]: ...

    def make(self, *statements: str) -> None:
        """Create tables of the user's own; by default the ledger, without a key."""
        for statement in statements or (LEDGER,):
            (name,) = _TABLE.findall(statement)
            self.tables.append(name)
            self.run(statement)

    def rows(self, columns: str = "id, amount", table: str = "ledger") -> list[tuple[Any, ...]]:
        """What is committed in a table of the user's, in order."""
        return sorted(self.run(f"SELECT {columns} FROM {table}"))

    @abstractmethod
    def own(self, table: str) -> str:
        """The name of a table of the bus."""

    def of_bus(self, table: str, columns: str = "*", where: str = "") -> list[tuple[Any, ...]]:
        """What is committed in a table of the bus."""
        return self.run(f"SELECT {columns} FROM {self.own(table)} {where}")

    async def execute(self, connection: Any, sql: str, parameters: Sequence[object] = ()) -> Any:
        """Run one statement on a connection lent by the bus."""
        return await self.words.execute(connection, sql, parameters)

    @abstractmethod
    def clear(self) -> None:
        """Leave nothing behind for the next test."""


class SqliteDatabase(Database):
    """A file."""

    kind = "sqlite"
    is_server = False

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def _run(self, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.text_factory = lambda raw: raw.decode(errors="backslashreplace")  # some tests damage a text
            return connection.execute(sql, parameters).fetchall()

    def own(self, table: str) -> str:
        return f"sagabus_{table}"

    def clear(self) -> None:
        self.tables.clear()
        for file in self.path.parent.glob(f"{self.path.name}*"):
            file.unlink()


class ServerDatabase(Database):
    """Tables on a server, made once and emptied after each test. `keep` one connection, or take a new one each time."""

    def __init__(self, server: str, *, keep: bool = True) -> None:
        super().__init__()
        self.name = f"test_{uuid4().hex[:12]}"
        self.server = server
        self._keep = keep
        self.options = ""
        """More for the bus's URL."""
        self._kept: Any = None

    @abstractmethod
    def _connect(self) -> Any:
        """A connection by another driver than the bus's, that commits each statement."""

    def _run(self, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        connection, self._kept = self._kept or self._connect(), None
        try:
            with connection.cursor() as cursor:
                cursor.execute(self.words.local(sql), tuple(parameters) or None)
                found = list(cursor.fetchall()) if cursor.description else []
            self._kept = connection if self._keep else None
            return found
        finally:
            if self._kept is None:  # after a failure too: it may be in the middle of a transaction
                connection.close()

    def clear(self) -> None:
        made = set(self.tables_of_bus())
        statements = [f"DELETE FROM {table}" for table in made - {self.own("schema_version"), self.own("meta")}]
        if made:
            statements.append(f"DELETE FROM {self.own('meta')} WHERE name = 'lanes'")
            statements.append(f"UPDATE {self.own('meta')} SET value = 1 WHERE name = 'routing'")
        if statements:
            self.run("; ".join(["BEGIN", *statements, "COMMIT"]))
        for table in self.tables:
            self.run(f"DROP TABLE IF EXISTS {table}")
        self.tables.clear()

    @abstractmethod
    def tables_of_bus(self) -> list[str]:
        """Those that have been made."""

    def close(self) -> None:
        """Leave nothing behind at all."""
        if self._kept is not None:
            self._kept.close()


class PostgresDatabase(ServerDatabase):
    """A schema; the user's tables are in it as well, and are found in it."""

    kind = "postgres"

    def __init__(self, server: str = POSTGRES, *, keep: bool = True) -> None:
        super().__init__(server, keep=keep)
        self.run(f"CREATE SCHEMA {self.name}")

    @property
    def url(self) -> str:
        return self.url_at(self.server)

    def url_at(self, server: str) -> str:
        """The same tables, as they are reached through another address of the server."""
        return _with_options(server, f"schema={self.name}&search_path={self.name}", self.options)

    def own(self, table: str) -> str:
        return f"{self.name}.sagabus_{table}"

    def tables_of_bus(self) -> list[str]:
        find = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = ?::regnamespace"
        return [f"{self.name}.{table}" for (table,) in self.run(find, [self.name]) if table.startswith("sagabus_")]

    def close(self) -> None:
        self.run(f"DROP SCHEMA IF EXISTS {self.name} CASCADE")
        super().close()

    def _connect(self) -> Any:
        return stranger(self.url)


class MysqlDatabase(ServerDatabase):
    """A prefix; the user's tables have one as well, which is put before their names."""

    kind = "mysql"

    def __init__(self, server: str = MYSQL, *, keep: bool = True) -> None:
        super().__init__(server, keep=keep)

    @property
    def url(self) -> str:
        return self.url_at(self.server)

    def url_at(self, server: str) -> str:
        """The same tables, as they are reached through another address of the server."""
        return _with_options(server, f"prefix={self.name}_", self.options)

    def own(self, table: str) -> str:
        return f"{self.name}_{table}"

    def tables_of_bus(self) -> list[str]:
        find = "SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name LIKE ?"
        return [table for (table,) in self.run(find, [self.own("%").replace("_", r"\_")])]

    def close(self) -> None:
        for table in self.tables_of_bus():
            self.run(f"DROP TABLE {table}")
        super().close()

    def _connect(self) -> Any:
        return stranger(self.url)


class WholeMysqlDatabase(MysqlDatabase):
    """A database of its own, where the bus's tables have the names that they have without options."""

    def __init__(self, server: str = MYSQL) -> None:
        super().__init__(server)
        _on_mysql(server, f"CREATE DATABASE {self.name}")

    def url_at(self, server: str) -> str:
        return urlsplit(server)._replace(path=f"/{self.name}").geturl()

    def own(self, table: str) -> str:
        return f"sagabus_{table}"

    def close(self) -> None:
        super().close()
        _on_mysql(self.server, f"DROP DATABASE {self.name}")


SERVERS: dict[str, type[PostgresDatabase | MysqlDatabase]] = {"postgres": PostgresDatabase, "mysql": MysqlDatabase}


def server_database(kind: str) -> ServerDatabase:
    """Tables on the server of a kind; without one the test is skipped, and fails in continuous integration.

    No power will fail there.
    """
    try:
        database = SERVERS[kind]()
        database.options = "synchronous_commit=off" if kind == "postgres" else ""
        database.run("SELECT 1")
        return database
    except (psycopg.OperationalError, pymysql.err.OperationalError) as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no server for {kind}: {error}")


@contextmanager
def fresh_database(kind: str, folder: Path) -> Iterator[Database]:
    """A place where nothing has been yet, not even the bus's tables; gone afterwards."""
    if kind == "sqlite":
        yield SqliteDatabase(folder / "fresh.db")
        return
    database = server_database(kind)
    try:
        yield database
    finally:
        database.clear()
        database.close()


@contextmanager
def own_database(kind: str) -> Iterator[str]:
    """The address of a new database, gone afterwards. Without a server the test is skipped; in CI it fails."""
    server = {"postgres": POSTGRES, "mysql": MYSQL}[kind]
    name = f"test_{uuid4().hex[:12]}"
    run = {"postgres": _on_postgres, "mysql": _on_mysql}[kind]
    try:
        run(server, f"CREATE DATABASE {name}")
    except (psycopg.OperationalError, pymysql.err.OperationalError) as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no server for {kind}: {error}")
    try:
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        run(server, f"DROP DATABASE {name}{' WITH (FORCE)' if kind == 'postgres' else ''}")


def stranger(url: str) -> Any:
    """A connection by another driver than the bus's to where a URL points; on a server it commits each statement."""
    place = urlsplit(url)
    kind = KINDS[place.scheme]
    if kind == "sqlite":
        return sqlite3.connect(place.path[1:])
    if kind == "postgres":
        told = dict(parse_qsl(place.query))
        options = f"-c search_path={told.get('schema', 'public')} -c client_min_messages=error"
        server = place._replace(query=urlencode({name: told[name] for name in told if name not in _OF_A_BUS})).geturl()
        # Tables of one name are made anew with other columns: a plan that is kept would be refused.
        return psycopg.connect(server, autocommit=True, connect_timeout=10, options=options, prepare_threshold=None)
    return pymysql.connect(
        host=place.hostname,
        port=place.port or 3306,
        user=unquote(place.username or ""),
        password=unquote(place.password or ""),
        database=place.path[1:],
        autocommit=True,
        connect_timeout=10,
        client_flag=CLIENT.MULTI_STATEMENTS,
    )


def _is_on_a_loop() -> bool:
    with suppress(RuntimeError):
        return asyncio.get_running_loop().is_running()
    return False


def _with_options(server: str, *options: str) -> str:
    return server + ("&" if "?" in server else "?") + "&".join(filter(None, options))


def _on_postgres(server: str, sql: str) -> None:
    with psycopg.connect(server, autocommit=True, connect_timeout=10) as connection:
        connection.execute(sql.encode())


def _on_mysql(server: str, sql: str) -> None:
    place = urlsplit(server)
    connection = pymysql.connect(
        host=place.hostname,
        port=place.port or 3306,
        user=unquote(place.username or ""),
        password=unquote(place.password or ""),
        connect_timeout=10,
    )
    connection.query(sql)
    connection.close()
