"""The store of a command: the one at `--store URL`, or that of the bus at MODULE:BUS."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import click

from sagabus.cli.loading import load_bus
from sagabus.cli.output import Refused
from sagabus.cli.text import printable
from sagabus.url import shown

if TYPE_CHECKING:
    from sagabus.bus import Bus
    from sagabus.store import Store

F = TypeVar("F", bound=Callable[..., Any])

POSITION = click.IntRange(0, 2**63 - 1)
"""Numbers of rows, in every database."""
PAGE = click.IntRange(1, 1_000_000)
"""How many rows one call may read."""


def json_option(function: F) -> F:
    """`--json`, the same for every command."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object or array on the last line.")(
        function
    )


def store_option(function: F) -> F:
    """`--store`, the same for every command with a store."""
    return click.option(
        "--store",
        "url",
        metavar="URL",
        help="The store, such as sqlite:///orders.db or postgresql://user@host/database.",
    )(function)


def split_target(arguments: Sequence[str], url: str | None) -> tuple[str | None, list[str]]:
    """MODULE:BUS (None with `--store`) and the arguments that follow it."""
    if url is not None:
        return None, list(arguments)
    if not arguments:
        raise click.UsageError("no store given: give MODULE:BUS first, or --store URL")
    if ":" not in arguments[0]:
        raise click.UsageError(
            f"no store given: {printable(arguments[0])} is no MODULE:BUS; give one first, or --store URL"
        )
    return arguments[0], list(arguments[1:])


@asynccontextmanager
async def opened(target: str | None, url: str | None) -> AsyncGenerator[Bus]:
    """A bus without definitions on an existing store: it subscribes and makes nothing."""
    from sagabus.bus import Bus

    bus = Bus(store_of(target, url))
    await _check_exists(bus.store, named(bus.store, target, url))
    await bus.open(worker=False)
    try:
        yield bus
    finally:
        await bus.close()


def store_of(target: str | None, url: str | None) -> Store:
    """The store of the bus at MODULE:BUS, or the one at the URL; not opened."""
    from sagabus.bus import Bus

    return load_bus(target).store if target is not None else Bus(url or "").store


async def applied_versions(store: Store) -> list[int] | None:
    """The schema versions of a database, which this call never makes; None if it has none or cannot be read."""
    path = _path(store)
    if path is not None:
        return _versions_of_file(path)
    return await store.versions() if isinstance(store, _OnServer) else None


def named(store: Store, target: str | None, url: str | None) -> str:
    """The store as the user named it, but never with a password."""
    return printable(target or (store.place if isinstance(store, _OnServer) else shown(url)))


def script_of(store: Store) -> str | None:
    """The SQL of a store's tables; None if it has none."""
    if _path(store) is not None:
        from sagabus.stores.sqlite import schema

        return schema.script()
    return store.script() if isinstance(store, _OnServer) else None


@runtime_checkable
class _OnServer(Protocol):
    place: str

    async def versions(self) -> list[int]: ...

    def script(self) -> str: ...


def _versions_of_file(path: str) -> list[int] | None:
    if not Path(path).exists():
        return []
    import apsw

    from sagabus.stores.sqlite import schema

    try:
        with closing(apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            return sorted(schema.applied(connection))
    except apsw.Error:
        return None


async def _check_exists(store: Store, name: str) -> None:
    if await applied_versions(store) != []:
        return
    path = _path(store)
    if path is None:
        raise Refused(f"{name} has no tables of sagabus with this schema and prefix; `sagabus migrate` makes them")
    if not os.path.exists(path):  # noqa: ASYNC240, PTH110  # a path is a text here, and no other task runs
        raise Refused(f"{printable(path)}: no such file; `sagabus migrate` makes an empty store")
    raise Refused(f"{printable(path)} has no tables of sagabus; check {name}; `sagabus migrate` makes them")


def _path(store: Store) -> str | None:
    path: object = getattr(store, "path", None)
    return path if isinstance(path, str) else None
