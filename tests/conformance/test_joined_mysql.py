"""Transactions on MySQL or MariaDB joined through each driver and library that has them."""

import sys
from typing import Any

import asyncmy
import pymysql
from asyncmy.cursors import DictCursor as AsyncDictCursor
from tests.conformance.joined import (
    ByAsyncConnection,
    ByAsyncSession,
    ByConnection,
    ByDjango,
    ByDjangoProxy,
    BySession,
    OnMysql,
)

from sagabus.testing.conformance.joining import JoinConformance

pymysql.install_as_MySQLdb()  # for Django
# Its parts as well, or Django would load each a second time: with errors that nobody catches by the driver's own names.
for name, module in list(sys.modules.items()):
    if name.startswith("pymysql."):
        sys.modules.setdefault(name.replace("pymysql", "MySQLdb", 1), module)


class TestJoinedByPymysql(OnMysql, JoinConformance):
    """With autocommit, a transaction begun by SQL, and rows that are dictionaries."""

    async def native_connection(self) -> Any:
        return self.pymysql(autocommit=True, cursorclass=pymysql.cursors.DictCursor)

    async def strange_connection(self) -> Any:
        return self.pymysql(**self.place(strange=True))

    async def execute(self, connection: Any, sql: str, parameters: Any = ()) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)


class TestJoinedByPymysqlThatBeginsByItself(TestJoinedByPymysql):
    begins_by_itself = True

    async def native_connection(self) -> Any:
        return self.pymysql()

    async def begin_native(self, connection: Any) -> None:
        pass

    async def end_native(self, connection: Any, *, commits: bool) -> None:
        (connection.commit if commits else connection.rollback)()


class TestJoinedByAsyncmy(OnMysql, JoinConformance):
    """With autocommit, a transaction begun by SQL, and rows that are dictionaries."""

    async def native_connection(self) -> Any:
        return await asyncmy.connect(**self.place(), autocommit=True, cursor_cls=AsyncDictCursor)

    async def strange_connection(self) -> Any:
        return await asyncmy.connect(**self.place(strange=True))

    async def execute(self, connection: Any, sql: str, parameters: Any = ()) -> None:
        async with connection.cursor() as cursor:
            await cursor.execute(sql, parameters)

    async def disconnect(self, connection: Any) -> None:
        await connection.ensure_closed()


class OnPymysql(OnMysql):
    driver = "pymysql"

    @property
    def engine_url(self) -> str:
        return self.url(self.place())

    @property
    def strange_engine_url(self) -> str:
        return self.url(self.place(strange=True))

    def url(self, place: dict[str, Any]) -> str:
        return f"mysql+{self.driver}://{place['user']}:{place['password']}@{place['host']}:{place['port']}/{place['database']}"


class OnAsyncmy(OnPymysql):
    driver = "asyncmy"


class TestJoinedBySession(BySession, OnPymysql, JoinConformance):
    pass


class TestJoinedByConnection(ByConnection, OnPymysql, JoinConformance):
    pass


class TestJoinedByAsyncSession(ByAsyncSession, OnAsyncmy, JoinConformance):
    pass


class TestJoinedByAsyncConnection(ByAsyncConnection, OnAsyncmy, JoinConformance):
    pass


class TestJoinedByDjango(ByDjango, OnMysql, JoinConformance):
    pass


class TestJoinedByDjangoProxy(ByDjangoProxy, OnMysql, JoinConformance):
    pass
