"""The commands that open a store by its URL, on servers: what they make, what they print, and what they never print."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import pytest
from tests.support.databases import ServerDatabase, server_database
from tests.support.fork_server import sagabus
from tests.support.private_servers import query

from sagabus import Bus, RetryPolicy, event, handler
from sagabus.stores.sql.dialect import TABLES
from sagabus.stores.sqlite.schema import MIGRATIONS

NEWEST = len(MIGRATIONS)
"""The version of the schema."""

pytestmark = pytest.mark.acceptance


@event("lights.went_out")
class LightsWentOut:
    where: str


@handler("candles", retry=RetryPolicy(attempts=1))
def light(message: LightsWentOut) -> None:
    raise ValueError(f"no candles in {message.where}")


@pytest.fixture(params=["postgres", "mysql"])
def database(request: pytest.FixtureRequest) -> Iterator[ServerDatabase]:
    database = server_database(request.param)
    yield database
    database.close()


run = sagabus
"""Real processes, but for the start of the interpreter."""


async def fail_at(url: str) -> None:
    """Leave one dead letter there."""
    async with Bus(url, light) as bus:
        await bus.publish(LightsWentOut(where="the cellar"))
        await bus.idle()


def test_migrating_makes_the_tables_once_and_says_where(database: ServerDatabase) -> None:
    first, second = (run("migrate", "--store", database.url, "--json") for _ in range(2))

    told = [json.loads(finished.stdout) for finished in (first, second)]
    assert [(one["version"], one["applied"]) for one in told] == [(NEWEST, [*range(1, NEWEST + 1)]), (NEWEST, [])]
    assert "?" not in told[0]["store"]
    assert len(database.tables_of_bus()) == len(TABLES)


def test_the_sql_applied_by_hand_leaves_nothing_to_migrate(database: ServerDatabase) -> None:
    script = run("migrate", "--sql", "--store", database.url).stdout
    assert database.tables_of_bus() == []

    asyncio.run(query(database.server, *(part for part in script.split(";\n") if part.strip())))

    finished = run("migrate", "--store", database.url)
    assert f"nothing to do; the schema is at version {NEWEST}" in finished.stdout, finished.stderr


def test_a_look_makes_nothing(database: ServerDatabase) -> None:
    finished = run("sagas", "list", "--store", database.url)

    assert (finished.returncode, finished.stdout) == (2, "")
    assert "`sagabus migrate` makes" in finished.stderr
    assert database.tables_of_bus() == []


def test_dead_letters_and_sagas_are_found(database: ServerDatabase) -> None:
    asyncio.run(fail_at(database.url))

    letters = json.loads(run("dead-letters", "list", "--store", database.url, "--json").stdout)
    done = run("dead-letters", "discard", "--store", database.url, str(letters[0]["id"]), "--why", "a test", "--json")
    sagas = run("sagas", "list", "--store", database.url, "--json")

    assert "no candles in the cellar" in json.dumps(letters)
    assert json.loads(done.stdout)["not_done"] == 0
    assert json.loads(sagas.stdout) == []


def test_no_password_is_printed_whatever_becomes_of_the_command(database: ServerDatabase) -> None:
    parts = urlsplit(database.url)
    url = urlunsplit(parts._replace(netloc=parts.netloc.replace("@", ":secret@")))

    finished = [
        run("sagas", "list", "--store", url),
        run("migrate", "--store", url),
        run("migrate", "--store", url, "--json"),
        run("dead-letters", "list", "--store", url),
    ]

    assert "secret" not in "".join(one.stdout + one.stderr for one in finished)


@contextmanager
def role(database: ServerDatabase) -> Iterator[tuple[str, str]]:
    """A user who may do nothing yet, and the URL of the database for it."""
    name = f"{database.name}_role"
    database.run(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
    parts = urlsplit(database.url)
    try:
        yield name, urlunsplit(parts._replace(netloc=f"{name}:secret@{parts.hostname}:{parts.port}"))
    finally:
        database.run(f"DROP OWNED BY {name} CASCADE")
        database.run(f"DROP ROLE {name}")
        database.close()


def test_a_schema_that_is_there_takes_no_right_to_make_one() -> None:
    database = server_database("postgres")
    with role(database) as (name, url):
        database.run(f"ALTER SCHEMA {database.name} OWNER TO {name}")

        finished = run("migrate", "--store", url)

    assert "applied 1" in finished.stdout, finished.stderr


def test_a_missing_right_is_reported_as_such() -> None:
    with role(server_database("postgres")) as (_, url):
        finished = run("migrate", "--store", url)

    assert finished.returncode == 2
    assert "grant the user its rights" in finished.stderr


def test_a_search_path_that_leads_nowhere_is_reported_as_such() -> None:
    database = server_database("postgres")
    finished = run("migrate", "--store", database.server + "?search_path=nowhere")
    database.close()

    assert finished.returncode == 2
    assert "add ?schema=" in finished.stderr


def test_tables_may_be_moved_to_another_schema() -> None:
    database = server_database("postgres")
    elsewhere = f"{database.name}_moved"
    run("migrate", "--store", database.url)
    database.run(f"ALTER SCHEMA {database.name} RENAME TO {elsewhere}")
    try:
        finished = run("migrate", "--store", database.url.replace(database.name, elsewhere))
    finally:
        database.run(f"DROP SCHEMA {elsewhere} CASCADE")
        database.close()

    assert "nothing to do" in finished.stdout, finished.stderr
