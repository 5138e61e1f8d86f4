"""From `--store` to a place to play: a file, a separate part of a user's server, or a private server.

What was made for the demonstration is gone afterwards; what the user named is kept.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from sagabus.cli.demonstration.app_table import Room, file_of
from sagabus.cli.demonstration.app_tables import SCHEMES, place_of, room_at
from sagabus.cli.output import Refused, one_line
from sagabus.clock import SystemClock
from sagabus.errors import SagaBusError
from sagabus.settings import Settings
from sagabus.store_urls import store_from_url
from sagabus.url import scheme_of

if TYPE_CHECKING:
    from sagabus.testing.servers import PrivateServer

_CLEARING = 10.0
_PRIVATE = ("postgresql:private", "mysql:private")


class OwnServer:
    """A server that may be ended at any moment. Its calls do not block the event loop, and are not cut short."""

    def __init__(self, server: PrivateServer, keep: Callable[[], object] | None = None) -> None:
        """`keep`: have it write what it would lose if it were killed soon, though it has confirmed it."""
        self._server = server
        self._keep = keep
        self.url = server.url

    async def start(self) -> None:
        """Ready when it returns, with the data of last time."""
        await self._finished(self._server.start)
        await self.keep()

    async def keep(self) -> None:
        """What it has confirmed by now outlives a kill."""
        if self._keep is not None:
            await self._finished(self._keep)

    async def end(self, how: Literal["killed", "stopped"]) -> None:
        """Killed without warning, or stopped in good order; the data are kept."""
        await self._finished(self._server.kill if how == "killed" else self._server.stop)

    async def close(self) -> None:
        """Gone, with its data."""
        await self._finished(self._server.close)

    @staticmethod
    async def _finished(call: Callable[[], object]) -> None:
        running = asyncio.ensure_future(asyncio.to_thread(call))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])  # one call at a time: closing comes after it
            raise


@dataclass(frozen=True, slots=True)
class Venue:
    """Where to play."""

    urls: Sequence[str]
    """Of one store for each service."""
    server: OwnServer | None = None
    """A server that is the demonstration's own to end."""
    lease: int = 1
    """Seconds after which a killed worker's messages go to others; more where each look takes a way over a network."""
    is_kept: bool = False
    """Whether the stores outlive the demonstration, and whatever a killed one has left in them."""


def is_private(store: str | None) -> bool:
    """Whether `--store` asks for a server of the demonstration's own."""
    return store in (*_PRIVATE, "postgres:private", "mariadb:private")


@asynccontextmanager
async def venue_at(store: str | None, folder: Path, services: Sequence[str] = ("",)) -> AsyncGenerator[Venue]:
    """The place that `--store` names, or a new file in the folder: one for each service, that of the only one without
    a name. Refused where there is none to play at.
    """
    if store is None:
        yield Venue([f"sqlite:///{folder}/{service or 'demo'}.db" for service in services])
    elif is_private(store):
        async with _private(services, is_postgres=store.startswith("postgres")) as venue:
            yield venue
    elif scheme_of(store) not in SCHEMES:
        raise Refused(
            "--store: name a SQLite file (sqlite:///demo.db), a server (postgresql://…, mysql://…) or "
            f"{' or '.join(_PRIVATE)}"
        )
    else:
        if scheme_of(store) == "sqlite":
            file_of(store)
        name = f"demo_{secrets.token_hex(5)}"
        rooms = [room_at(store, f"{name}_{service}" if service else name) for service in services]
        async with AsyncExitStack() as furnished:
            for room in filter(None, rooms):
                await furnished.enter_async_context(_furnished(room))
            urls = [
                room.url if room else place_of(store, service) for room, service in zip(rooms, services, strict=True)
            ]
            yield Venue(urls, lease=_lease(store), is_kept=not any(rooms))


def _lease(store: str) -> int:
    return 1 if scheme_of(store) == "sqlite" else 3


@asynccontextmanager
async def _furnished(room: Room) -> AsyncGenerator[None]:
    """The room with a store in it; cleared at the end, however that comes."""
    store = store_from_url(room.url, SystemClock(), Settings().lanes)
    is_there = False
    try:
        await store.open()
        is_there = True
        await store.close()
        yield
    finally:
        await _clear(room, is_there=is_there)


async def _clear(room: Room, *, is_there: bool) -> None:
    try:
        async with asyncio.timeout(_CLEARING):
            await room.clear()
    except (SagaBusError, TimeoutError) as error:
        if is_there:  # otherwise there is nothing to clear, and the original error is raised
            click.echo(f"sagabus: {room} could not be removed: {one_line(str(error)) or 'in use'}", err=True)


@asynccontextmanager
async def _private(services: Sequence[str], *, is_postgres: bool) -> AsyncGenerator[Venue]:
    try:
        from sagabus.testing.servers import PrivateMariaDB, PrivatePostgres
    except ImportError as error:
        raise Refused(f"a private server needs a POSIX system ({error})") from error

    async with own_server(PrivatePostgres() if is_postgres else PrivateMariaDB()) as server:
        yield Venue([place_of(server.url, service) for service in services], server)


@asynccontextmanager
async def own_server(private: PrivateServer, keep: Callable[[], object] | None = None) -> AsyncGenerator[OwnServer]:
    """The server, which runs; gone at the end. Refused where it does not start."""
    from sagabus.testing.sandbox import ServerFailed

    server = OwnServer(private, keep)
    try:
        await server.start()
        yield server
    except ServerFailed as error:
        lines = str(error).splitlines()
        raise Refused(": ".join(dict.fromkeys((lines[0], lines[-1])))) from error
    finally:
        await server.close()
