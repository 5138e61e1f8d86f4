"""Where the benchmark runs: a fresh place on the given database for each half of each round, removed afterwards."""

from __future__ import annotations

import asyncio
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sagabus.cli.demonstration.app_table import file_of
from sagabus.cli.output import Refused
from sagabus.url import MYSQL, POSTGRES, scheme_of, with_option


class Venue(ABC):
    """Gives each half of each round a place of its own; a context manager that tidies up."""

    kind: str
    title: str
    """The database and its durability, for the table."""

    @abstractmethod
    def engine(self, number: int) -> str:
        """The URL of the bus in this round."""

    @abstractmethod
    def loop(self, number: int) -> str:
        """Where the loop written by hand works in this round."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.tidy()

    @abstractmethod
    def tidy(self) -> None:
        """Remove what was made."""


class Files(Venue):
    """SQLite: temporary files, or the file that the user named, which is kept."""

    kind = "sqlite"
    title = "SQLite with synchronous=FULL"

    def __init__(self, store: str | None) -> None:
        self._store = store
        folder = Path(file_of(store)).parent if store else None
        self._folder = tempfile.TemporaryDirectory(prefix=".sagabus-bench-", dir=folder)

    def engine(self, number: int) -> str:
        """The user's file, or a new one."""
        return self._store or f"sqlite:///{self._folder.name}/engine-{number}.db"

    def loop(self, number: int) -> str:
        """Always the same file, made again."""
        return f"{self._folder.name}/loop.db"

    def tidy(self) -> None:
        """Remove the temporary files."""
        self._folder.cleanup()


class _OnServer(Venue):
    """A server: our own names among the existing ones, dropped in the end."""

    option: str

    def __init__(self, store: str, token: str) -> None:
        self._store = store
        self._token = token
        self._made: set[str] = set()

    def engine(self, number: int) -> str:
        """A new place."""
        return self._at(f"sb_{self._token}_e{number}_")

    def loop(self, number: int) -> str:
        """A new place."""
        return self._at(f"sb_{self._token}_l{number}_")

    def tidy(self) -> None:
        """Drop all of them."""
        asyncio.run(self._drop())

    def _at(self, name: str) -> str:
        self._made.add(name)
        return with_option(self._store, self.option, name)

    @abstractmethod
    async def _drop(self) -> None: ...


class Schemas(_OnServer):
    """PostgreSQL: schemas of our own."""

    kind = "postgres"
    title = "PostgreSQL with synchronous_commit"
    option = "schema"

    async def _drop(self) -> None:
        from sagabus.stores.postgres.driver import asyncpg
        from sagabus.stores.postgres.options import driver_options
        from sagabus.stores.sql.address import Address

        connection: Any = await asyncpg.connect(**await driver_options(Address.of(self._store)))
        for schema in self._made:
            await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        await connection.close()


class Prefixes(_OnServer):
    """MySQL and MariaDB: tables with prefixes of our own."""

    kind = "mysql"
    title = "MySQL or MariaDB with innodb_flush_log_at_trx_commit=1"
    option = "prefix"

    async def _drop(self) -> None:
        from sagabus.stores.mysql.connecting import connected
        from sagabus.stores.sql.address import Address
        from sagabus.stores.sql.dialect import TABLES

        native = (await connected(Address.of(self._store))).native
        cursor = native.cursor()
        for prefix in self._made:
            await cursor.execute("DROP TABLE IF EXISTS " + ", ".join(f"`{prefix}{table}`" for table in TABLES))
        native.close()


def venue(store: str | None, token: str) -> Venue:
    """The venue of a store's URL; refused for what several processes cannot share."""
    scheme = scheme_of(store) if store is not None else "sqlite"
    if scheme in POSTGRES:
        return Schemas(store or "", token)
    if scheme in MYSQL:
        return Prefixes(store or "", token)
    if scheme == "sqlite":
        return Files(store)
    raise Refused(
        "--store: the benchmark runs on sqlite:///file.db, postgresql://user@host/database "
        "or mysql://user@host/database"
    )
