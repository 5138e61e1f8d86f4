"""Every promise of the store port on MySQL or MariaDB."""

from collections.abc import Iterator
from typing import Any, ClassVar

import asyncmy
import pytest
from tests.conformance.joined import OnMysql
from tests.support.databases import MysqlDatabase, WholeMysqlDatabase, server_database
from tests.support.private_servers import require

from sagabus.testing.conformance import StoreConformance
from sagabus.testing.servers import PrivateMariaDB

HOSTILE = {
    "sql_mode": "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT",
    "transaction_isolation": "REPEATABLE-READ",
    "autocommit": "0",
    "completion_type": "CHAIN",
    "character_set_server": "latin1",
    "collation_server": "latin1_swedish_ci",
    "lower_case_table_names": "1",
    "max_allowed_packet": "1048576",
    "default_time_zone": "+05:30",
}


class TestMysqlStore(OnMysql, StoreConformance):
    """Joined through the driver that the store itself uses; `test_joined_mysql` has all the others."""

    ledger = "users_ledger"
    own: ClassVar[MysqlDatabase]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def own_database(cls) -> Iterator[None]:
        server_database("mysql").close()  # or the tests are skipped
        cls.own = WholeMysqlDatabase()
        yield
        cls.own.close()

    @pytest.fixture(autouse=True)
    def own_tables(self) -> Iterator[None]:
        self.database = self.own
        yield
        self.database.clear()

    def place(self, *, strange: bool = False) -> dict[str, Any]:
        return {**super().place(), "database": "mysql" if strange else self.own.name}

    async def native_connection(self) -> Any:
        return await self.connect()

    async def strange_connection(self) -> Any:
        connection = await self.connect(strange=True)
        await connection.begin()
        return connection

    async def connect(self, *, strange: bool = False) -> Any:
        settings = "SET completion_type = 'NO_CHAIN', lock_wait_timeout = 10"
        return await asyncmy.connect(**self.place(strange=strange), autocommit=True, init_command=settings)

    async def execute(self, connection: Any, sql: str, parameters: Any = ()) -> None:
        if hasattr(connection, "execute"):  # the guarded one
            await connection.execute(sql, parameters)
        else:
            await connection.cursor().execute(sql, parameters)

    async def disconnect(self, connection: Any) -> None:
        await connection.ensure_closed()


@pytest.mark.slow
class TestMysqlStoreOnAServerSetAgainstIt(TestMysqlStore):
    """Everything that an administrator may have set otherwise."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def own_database(cls) -> Iterator[None]:
        require(PrivateMariaDB)
        with PrivateMariaDB(HOSTILE) as server:
            cls.own = WholeMysqlDatabase(server.url)
            yield
            cls.own.close()
