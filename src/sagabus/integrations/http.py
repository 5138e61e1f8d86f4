"""The smallest server that probes and Prometheus need, for `sagabus run --listen`: one GET or HEAD for each connection.

It serves an ASGI application. An application of your own has a server, and mounts `HealthApp` there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import Any, Protocol, Self
from urllib.parse import unquote

from sagabus.integrations.asgi import Receive, Scope, Send

__all__ = ["HttpServer"]

log = logging.getLogger("sagabus")

_LONGEST_HEAD = 8_192
_PATIENCE = 10.0
"""Seconds for a whole request and its answer: silence keeps no connection."""
_MOST = 64
"""Connections that are served at once; further ones wait."""


class Application(Protocol):
    """An ASGI application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        ...


class _Refused(Exception):
    """What was sent is no request that this server answers."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class HttpServer:
    """Serves while the block lasts: `async with HttpServer(app, "127.0.0.1", 9464) as server`.

    Port 0 takes a free one. OSError where the address is taken. At the end it cuts off what is under way.
    """

    def __init__(self, app: Application, host: str, port: int) -> None:
        self._app, self._host, self._port = app, host, port
        self._tasks: set[asyncio.Task[Any]] = set()
        self._room = asyncio.Semaphore(_MOST)
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """Where it listens, as `host:port`."""
        if self._server is None:
            return ""
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=_LONGEST_HEAD)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """End."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            async with self._room, asyncio.timeout(_PATIENCE):
                writer.write(await self._answer(reader))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            log.debug("a request was cut off: %s", type(error).__name__)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            scope = _scope(await reader.readuntil(b"\r\n\r\n"))
        except asyncio.LimitOverrunError:
            return _written(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        except _Refused as error:
            return _written(error.status)
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        try:
            await self._app(scope, receive, send)
        except Exception:
            log.exception("%s cannot be answered", scope["path"])
            return _written(HTTPStatus.INTERNAL_SERVER_ERROR)
        start, *bodies = sent
        head = [f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in start["headers"]]
        return _written(HTTPStatus(start["status"]), *head) + b"".join(body["body"] for body in bodies)


def _scope(head: bytes) -> Scope:
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[1].startswith("/") or not words[2].startswith("HTTP/1."):
        raise _Refused(HTTPStatus.BAD_REQUEST)
    path, _, query = words[1].partition("?")
    pairs = [line.partition(":") for line in lines]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": words[2].removeprefix("HTTP/"),
        "method": words[0],
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.strip().encode("latin-1")) for name, _, value in pairs],
    }


def _written(status: HTTPStatus, *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status.value} {status.phrase}", *(headers or ("content-length: 0",)), "connection: close")
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1")
