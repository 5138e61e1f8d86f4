"""Secrets that change while a bus runs: it goes on without a restart, and every message takes effect exactly once."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.conftest import PATIENCE
from tests.support.guarded import GuardedDatabase, guarded
from tests.support.waiting import until
from tests.unit.test_url import everything_of

from sagabus import AsyncConnection, Bus, ConfigurationError, Context, StoreError, StoreUnavailable, event, handler
from sagabus.stores.mysql import MysqlStore
from sagabus.stores.postgres import PostgresStore

KINDS = ("postgres", "mysql")
STORES: dict[str, Callable[..., Any]] = {"postgres": PostgresStore, "mysql": MysqlStore}
INSERT = {"postgres": "INSERT INTO ledger VALUES ($1)", "mysql": "INSERT INTO ledger VALUES (%s)"}
OLD, NEW, NEWEST = "0ld-5ecret", "n3w-5ecret", "n3west-5ecret"


@event("rotation.noted")
class Noted:
    id: str


class Publisher:
    """Publishes one message after the other, each until it is accepted."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.accepted: list[str] = []
        self.failures: list[StoreError] = []
        self._ends = False

    async def run(self) -> None:
        while not self._ends:
            id_ = f"m{len(self.accepted):06}"
            try:
                await self._bus.publish(Noted(id=id_), message_id=id_)
            except StoreError as error:
                self.failures.append(error)
            else:
                self.accepted.append(id_)
            await asyncio.sleep(0)

    def end(self) -> None:
        self._ends = True


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[GuardedDatabase]:
    """Each kind of server, where nothing that is logged has a password in it."""
    found = guarded(request.param)
    found.change(OLD)
    yield found
    said = "".join(f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records)
    assert not any(secret in said for secret in (OLD, NEW, NEWEST))


@asynccontextmanager
async def published(bus: Bus, place: GuardedDatabase) -> Any:
    """Messages come as long as the block lasts. At its end all that were accepted have taken effect exactly once."""
    publisher = Publisher(bus)
    task = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        publisher.end()
        await task
    wanted = sorted(f"{name} {id_}" for name in ("lent", "shared") for id_ in publisher.accepted)
    await until(lambda: len(place.rows()) >= len(wanted), PATIENCE, every=0.05)  # some run again in a second
    await bus.idle(timeout=PATIENCE)
    assert place.rows() == wanted
    assert {type(error) for error in publisher.failures} <= {StoreUnavailable}
    said = "".join(map(everything_of, publisher.failures[:20]))
    assert not any(secret in said for secret in (OLD, NEW, NEWEST))


def noting(kind: str) -> Any:
    """Handlers that write a row for each message, on a connection of its own and in the shared commit."""

    @handler("lent")
    async def lent(message: Noted, connection: AsyncConnection) -> None:
        await connection.execute(INSERT[kind], (f"lent {message.id}",))

    @handler("shared")
    def shared(message: Noted, ctx: Context) -> None:
        ctx.execute(INSERT[kind], (f"shared {message.id}",))

    return lent, shared


async def more(publisher: Publisher, count: int = 20) -> None:
    """Some further messages are accepted."""
    enough = len(publisher.accepted) + count
    await until(lambda: len(publisher.accepted) >= enough, PATIENCE)


async def refused(bus: Bus, place: GuardedDatabase) -> None:
    """The server does not let the bus in, and its health says so."""

    async def is_refused() -> bool:
        place.end_connections()
        health = await bus.health()
        return not health.is_ready and health.is_healthy and place.refusal in " ".join(health.waits)

    await until(is_refused, PATIENCE, every=0.05)


async def test_a_file_that_comes_after_the_server_needs_no_restart(place: GuardedDatabase, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(OLD + "\n")

    async with Bus(place.url(f"password_file={file}"), *noting(place.kind)) as bus, published(bus, place) as publisher:
        await more(publisher)
        for password in (NEW, NEWEST):
            place.change(password)
            await refused(bus, place)
            file.write_text(password + "\n")
            await more(publisher)


async def test_a_file_that_comes_before_the_server_needs_no_restart(place: GuardedDatabase, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(OLD)

    async with Bus(place.url(f"password_file={file}"), *noting(place.kind)) as bus, published(bus, place) as publisher:
        await more(publisher)
        file.write_text(NEW)
        await refused(bus, place)
        place.change(NEW)
        await more(publisher)
    assert publisher.failures


async def test_a_file_that_is_missing_for_a_moment_needs_no_restart(place: GuardedDatabase, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(OLD)
    place.refusal = "the file of the option password_file cannot be read"

    async with Bus(place.url(f"password_file={file}"), *noting(place.kind)) as bus, published(bus, place) as publisher:
        await more(publisher)
        file.unlink()
        await refused(bus, place)
        file.write_text(OLD)
        await more(publisher)


async def test_a_function_that_fails_for_a_moment_needs_no_restart(place: GuardedDatabase) -> None:
    known = [OLD]
    place_says, place.refusal = place.refusal, "the function that gives the password raised KeyError"

    async def ask() -> str:
        if not known:
            raise KeyError(OLD)
        return known[-1]

    store = STORES[place.kind](place.url(), password=ask)
    async with Bus(store, *noting(place.kind)) as bus, published(bus, place) as publisher:
        await more(publisher)
        known.clear()
        await refused(bus, place)
        known.append(OLD)
        await more(publisher)
        place.change(NEW)
        place.refusal = place_says
        await refused(bus, place)
        known.append(NEW)
        await more(publisher)


@pytest.mark.parametrize("how", ["locked", "expired"])
async def test_a_user_that_is_shut_out_for_a_moment_needs_no_restart(place: GuardedDatabase, how: str) -> None:
    url = place.url(login=f"{place.user}:{OLD}")
    async with Bus(url, *noting(place.kind)) as bus, published(bus, place) as publisher:
        await more(publisher)
        place.refusal = place.shut_out(how)
        await refused(bus, place)
        place.let_in()
        await more(publisher)


async def test_the_listener_for_hints_is_there_again(tmp_path: Path) -> None:
    place = guarded("postgres")
    place.change(OLD)
    file = tmp_path / "password"
    file.write_text(OLD)

    def listens() -> bool:
        return bool(
            place.run(f"SELECT 1 FROM pg_stat_activity WHERE usename = '{place.user}' AND query ~ '^(LISTEN|NOTIFY)'")
        )

    async with Bus(place.url(f"notify=1&password_file={file}"), *noting("postgres")) as bus:
        await until(listens, PATIENCE, every=0.02)
        place.change(NEW)
        await refused(bus, place)
        assert not listens()
        file.write_text(NEW)
        await until(listens, PATIENCE, every=0.02)


async def test_the_thread_that_renews_leases_asks_too(place: GuardedDatabase, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(OLD)
    store = STORES[place.kind](place.url(f"password_file={file}"))
    await store.open()
    keeper = store.keeper()

    def renew() -> None:
        keeper.renew("worker", duration=10_000_000, within=10)

    for broken in (file.unlink, lambda: file.write_text(NEW)):
        file.write_text(OLD)
        await asyncio.to_thread(renew)
        broken()
        with pytest.raises(StoreUnavailable):
            await asyncio.to_thread(renew)
        keeper = store.keeper()  # a new one makes its first connection now
        with pytest.raises(StoreUnavailable):
            await asyncio.to_thread(renew)
    place.change(NEW)
    await asyncio.to_thread(renew)
    await store.close()


async def test_that_thread_is_in_time_where_a_coroutine_waits_for_a_thread_that_hangs(place: GuardedDatabase) -> None:
    may_end, hung, ended = threading.Event(), False, False
    may_end.set()

    def blocks() -> str:
        nonlocal hung, ended
        hung = not may_end.is_set()
        may_end.wait(PATIENCE)
        ended = hung
        return OLD

    async def ask() -> str:
        return await asyncio.to_thread(blocks)

    store = STORES[place.kind](place.url(), password=ask)
    await store.open()
    keeper = store.keeper()
    may_end.clear()
    with pytest.raises(StoreUnavailable, match="no connection within"):
        await asyncio.to_thread(lambda: keeper.renew("worker", duration=10_000_000, within=0.5))

    assert hung
    assert not ended
    may_end.set()
    await asyncio.to_thread(lambda: keeper.renew("worker", duration=10_000_000, within=10))
    await store.close()


async def test_what_no_patience_cures_is_said_at_the_start(place: GuardedDatabase, tmp_path: Path) -> None:
    file = tmp_path / "password"
    with pytest.raises(ConfigurationError, match="password_file cannot be read"):
        Bus(place.url(f"password_file={file}"))
    file.write_text(NEW)
    with pytest.raises(StoreUnavailable, match=place.refusal):
        await Bus(place.url(f"password_file={file}")).open()

    def ask() -> str:
        raise LookupError(OLD)

    with pytest.raises(StoreUnavailable, match="raised LookupError") as caught:
        await Bus(STORES[place.kind](place.url(), password=ask)).open()
    assert OLD not in repr(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
