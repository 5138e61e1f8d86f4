"""A role with exactly the rights that the pages name, beside an owner who has migrated: all of a bus's life works."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from tests.support.databases import ServerDatabase, server_database

from sagabus import Bus, Context, RetryPolicy, Saga, SagaBusError, command, event, handler, handles, starts, timer

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"postgres": "postgresql.md", "mysql": "mysql.md"}

pytestmark = pytest.mark.acceptance


@event("rights.begun")
class Begun:
    id: str


@command("rights.work")
class Work:
    id: str


class Errand(Saga, name="rights-errand", key="id", history=True):
    id: str
    status: str = "new"

    @starts
    def begin(self, message: Begun, ctx: Context) -> None:
        ctx.send(Work(id=self.id))
        ctx.set_timer("later", after=timedelta(milliseconds=1))

    @timer("later")
    def late(self, ctx: Context) -> None:
        self.status = "timed"

    @handles
    def again(self, message: Work, ctx: Context) -> None:
        self.status = "worked"


@handler("rights-failing", retry=RetryPolicy(attempts=1))
def fail(message: Begun) -> None:
    raise ValueError(message.id)


def grants(kind: str, **names: str) -> list[str]:
    """The statements between the marks on the page, for this role and this place."""
    page = (DOCS / PAGES[kind]).read_text(encoding="utf-8")
    (block,) = re.findall(r"<!-- least rights -->\n+```sql\n(.*?)```", page, re.DOTALL)
    for word, name in names.items():
        block = re.sub(rf"\b{word}\b", name, block)
    return [statement for statement in block.split(";\n") if statement.strip()]


@contextmanager
def user(database: ServerDatabase) -> Iterator[str]:
    """The URL of the database for a role with the rights of the page, and no other."""
    name, parts = f"{database.name}_role"[:32], urlsplit(database.url)
    at = f"'{name}'@'%'" if database.kind == "mysql" else name
    made = f"USER {at} IDENTIFIED BY 'secret'" if database.kind == "mysql" else f"ROLE {name} LOGIN PASSWORD 'secret'"
    database.run(f"CREATE {made}")
    try:
        for table in database.tables_of_bus() if database.kind == "mysql" else [""]:
            for statement in grants(database.kind, shop_app=at, shop=database.name, sagabus_envelope=table):
                database.run(statement)
        yield urlunsplit(parts._replace(netloc=f"{name}:secret@{parts.hostname}:{parts.port}"))
    finally:
        if database.kind == "postgres":
            database.run(f"DROP OWNED BY {name} CASCADE")
        database.run(f"DROP {'USER' if database.kind == 'mysql' else 'ROLE'} {at}")


@pytest.fixture(params=list(PAGES))
def database(request: pytest.FixtureRequest) -> Iterator[ServerDatabase]:
    database = server_database(request.param)
    asyncio.run(migrate(database.url))
    yield database
    database.close()


async def migrate(url: str) -> None:
    async with Bus(url):
        """The owner's part."""


async def live(url: str) -> tuple[str, int, int]:
    """Publish, handle, time, retry, look, replay, remove and forget; what came of it."""
    async with Bus(url, Errand, fail) as bus:
        await bus.publish(Begun(id="A"), message_id="one")
        await bus.idle()
        async with bus.transaction() as tx:
            tx.publish(Begun(id="A"), message_id="one")
        record = await bus.sagas.get(Errand, "A")
        (letter,) = await bus.dead_letters.list()
        await bus.dead_letters.replay(letter.id, reason="a test")
        await bus.idle()
        for each in await bus.dead_letters.list():
            await bus.dead_letters.discard(each.id, reason="a test")
        history = await bus.sagas.history(Errand, "A")
        await bus.store.divide(4)
        await bus.store.unregister("rights-failing", "rights.begun")
        assert record is not None
        return record.state.status, len(history), len(await bus.dead_letters.list())


def test_a_bus_lives_by_the_rights_that_the_page_names(database: ServerDatabase) -> None:
    with user(database) as url:
        status, transitions, letters = asyncio.run(live(url))

    assert status in ("timed", "worked")
    assert (transitions, letters) == (3, 0)


def test_these_rights_make_no_table(database: ServerDatabase) -> None:
    with user(database) as url, pytest.raises(SagaBusError):
        asyncio.run(migrate(url.replace("prefix=", "prefix=new_") if "prefix=" in url else f"{url}&prefix=new_"))
