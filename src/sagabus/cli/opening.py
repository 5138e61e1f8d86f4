"""Which store a command is about: the one at `--store URL`, or the one of the bus at MODULE:BUS."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sagabus.cli.loading import load_bus
from sagabus.cli.output import Refused
from sagabus.cli.text import printable

if TYPE_CHECKING:
    from sagabus.bus import Bus
    from sagabus.store import Store

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """`--json`, the same for every command."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object or array on the last line.")(
        function
    )


def store_option(function: F) -> F:
    """`--store`, the same for every command that is about a store."""
    return click.option("--store", "url", metavar="URL", help="The store, such as sqlite:///orders.db.")(function)


def split_target(arguments: Sequence[str], url: str | None) -> tuple[str | None, list[str]]:
    """MODULE:BUS (None beside `--store`) and the arguments that follow it."""
    if url is not None:
        return None, list(arguments)
    if not arguments:
        raise click.UsageError("which store? Give MODULE:BUS first, or --store URL")
    if ":" not in arguments[0]:
        raise click.UsageError(
            f"which store? {printable(arguments[0])} is no MODULE:BUS; give one first, or --store URL"
        )
    return arguments[0], list(arguments[1:])


@asynccontextmanager
async def opened(target: str | None, url: str | None) -> AsyncGenerator[Bus]:
    """A bus to look at a store that exists, without definitions of its own: nothing is subscribed or made."""
    from sagabus.bus import Bus

    bus = Bus(store_of(target, url))
    _check_exists(bus.store, target or url or "")
    await bus.open(worker=False)
    try:
        yield bus
    finally:
        await bus.close()


def store_of(target: str | None, url: str | None) -> Store:
    """The store of the bus at MODULE:BUS, or the one at the URL; not opened."""
    from sagabus.bus import Bus

    return load_bus(target).store if target is not None else Bus(url or "").store


def applied_versions(store: Store) -> list[int] | None:
    """The schema versions that a database file has had; None for what is no file, or cannot be read."""
    path = _path(store)
    if path is None:
        return None
    if not Path(path).exists():
        return []
    import apsw

    from sagabus.stores.sqlite import schema

    try:
        with closing(apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            return sorted(schema.applied(connection))
    except apsw.Error:
        return None


def _check_exists(store: Store, named: str) -> None:
    path = _path(store)
    if path is not None and not Path(path).exists():
        raise Refused(f"{printable(path)}: no such file; `sagabus migrate` makes an empty store")
    if path is not None and applied_versions(store) == []:
        raise Refused(
            f"{printable(path)} has no tables of sagabus; is {printable(named)} right? `sagabus migrate` adds them"
        )


def _path(store: Store) -> str | None:
    path: object = getattr(store, "path", None)
    return path if isinstance(path, str) else None
