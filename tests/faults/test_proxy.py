"""The faults of the proxy happen as promised: over an echo, and over databases that commit what nobody hears of."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncmy
import asyncpg
import pytest
from tests.faults.proxy import Chosen, Proxy, ready_for_query
from tests.support.private_servers import connect_mysql, query, require

from sagabus.testing.servers import PrivateMariaDB, PrivatePostgres, PrivateServer

pytestmark = pytest.mark.faults


class Echo:
    """Answers each line with itself; knows what it has heard and how its connections ended."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.clients: list[asyncio.StreamWriter] = []
        self.ends: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients.append(writer)
        end = "end"
        try:
            while line := await reader.readline():
                self.heard.append(line)
                writer.write(line)
        except ConnectionResetError:
            end = "reset"
        writer.close()
        self.ends.put_nowait(end)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def say(self, text: bytes) -> None:
        self._writer.write(text)

    async def hear(self) -> bytes:
        async with asyncio.timeout(20):
            return await self._reader.readline()

    async def ask(self, text: bytes) -> bytes:
        self.say(text)
        return await self.hear()

    def leave(self) -> None:
        self._writer.close()


@asynccontextmanager
async def proxied_echo() -> AsyncIterator[tuple[Echo, Proxy]]:
    echo = Echo()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Proxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield echo, proxy


@asynccontextmanager
async def client_of(proxy: Proxy) -> AsyncIterator[Client]:
    client = Client(*await asyncio.open_connection("127.0.0.1", proxy.port))
    yield client
    client.leave()


async def test_bytes_and_ends_pass_both_ways_and_are_counted() -> None:
    async with proxied_echo() as (echo, proxy), client_of(proxy) as client:
        assert await client.ask(b"hello\n") == b"hello\n"

        client.leave()

        assert await echo.ends.get() == "end"
        assert (proxy.connections, proxy.sent, proxy.received, proxy.cuts) == (1, 6, 6, 0)


async def test_a_large_message_passes_whole() -> None:
    text = b"x" * 60_000 + b"\n"
    async with proxied_echo() as (_, proxy), client_of(proxy) as client:
        assert await client.ask(text) == text


async def test_a_cut_resets_both_sides_and_spares_the_connections_that_follow() -> None:
    async with proxied_echo() as (echo, proxy), client_of(proxy) as one, client_of(proxy) as other:
        await asyncio.gather(one.ask(b"1\n"), other.ask(b"2\n"))

        proxy.cut()

        for client in (one, other):
            with pytest.raises(ConnectionResetError):
                await client.hear()
        assert [await echo.ends.get(), await echo.ends.get()] == ["reset", "reset"]
        async with client_of(proxy) as third:
            assert await third.ask(b"3\n") == b"3\n"
        assert (proxy.connections, proxy.cuts) == (3, 2)


async def test_a_server_that_is_away_resets_the_client() -> None:
    async with proxied_echo() as (_, proxy):
        away = Proxy("127.0.0.1", proxy.port)
        proxy.refuse()
        async with away, client_of(away) as client:
            with pytest.raises(ConnectionResetError):
                await client.hear()


async def test_it_leads_new_connections_elsewhere_and_leaves_the_others() -> None:
    async with proxied_echo() as (one, proxy), proxied_echo() as (other, further), client_of(proxy) as first:
        await first.ask(b"1\n")

        proxy.lead_to(further.port)

        async with client_of(proxy) as second:
            await second.ask(b"2\n")
            await first.ask(b"3\n")
        assert (one.heard, other.heard) == ([b"1\n", b"3\n"], [b"2\n"])


async def test_refusal_is_for_new_connections_and_can_be_ended() -> None:
    async with proxied_echo() as (_, proxy), client_of(proxy) as client:
        await client.ask(b"before\n")

        proxy.refuse()

        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await client.ask(b"during\n") == b"during\n"
        proxy.accept()
        async with client_of(proxy) as other:
            assert await other.ask(b"after\n") == b"after\n"


async def test_a_stall_passes_nothing_either_way_until_it_flows_again() -> None:
    async with proxied_echo() as (echo, proxy), client_of(proxy) as client:
        await client.ask(b"before\n")

        proxy.stall()
        client.say(b"question\n")
        echo.clients[0].write(b"news\n")
        await proxy.until(lambda proxy: proxy.stalled == 2)

        assert echo.heard == [b"before\n"]
        assert proxy.received == len(b"before\n")
        proxy.flow()
        assert await client.hear() == b"news\n"
        assert await client.hear() == b"question\n"


async def test_a_stall_conceals_that_a_client_has_left() -> None:
    async with proxied_echo() as (echo, proxy), client_of(proxy) as client:
        await client.ask(b"before\n")
        proxy.stall()

        client.leave()
        await proxy.until(lambda proxy: proxy.stalled == 1)

        assert echo.ends.empty()
        proxy.flow()
        assert await echo.ends.get() == "end"


@pytest.mark.parametrize("chosen", [b"COMMIT", lambda chunk: chunk.startswith(b"COMMIT")])
async def test_what_is_held_waits_for_its_release_and_the_rest_passes(chosen: Chosen) -> None:
    async with proxied_echo() as (echo, proxy), client_of(proxy) as one, client_of(proxy) as other:
        proxy.hold_client_bytes_when(chosen)
        assert await one.ask(b"INSERT\n") == b"INSERT\n"

        one.say(b"COMMIT\n")
        await proxy.until(lambda proxy: proxy.held == 1)

        assert await other.ask(b"SELECT\n") == b"SELECT\n"
        assert echo.heard == [b"INSERT\n", b"SELECT\n"]
        proxy.release()
        assert await one.hear() == b"COMMIT\n"
        assert await one.ask(b"COMMIT\n") == b"COMMIT\n"


async def test_what_is_held_when_its_connection_is_cut_never_arrives() -> None:
    async with proxied_echo() as (echo, proxy), client_of(proxy) as client:
        proxy.hold_client_bytes_when(b"COMMIT")
        client.say(b"COMMIT\n")
        await proxy.until(lambda proxy: proxy.held == 1)

        proxy.cut()
        proxy.release()

        assert await echo.ends.get() == "reset"
        assert echo.heard == []


@pytest.mark.parametrize("chosen", [b"COMMIT", lambda chunk: chunk.startswith(b"COMMIT")])
async def test_a_swallowed_reply_is_given_and_not_heard_once(chosen: Chosen) -> None:
    async with proxied_echo() as (echo, proxy), client_of(proxy) as client, client_of(proxy) as other:
        await client.ask(b"INSERT\n")
        proxy.swallow_reply_after(chosen)

        with pytest.raises(ConnectionResetError):
            await client.ask(b"COMMIT\n")

        assert await other.ask(b"COMMIT\n") == b"COMMIT\n"
        assert echo.heard == [b"INSERT\n", b"COMMIT\n", b"COMMIT\n"]
        assert (proxy.swallowed, proxy.cuts) == (1, 1)


async def test_a_needle_in_two_parts_is_found_and_the_answer_awaited_whole() -> None:
    async with proxied_echo() as (echo, proxy), client_of(proxy) as client:
        proxy.swallow_reply_after(b"COMMIT", whole=lambda answer: answer.count(b"\n") == 2)
        client.say(b"COM")
        await proxy.until(lambda proxy: proxy.sent == 3)
        client.say(b"MIT\n")
        await proxy.until(lambda proxy: proxy.sent == 7)
        assert (proxy.swallowed, proxy.received) == (0, 0)

        with pytest.raises(ConnectionResetError):
            await client.ask(b"more\n")

        assert echo.heard == [b"COMMIT\n", b"more\n"]
        assert proxy.swallowed == 1


async def ask_with_a_broken_predicate() -> None:
    async with proxied_echo() as (_, proxy), client_of(proxy) as client:
        proxy.swallow_reply_after(lambda chunk: bool(1 // 0))
        with pytest.raises(ConnectionResetError):
            await client.ask(b"?\n")


async def test_what_fails_in_the_proxy_itself_is_not_kept_from_the_test() -> None:
    with pytest.raises(ExceptionGroup, match="the proxy failed"):
        await ask_with_a_broken_predicate()


def private(kind: type[PrivateServer]) -> Iterator[PrivateServer]:
    require(kind)
    with kind() as server:
        asyncio.run(query(server.url, "CREATE TABLE note (text VARCHAR(20))"))
        yield server


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[PrivateServer]:
    yield from private(PrivatePostgres)


@pytest.fixture(scope="module")
def mariadb_server() -> Iterator[PrivateServer]:
    yield from private(PrivateMariaDB)


def through(proxy: Proxy, server: PrivateServer) -> str:
    return server.url.replace(str(server.port), str(proxy.port))


async def notes(server: PrivateServer, text: str) -> int:
    return len(await query(server.url, f"SELECT text FROM note WHERE text = '{text}'"))


async def test_a_commit_of_postgres_whose_reply_is_swallowed_has_committed(postgres_server: PrivateServer) -> None:
    async with Proxy("127.0.0.1", postgres_server.port) as proxy:
        connection = await asyncpg.connect(through(proxy, postgres_server))
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("INSERT INTO note VALUES ('unheard')")
        proxy.swallow_reply_after(b"COMMIT", whole=ready_for_query)

        with pytest.raises((asyncpg.ConnectionDoesNotExistError, ConnectionResetError)):
            await transaction.commit()

        assert (proxy.swallowed, proxy.cuts) == (1, 1)
        assert await notes(postgres_server, "unheard") == 1


@pytest.mark.parametrize("by_name", [True, False])
async def test_a_prepared_statement_of_postgres_whose_reply_is_swallowed_has_committed(
    postgres_server: PrivateServer, by_name: bool
) -> None:
    text = f"prepared {by_name}"
    async with Proxy("127.0.0.1", postgres_server.port) as proxy:
        connection = await asyncpg.connect(through(proxy, postgres_server))
        statement = await connection.prepare("INSERT INTO note VALUES ($1)")
        chosen = statement.get_name().encode() if by_name else lambda chunk: chunk.startswith(b"B")
        proxy.swallow_reply_after(chosen, whole=ready_for_query)

        with pytest.raises((asyncpg.ConnectionDoesNotExistError, ConnectionResetError)):
            await statement.fetch(text)

        assert proxy.swallowed == 1
        assert await notes(postgres_server, text) == 1


async def test_a_commit_that_is_held_and_cut_has_not_committed(postgres_server: PrivateServer) -> None:
    async with Proxy("127.0.0.1", postgres_server.port) as proxy:
        connection = await asyncpg.connect(through(proxy, postgres_server))
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("INSERT INTO note VALUES ('held')")
        proxy.hold_client_bytes_when(b"COMMIT")
        committing = asyncio.create_task(transaction.commit())
        await proxy.until(lambda proxy: proxy.held == 1)

        proxy.cut()

        with pytest.raises((asyncpg.ConnectionDoesNotExistError, ConnectionResetError)):
            await committing
        assert await notes(postgres_server, "held") == 0


async def test_a_commit_of_mariadb_whose_reply_is_swallowed_has_committed(mariadb_server: PrivateServer) -> None:
    async with Proxy("127.0.0.1", mariadb_server.port) as proxy:
        connection = await connect_mysql(through(proxy, mariadb_server))
        await connection.begin()
        async with connection.cursor() as cursor:
            await cursor.execute("INSERT INTO note VALUES ('unheard')")
        proxy.swallow_reply_after(b"COMMIT")

        with pytest.raises((asyncmy.errors.OperationalError, ConnectionResetError)):
            await connection.commit()

        connection.close()
        assert (proxy.swallowed, proxy.cuts) == (1, 1)
        assert await notes(mariadb_server, "unheard") == 1
