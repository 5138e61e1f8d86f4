"""Where joined transactions are tried: tables of each test's own on each database, and connections of the user's."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit
from uuid import uuid4

import django
import pymysql
import pytest
from django.conf import settings
from django.db import connections, transaction
from django.utils.connection import ConnectionProxy
from sqlalchemy import NullPool, create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from tests.conftest import Take
from tests.support.databases import ServerDatabase

from sagabus.clock import Clock
from sagabus.store import Store
from sagabus.store_urls import store_from_url
from sagabus.stores.sqlite import SqliteStore


class OnServer:
    """Tables of a bus and a ledger of the user's on a server, made once and emptied after each test."""

    kind: ClassVar[str]
    placeholder = "%s"
    begin = "BEGIN"
    database: ServerDatabase

    @pytest.fixture(autouse=True)
    def own_tables(self, take: Take) -> None:
        database = take(self.kind)
        assert isinstance(database, ServerDatabase)
        self.database = database

    @property
    def ledger(self) -> str:
        raise NotImplementedError

    @property
    def insert_row(self) -> str:
        return f"INSERT INTO {self.ledger} (id) VALUES ({self.placeholder})"

    async def make_store(self, clock: Clock) -> Store:
        return store_from_url(self.database.url, clock, 16)

    async def same_store(self, clock: Clock) -> Store:
        return store_from_url(self.database.url, clock, 16)

    async def make_user_table(self) -> None:
        self.database.make("CREATE TABLE ledger (id VARCHAR(100) PRIMARY KEY)")

    async def user_rows(self) -> list[str]:
        return [row[0] for row in self.database.run("SELECT id FROM ledger ORDER BY id")]


class OnPostgres(OnServer):
    kind = "postgres"

    @property
    def ledger(self) -> str:
        return f"{self.database.name}.ledger"

    @property
    def dsn(self) -> Any:
        """The server, with nothing that finds the tables by itself."""
        return self.database.url.partition("?")[0]

    @property
    def strange_dsn(self) -> Any:
        """Another database of the server."""
        return self.dsn.rpartition("/")[0] + "/postgres"

    def django_settings(self, *, strange: bool) -> dict[str, Any]:
        return {"ENGINE": "django.db.backends.postgresql", **parts_of(self.strange_dsn if strange else self.dsn)}


class OnMysql(OnServer):
    kind = "mysql"

    @property
    def ledger(self) -> str:
        return f"users_{self.database.name}_ledger"

    def place(self, *, strange: bool = False) -> dict[str, Any]:
        """What the drivers are told."""
        parts = urlsplit(self.database.server)
        return {
            "host": parts.hostname,
            "port": parts.port or 3306,
            "user": parts.username or "",
            "password": parts.password or "",
            "database": "information_schema" if strange else parts.path[1:],
        }

    def pymysql(self, **options: Any) -> Any:
        return pymysql.connect(**{**self.place(), **options})

    def django_settings(self, *, strange: bool) -> dict[str, Any]:
        url = self.database.server
        url = url.rpartition("/")[0] + "/information_schema" if strange else url
        return {"ENGINE": "django.db.backends.mysql", **parts_of(url)}


def parts_of(url: str) -> dict[str, Any]:
    """An address as Django's settings have it."""
    parts = urlsplit(url)
    return {
        "NAME": parts.path[1:],
        "USER": parts.username or "",
        "PASSWORD": parts.password or "",
        "HOST": parts.hostname or "",
        "PORT": parts.port or "",
    }


class OnSqlite:
    """A file of each test's own."""

    placeholder = "?"
    begin = "BEGIN IMMEDIATE"
    insert_row = "INSERT INTO ledger (id) VALUES (?)"
    path: Path

    @pytest.fixture(autouse=True)
    def own_file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "bus.db"

    @property
    def strange_path(self) -> Path:
        return self.path.with_name("other.db")

    def django_settings(self, *, strange: bool) -> dict[str, Any]:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(self.strange_path if strange else self.path)}

    async def make_store(self, clock: Clock) -> Store:
        return SqliteStore(self.path, clock=clock)

    async def same_store(self, clock: Clock) -> Store:
        return SqliteStore(self.path, clock=clock)

    async def make_user_table(self) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("CREATE TABLE ledger (id TEXT PRIMARY KEY)")

    async def user_rows(self) -> list[str]:
        with closing(sqlite3.connect(self.path)) as connection:
            return [row[0] for row in connection.execute("SELECT id FROM ledger ORDER BY id")]


class BySession:
    """SQLAlchemy's `Session` on whatever database `engine_url` names."""

    begins_by_itself = True
    engine_url: Any
    strange_engine_url: Any

    def engine(self, url: str) -> Any:
        return create_engine(url, poolclass=NullPool)

    async def native_connection(self) -> Any:
        return Session(self.engine(self.engine_url))

    async def strange_connection(self) -> Any:
        return Session(self.engine(self.strange_engine_url))

    async def begin_native(self, connection: Any) -> None:
        connection.begin()

    async def execute(self, connection: Any, sql: str, parameters: Any = ()) -> None:
        connection.connection().exec_driver_sql(sql, tuple(parameters))

    async def end_native(self, connection: Any, *, commits: bool) -> None:
        (connection.commit if commits else connection.rollback)()

    async def disconnect(self, connection: Any) -> None:
        connection.close()


class ByConnection(BySession):
    """SQLAlchemy's `Connection`."""

    async def native_connection(self) -> Any:
        return self.engine(self.engine_url).connect()

    async def strange_connection(self) -> Any:
        return self.engine(self.strange_engine_url).connect()

    async def execute(self, connection: Any, sql: str, parameters: Any = ()) -> None:
        connection.exec_driver_sql(sql, tuple(parameters))


class ByAsyncSession(BySession):
    """SQLAlchemy's `AsyncSession`."""

    def engine(self, url: str) -> Any:
        return create_async_engine(url, poolclass=NullPool)

    async def native_connection(self) -> Any:
        return AsyncSession(self.engine(self.engine_url))

    async def strange_connection(self) -> Any:
        return AsyncSession(self.engine(self.strange_engine_url))

    async def begin_native(self, connection: Any) -> None:
        await connection.begin()

    async def execute(self, connection: Any, sql: str, parameters: Any = ()) -> None:
        await (await connection.connection()).exec_driver_sql(sql, tuple(parameters))

    async def end_native(self, connection: Any, *, commits: bool) -> None:
        await (connection.commit if commits else connection.rollback)()

    async def disconnect(self, connection: Any) -> None:
        await connection.close()


class ByAsyncConnection(ByAsyncSession):
    """SQLAlchemy's `AsyncConnection`."""

    async def native_connection(self) -> Any:
        return await self.engine(self.engine_url).connect()

    async def strange_connection(self) -> Any:
        return await self.engine(self.strange_engine_url).connect()

    async def execute(self, connection: Any, sql: str, parameters: Any = ()) -> None:
        await connection.exec_driver_sql(sql, tuple(parameters))


class ByDjango:
    """Django's connection inside `transaction.atomic`, with its log of statements."""

    placeholder = "%s"

    django_settings: Any

    @pytest.fixture(autouse=True)
    def configured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # each test is in an event loop
        if not settings.configured:
            settings.configure(USE_TZ=True)
            django.setup()

    def connect(self, *, strange: bool) -> Any:
        alias = f"db_{uuid4().hex}"
        complete = connections.configure_settings({"default": {}, alias: self.django_settings(strange=strange)})
        connections.settings[alias] = complete[alias]
        connection = connections[alias]
        connection.force_debug_cursor = True
        return connection

    async def native_connection(self) -> Any:
        return self.connect(strange=False)

    async def strange_connection(self) -> Any:
        connection = self.connect(strange=True)
        await self.begin_native(connection)
        return connection

    async def begin_native(self, connection: Any) -> None:
        self.atomic = transaction.atomic(using=connection.alias)
        self.atomic.__enter__()

    async def execute(self, connection: Any, sql: str, parameters: Any = ()) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)

    async def end_native(self, connection: Any, *, commits: bool) -> None:
        if not commits:
            connection.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    async def disconnect(self, connection: Any) -> None:
        if connection.in_atomic_block:
            await self.end_native(connection, commits=False)
        connection.close()
        del connections[connection.alias]


class ByDjangoProxy(ByDjango):
    """What `django.db.connection` is: it stands for the connection of an alias."""

    async def native_connection(self) -> Any:
        return ConnectionProxy(connections, self.connect(strange=False).alias)
