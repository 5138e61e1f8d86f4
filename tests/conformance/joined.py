"""Where joined transactions are tried: tables of each test's own on each kind of database, and the user's connections."""

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from tests.grounds import ServerGround, server_ground

from sagabus.clock import Clock
from sagabus.opening import open_store
from sagabus.store import Store


class OnServer:
    """Tables of a bus and a ledger of the user's on a server, gone after the test."""

    kind: ClassVar[str]
    placeholder = "%s"
    begin = "BEGIN"
    ground: ServerGround

    @pytest.fixture(autouse=True)
    def own_ground(self) -> Iterator[None]:
        self.ground = server_ground(self.kind)
        yield
        self.ground.clear()
        self.ground.close()

    @property
    def ledger(self) -> str:
        raise NotImplementedError

    @property
    def insert_row(self) -> str:
        return f"INSERT INTO {self.ledger} (id) VALUES ({self.placeholder})"

    async def make_store(self, clock: Clock) -> Store:
        return open_store(self.ground.url, clock, 16)

    async def same_store(self, clock: Clock) -> Store:
        return open_store(self.ground.url, clock, 16)

    async def make_user_table(self) -> None:
        self.ground.run(f"CREATE TABLE {self.ledger} (id VARCHAR(100) PRIMARY KEY)")
        self.ground.tables.append(self.ledger)

    async def user_rows(self) -> list[str]:
        return [row[0] for row in self.ground.run(f"SELECT id FROM {self.ledger} ORDER BY id")]


class OnPostgres(OnServer):
    kind = "postgres"

    @property
    def ledger(self) -> str:
        return f"{self.ground.name}.ledger"

    @property
    def dsn(self) -> Any:
        """The server, with nothing that finds the tables by itself."""
        return self.ground.url.partition("?")[0]

    @property
    def strange_dsn(self) -> Any:
        """Another database of the server."""
        return self.dsn.rpartition("/")[0] + "/postgres"
