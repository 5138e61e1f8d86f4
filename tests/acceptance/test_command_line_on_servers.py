"""The commands that open a store by its URL, on servers: what they make, what they print, and what they never print."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from tests.faults.databases import query
from tests.grounds import ServerGround, server_ground

from sagabus import Bus, RetryPolicy, event, handler
from sagabus.stores.sqlite.schema import MIGRATIONS

NEWEST = len(MIGRATIONS)
"""The version of the schema."""
SAGABUS = str(Path(sys.executable).with_name("sagabus"))

pytestmark = pytest.mark.acceptance


@event("lights.went_out")
class LightsWentOut:
    where: str


@handler("candles", retry=RetryPolicy(attempts=1))
def light(message: LightsWentOut) -> None:
    raise ValueError(f"no candles in {message.where}")


@pytest.fixture(params=["postgres", "mysql"])
def ground(request: pytest.FixtureRequest) -> Iterator[ServerGround]:
    ground = server_ground(request.param)
    yield ground
    ground.close()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SAGABUS, *arguments], capture_output=True, text=True, check=False)


async def fail_at(url: str) -> None:
    """Leave one dead letter there."""
    async with Bus(url, light) as bus:
        await bus.publish(LightsWentOut(where="the cellar"))
        await bus.idle()


def test_migrating_makes_the_tables_once_and_says_where(ground: ServerGround) -> None:
    first, second = (run("migrate", "--store", ground.url, "--json") for _ in range(2))

    told = [json.loads(finished.stdout) for finished in (first, second)]
    assert [(one["version"], one["applied"]) for one in told] == [(NEWEST, [*range(1, NEWEST + 1)]), (NEWEST, [])]
    assert "?" not in told[0]["store"]
    assert len(ground.tables_of_bus()) == 12


def test_the_sql_applied_by_hand_leaves_nothing_to_migrate(ground: ServerGround) -> None:
    script = run("migrate", "--sql", "--store", ground.url).stdout
    assert ground.tables_of_bus() == []

    asyncio.run(query(ground._server, *(part for part in script.split(";\n") if part.strip())))

    finished = run("migrate", "--store", ground.url)
    assert f"nothing to do; the schema is at version {NEWEST}" in finished.stdout, finished.stderr


def test_a_look_makes_nothing(ground: ServerGround) -> None:
    finished = run("sagas", "list", "--store", ground.url)

    assert (finished.returncode, finished.stdout) == (2, "")
    assert "`sagabus migrate` adds them" in finished.stderr
    assert ground.tables_of_bus() == []


def test_dead_letters_and_sagas_are_found(ground: ServerGround) -> None:
    asyncio.run(fail_at(ground.url))

    letters = json.loads(run("dead-letters", "list", "--store", ground.url, "--json").stdout)
    done = run("dead-letters", "discard", "--store", ground.url, str(letters[0]["id"]), "--json")
    sagas = run("sagas", "list", "--store", ground.url, "--json")

    assert "no candles in the cellar" in json.dumps(letters)
    assert json.loads(done.stdout)["not_done"] == 0
    assert json.loads(sagas.stdout) == []


def test_no_password_is_printed_whatever_becomes_of_the_command(ground: ServerGround) -> None:
    parts = urlsplit(ground.url)
    url = urlunsplit(parts._replace(netloc=parts.netloc.replace("@", ":secret@")))

    finished = [
        run("sagas", "list", "--store", url),
        run("migrate", "--store", url),
        run("migrate", "--store", url, "--json"),
        run("dead-letters", "list", "--store", url),
    ]

    assert "secret" not in "".join(one.stdout + one.stderr for one in finished)


@contextmanager
def role(ground: ServerGround) -> Iterator[tuple[str, str]]:
    """A user who may do nothing yet, and the URL of the ground for it."""
    name = f"{ground.name}_role"
    ground.run(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
    parts = urlsplit(ground.url)
    try:
        yield name, urlunsplit(parts._replace(netloc=f"{name}:secret@{parts.hostname}:{parts.port}"))
    finally:
        ground.run(f"DROP OWNED BY {name} CASCADE")
        ground.run(f"DROP ROLE {name}")
        ground.close()


def test_a_schema_that_is_there_takes_no_right_to_make_one() -> None:
    ground = server_ground("postgres")
    with role(ground) as (name, url):
        ground.run(f"ALTER SCHEMA {ground.name} OWNER TO {name}")

        finished = run("migrate", "--store", url)

    assert "applied 1" in finished.stdout, finished.stderr


def test_a_missing_right_is_told_for_what_it_is() -> None:
    with role(server_ground("postgres")) as (_, url):
        finished = run("migrate", "--store", url)

    assert finished.returncode == 2
    assert "grant the user its rights" in finished.stderr


def test_a_search_path_that_leads_nowhere_is_told_for_what_it_is() -> None:
    ground = server_ground("postgres")
    finished = run("migrate", "--store", ground._server + "?search_path=nowhere")
    ground.close()

    assert finished.returncode == 2
    assert "add ?schema=" in finished.stderr


def test_tables_may_be_moved_to_another_schema() -> None:
    ground = server_ground("postgres")
    elsewhere = f"{ground.name}_moved"
    run("migrate", "--store", ground.url)
    ground.run(f"ALTER SCHEMA {ground.name} RENAME TO {elsewhere}")
    try:
        finished = run("migrate", "--store", ground.url.replace(ground.name, elsewhere))
    finally:
        ground.run(f"DROP SCHEMA {elsewhere} CASCADE")
        ground.close()

    assert "nothing to do" in finished.stdout, finished.stderr
