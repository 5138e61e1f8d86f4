"""Schemas and prefixes of any name: each is taken literally or refused at once, and no name is taken for another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.databases import own_database
from tests.support.private_servers import connect_mysql, query

from sagabus import Bus, ConfigurationError, Context, StatementRefused, StoreCorrupt, event, handler
from sagabus.stores.sql.dialect import TABLES

HOSTILE = [
    "o'dd\"`b.c\\",
    "\\'; DROP TABLE x; -- ",
    "?1 $1 %s %(a)s ?",
    "{envelope}{rows}{0}{{",
    "/*! x */ #",
    "SELECT",
    "Straße ﬁ İ",
    "\u200b\u202ea\u0301",
    " ",
]
REFUSED = ["a\0b", "a\nb", "\x7f", "x" * 64, "é" * 32]
LOOK_ALIKES = ["e_", "E_", "é_", "e\u0301_", "ｅ_", "е_"]  # that is the point

seen: list[str] = []


@event("names.said")
class Said:
    word: str


class Place(NamedTuple):
    """A database of our own, and which of its two names is to be any."""

    server: str
    option: str

    @property
    def mark(self) -> str:
        return "`" if self.server.startswith("mysql") else '"'

    def url(self, name: str) -> str:
        return f"{self.server}?{self.option}={quote(name, safe='')}"

    def table(self, name: str, table: str) -> str:
        quoted = name.replace(self.mark, self.mark * 2)
        if self.option == "prefix":
            return f"{self.mark}{quoted}{table}{self.mark}"
        return f"{self.mark}{quoted}{self.mark}.sagabus_{table}"


@pytest.fixture(params=["postgres-prefix", "postgres-schema", "mysql-prefix", "mysql-schema"], scope="module")
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    kind, _, option = request.param.partition("-")
    with own_database(kind) as server:
        yield Place(server, option)


@contextmanager
def schema_of(place: Place, name: str) -> Iterator[None]:
    """On MySQL a schema is a database, which has to be there."""
    if place.option == "prefix" or place.mark == '"':
        yield
        return
    asyncio.run(on_mysql(place.server, f"CREATE DATABASE `{name.replace('`', '``')}`"))
    try:
        yield
    finally:
        asyncio.run(on_mysql(place.server, f"DROP DATABASE `{name.replace('`', '``')}`"))


async def on_mysql(server: str, sql: str) -> None:
    connection = await connect_mysql(server)
    await connection.query(sql)
    connection.close()


async def say(url: str, word: str, steal: str = "") -> bool:
    """Work a message through a store, sent and joined; whether its handler could not touch the store's own tables."""
    refusals: list[bool] = []

    @handler("listener", key="word")
    def listen(message: Said, ctx: Context) -> None:
        seen.append(message.word)
        if steal:
            with suppress(StatementRefused):
                ctx.execute(f"DELETE FROM {steal}")
                refusals.append(False)
            refusals.append(True)

    async with Bus(url, listen) as bus:
        await bus.publish(Said(word=word))
        await bus.idle()
        async with bus.transaction() as tx:
            tx.publish(Said(word=word))
        await bus.idle()
    return all(refusals)


async def check(place: Place, name: str) -> None:
    seen.clear()
    assert await say(place.url(name), "hello", steal=place.table(name, "inbox"))
    assert await say(place.url(name), "again", steal=place.table(name, "meta"))
    assert seen == ["hello", "hello", "again", "again"]
    for table in TABLES:
        assert await query(place.server, f"SELECT 1 FROM {place.table(name, table)} LIMIT 1") is not None


def joined(place: Place, name: str) -> None:
    """Drivers that write their parameters as `%s` take names with such things in them as well."""
    connection = user_connection(place.server)
    bus = Bus(place.url(name))
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT 1" if place.mark == '"' else "BEGIN")
        assert bus.join(connection).publish(Said(word="joined"), message_id="j")
        connection.commit()
    finally:
        connection.close()


def user_connection(server: str) -> Any:
    import psycopg
    import pymysql
    from tests.support.databases import MysqlDatabase

    if server.startswith("postgres"):
        return psycopg.connect(server)
    connection: pymysql.Connection[Any] = MysqlDatabase(server)._connect()
    return connection


@pytest.mark.parametrize("name", [*HOSTILE[:2], *(pytest.param(name, marks=pytest.mark.slow) for name in HOSTILE[2:])])
def test_a_store_of_any_name_works(name: str, place: Place) -> None:
    if place.option == "schema" and place.mark == "`" and name.endswith(" "):
        with pytest.raises(ConfigurationError, match="blank at its end"):
            Bus(place.url(name))
        return
    with schema_of(place, name):
        asyncio.run(check(place, name))
        joined(place, name)


@given(name=st.text("ab\"'`\\.%?1${}; -/*#é\u0301Aﬁ$", min_size=1, max_size=20).map(lambda text: text + "_"))
@settings(max_examples=2, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@pytest.mark.share(2)
def test_so_does_one_of_an_unexpected_name(place: Place, name: str) -> None:
    with schema_of(place, name):
        asyncio.run(check(place, name))
        joined(place, name)


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_be_no_name_is_refused_before_anything_is_opened(name: str, place: Place) -> None:
    with pytest.raises(ConfigurationError, match=r"name|NUL"):
        Bus(place.url(name))


def test_names_outside_the_basic_plane_are_refused_where_they_cannot_be(place: Place) -> None:
    if place.mark == "`":
        with pytest.raises(ConfigurationError, match="emoji"):
            Bus(place.url("🦀"))
    else:
        asyncio.run(check(place, "🦀"))


@pytest.mark.share(2)
async def test_names_that_look_alike_are_different_stores(place: Place) -> None:
    if place.option == "schema" and place.mark == "`":
        return  # whether databases look alike is the administrator's choice
    for name in LOOK_ALIKES:
        seen.clear()
        await say(place.url(name), name)

        assert seen == [name, name]
        assert await query(place.server, f"SELECT COUNT(*) FROM {place.table(name, 'inbox')}") == [(2,)]


async def test_without_a_prefix_the_tables_of_the_bus_are_its_own_and_others_are_not(place: Place) -> None:
    if place.option == "schema":
        return
    await query(place.server, "CREATE TABLE ledger (id VARCHAR(10))")

    @handler("bare", key="word")
    def note(message: Said, ctx: Context) -> None:
        ctx.execute("INSERT INTO ledger (id) VALUES ('a')")
        with pytest.raises(StatementRefused):
            ctx.execute(f"DELETE FROM {place.mark}Inbox{place.mark}")

    async with Bus(f"{place.server}?prefix=", note) as bus:
        await bus.publish(Said(word="w"))
        await bus.idle()

    assert await query(place.server, "SELECT id FROM ledger") == [("a",)]
    assert await query(place.server, "SELECT COUNT(*) FROM dead_letter") == [(0,)]


@pytest.mark.parametrize("table", ["worker", "meta"])
@pytest.mark.parametrize("kind", ["postgres", "mysql"])
def test_a_table_of_another_application_is_not_taken_for_one_of_the_bus(kind: str, table: str) -> None:
    async def occupied(server: str) -> None:
        place = Place(server, "prefix")
        await query(server, f"CREATE TABLE {table} (number INT)")
        with pytest.raises(StoreCorrupt, match=rf"{table}.* not the bus's: choose another prefix"):
            await say(place.url(""), "hello")

        assert await query(server, f"SELECT * FROM {table}") == []
        assert await say(place.url("bus_"), "hello")
        await query(server, f"DROP TABLE {table}")
        assert await say(place.url(""), "hello")

    with own_database(kind) as server:
        asyncio.run(occupied(server))


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
def test_a_table_of_another_application_is_not_taken_for_one_that_a_newer_release_adds(kind: str) -> None:
    async def occupied(server: str) -> None:
        place = Place(server, "prefix")
        assert await say(place.url(""), "hello")
        await query(server, "DROP TABLE history", "DELETE FROM schema_version WHERE version = 2")
        await query(server, "CREATE TABLE history (number INT)")
        with pytest.raises(StoreCorrupt, match=r"history.* not the bus's: choose another prefix"):
            await say(place.url(""), "hello")

        await query(server, "DROP TABLE history")
        assert await say(place.url(""), "hello")

    with own_database(kind) as server:
        asyncio.run(occupied(server))


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
def test_many_who_open_a_new_store_at_once_find_it_made(kind: str) -> None:
    async def opened(url: str, number: int, apart: float) -> None:
        await asyncio.sleep(number * apart)
        async with Bus(url):
            pass

    async def all_at_once(server: str) -> None:
        for turn in range(8):
            # On MySQL, where a schema is a database, nobody is asked to make one.
            place = Place(server, "schema" if kind == "postgres" and turn % 2 else "prefix")
            url = f"{place.url(f'turn{turn}_')}&pool=2"
            await asyncio.gather(*(opened(url, number, turn % 4 * 0.002) for number in range(12)))

    with own_database(kind) as server:
        asyncio.run(all_at_once(server))
