"""Private servers in tests: required where they must be there, and asked a few things through their drivers."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

import asyncmy
import asyncpg
import pytest

from sagabus.testing.servers import PrivateServer


def require(kind: type[PrivateServer]) -> None:
    """Skip the test when the server is not on this machine; in CI that is a failure."""
    if not kind.available():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{kind.__name__}: its programs are not installed")


async def query(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """The rows of the last statement; each is committed."""
    return await (query_postgres if url.startswith("postgresql:") else query_mysql)(url, statements)


async def query_postgres(url: str, statements: tuple[str, ...]) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return [[tuple(row) for row in await connection.fetch(statement)] for statement in statements][-1]
    finally:
        await connection.close()


async def query_mysql(url: str, statements: tuple[str, ...]) -> list[tuple[Any, ...]]:
    connection = await connect_mysql(url)
    try:
        async with connection.cursor() as cursor:
            for statement in statements:
                await cursor.execute(statement)
            return list(await cursor.fetchall())
    finally:
        connection.close()


async def connect_mysql(url: str) -> Any:
    """A connection that commits each statement."""
    place = urlsplit(url)
    return await asyncmy.connect(
        host=place.hostname,
        port=place.port,
        user=place.username,
        database=place.path[1:],
        autocommit=True,
        connect_timeout=10,
    )
