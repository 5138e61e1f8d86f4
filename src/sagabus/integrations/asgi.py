"""Health and metrics over HTTP, for any server that speaks ASGI: mount it in an application, or run it alone.

Probes come often, and from several sides at once. So the store is asked once for all of them, at most once a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import msgspec

from sagabus.engine.health import Health

__all__ = ["Exporter", "HealthApp", "Receive", "Scope", "Send"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_FRESH = 1.0
"""Seconds for which an answer of the store stands for further probes."""
_JSON = "application/json"


class Healthy(Protocol):
    """What the application asks: a bus."""

    def health(self, *, within: timedelta = ...) -> Health:
        """As `Bus.health`."""
        ...


@runtime_checkable
class Exporter(Protocol):
    """What `/metrics` shows: `sagabus.telemetry.prometheus.Metrics`."""

    async def look(self, bus: Any) -> None:
        """Look at what the bus and its store have to say at this moment."""
        ...

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics, and their content type."""
        ...


class _Answer(NamedTuple):
    status: int
    content_type: str = _JSON
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = ()


class HealthApp:
    """`/health/live` and `/health/ready` of a bus, 200 or 503, and `/metrics` if it has any, as an ASGI application.

    `details=True` puts the reasons into the answers; they may name hosts. Call it in the event loop of the bus:
    WrongEventLoop otherwise. It neither opens nor closes the bus. A cancelled request leaves nothing behind.
    """

    def __init__(
        self,
        bus: Healthy,
        *,
        metrics: Exporter | None = None,
        details: bool = False,
        within: timedelta = timedelta(seconds=2),
    ) -> None:
        """`within`: how long `/health/ready` waits for the store."""
        self._bus, self._details, self._within = bus, details, within
        self._pages: dict[str, Callable[[Scope], Awaitable[_Answer]]] = {
            "/health/live": self._live,
            "/health/ready": self._ready,
        }
        if metrics is not None:
            self._pages["/metrics"] = partial(self._measured, metrics)
        self._asking = asyncio.Lock()
        self._asked: tuple[float, Health] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _live_and_end(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._respond(scope, send)

    async def _respond(self, scope: Scope, send: Send) -> None:
        page = self._pages.get(_path(scope))
        if page is None:
            answer = _Answer(404)
        elif scope["method"] not in ("GET", "HEAD"):
            answer = _Answer(405, headers=[("allow", "GET, HEAD")])
        else:
            answer = await page(scope)
        headers = [
            ("content-type", answer.content_type),
            ("content-length", str(len(answer.body))),
            ("cache-control", "no-store"),
            *answer.headers,
        ]
        shown = b"" if scope["method"] == "HEAD" else answer.body
        raw = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": shown})

    async def _live(self, scope: Scope) -> _Answer:
        health = self._bus.health()
        return self._shown(health, is_well=health.is_healthy)

    async def _ready(self, scope: Scope) -> _Answer:
        health = await self._fresh()
        return self._shown(health, is_well=health.is_ready)

    async def _measured(self, metrics: Exporter, scope: Scope) -> _Answer:
        await metrics.look(self._bus)
        accept = b",".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1")
        body, content_type = metrics.exposition(accept)
        return _Answer(200, content_type, body)

    async def _fresh(self) -> Health:
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if self._asked is None or now - self._asked[0] > _FRESH:
                self._asked = (now, await self._bus.health(within=self._within))
            return self._asked[1]

    def _shown(self, health: Health, *, is_well: bool) -> _Answer:
        parts = {name: self._part(part) for name, part in health.parts.items()}
        found = {"status": "ok" if is_well else "failed", **self._part(health), "parts": parts}
        return _Answer(200 if is_well else 503, body=msgspec.json.encode(found))

    def _part(self, health: Health) -> dict[str, object]:
        found: dict[str, object] = {"healthy": health.is_healthy, "waits": bool(health.waits)}
        if self._details:
            found |= {"reasons": health.reasons, "waits_for": health.waits}
            found |= {"abandoned_threads": health.abandoned_threads, "stuck": dict(health.stuck)}
            found |= {"orphan_timers": dict(health.orphan_timers), "long_runs": dict(health.long_runs)}
            found["oldest_messages"] = {name: age.total_seconds() for name, age in health.oldest_messages.items()}
            found["unowned_lanes"] = dict(health.unowned_lanes)
            found["recent_dead_letters"] = dict(health.recent_dead_letters)
        return found


def _path(scope: Scope) -> str:
    """The path below the prefix where the application is mounted; some frameworks leave the prefix in the path."""
    path, prefix = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return path.removeprefix(prefix) if path.startswith(f"{prefix}/") else path


async def _live_and_end(receive: Receive, send: Send) -> None:
    """A server that runs this application alone waits for both answers."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
