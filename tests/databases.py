"""Databases of a test's own on the servers, for what cannot be told of a schema or a prefix."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import psycopg
import pymysql
import pytest
from tests.grounds import MYSQL, POSTGRES


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
