"""The smallest server answers what probes and Prometheus send, and everything else in time."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.scenarios.conftest import until
from tests.scenarios.shop import Noted

from sagabus import Bus, handler
from sagabus.integrations import http
from sagabus.integrations.asgi import HealthApp, Receive, Scope, Send
from sagabus.integrations.http import HttpServer


@handler("it", key="key")
def it(message: Noted) -> None: ...


@asynccontextmanager
async def served(app: Any = None) -> AsyncIterator[HttpServer]:
    async with Bus("memory:", it) as bus, HttpServer(app or HealthApp(bus), "127.0.0.1", 0) as server:
        yield server


async def connected(server: HttpServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = server.address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def say(server: HttpServer, text: bytes) -> tuple[int, bytes, bytes]:
    """The status, the head and the body of what comes back until the server hangs up."""
    reader, writer = await connected(server)
    writer.write(text)
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), head, body


async def test_a_probe_gets_its_answer_and_the_end_of_the_connection() -> None:
    async with served() as server:
        status, head, body = await say(server, b"GET /health/ready?x=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        of_head = await say(server, b"HEAD /health/live HTTP/1.0\r\n\r\n")

    assert (status, of_head[0], of_head[2]) == (200, 200, b"")
    assert b"\r\nconnection: close" in head
    assert f"content-length: {len(body)}".encode() in head


async def test_headers_reach_the_application_in_lower_case() -> None:
    seen = list[Scope]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        assert (await receive())["body"] == b""
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with served(app) as server:
        status, _, _ = await say(server, b"GET /a%20b?c=%20 HTTP/1.1\r\nACCEPT:  text/plain \r\n\r\n")

    assert status == 204
    assert (seen[0]["path"], seen[0]["query_string"]) == ("/a b", b"c=%20")
    assert seen[0]["headers"] == [(b"accept", b"text/plain")]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET http://a/ HTTP/1.1\r\n\r\n", 400),
        (b"GET / SPDY/3\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /nothing HTTP/1.1\r\n\r\n", 404),
        (b"POST /health/live HTTP/1.1\r\nContent-Length: 1\r\n\r\n1", 405),
    ],
)
async def test_what_is_no_request_of_a_probe_is_refused(text: bytes, status: int) -> None:
    async with served() as server:
        assert (await say(server, text))[0] == status
        assert (await say(server, b"GET /health/live HTTP/1.1\r\n\r\n"))[0] == 200


async def test_an_application_that_fails_costs_its_own_request(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError

    async with served(app) as server:
        status, _, _ = await say(server, b"GET / HTTP/1.1\r\n\r\n")

    assert status == 500
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_nobody_keeps_a_connection_by_saying_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_PATIENCE", 0.05)
    async with served() as server:
        reader, writer = await connected(server)
        writer.write(b"GET / HTTP/1.1\r\n")

        assert await reader.read() == b""
        writer.close()


async def test_a_client_that_hangs_up_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with served() as server:
        _, writer = await connected(server)
        writer.write(b"GET / HT")
        writer.close()
        await writer.wait_closed()
        await until(lambda: not server._tasks)

    assert caplog.records == []


async def test_the_end_cuts_off_what_is_under_way() -> None:
    begun = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with served(app) as server:
        reader, writer = await connected(server)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await begun.wait()

    assert await reader.read() == b""
    writer.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_address_that_is_taken_is_an_error() -> None:
    async with served() as server:
        host, _, port = server.address.rpartition(":")
        with pytest.raises(OSError, match="in use"):
            await HttpServer(HealthApp(Bus("memory:", it)), host, int(port)).__aenter__()


async def test_version_six_addresses_are_written_with_brackets() -> None:
    try:
        async with HttpServer(HealthApp(Bus("memory:", it)), "::1", 0) as server:
            assert server.address.startswith("[::1]:")
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
