"""The store of a command: the one at `--store URL`, or that of the bus at MODULE:BUS."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from math import isnan
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sagabus.cli.loading import load_bus
from sagabus.cli.output import Refused
from sagabus.cli.text import printable, span_of
from sagabus.clock import LONGEST
from sagabus.errors import UnknownName
from sagabus.store import Capability
from sagabus.url import shown

if TYPE_CHECKING:
    from sagabus.bus import Bus
    from sagabus.store import Administration, Store

F = TypeVar("F", bound=Callable[..., Any])

POSITION = click.IntRange(0, 2**63 - 1)
"""Numbers of rows, in every database."""
PAGE = click.IntRange(1, 1_000_000)
"""How many rows one call may read."""


class Seconds(click.FloatRange):
    """A duration in seconds, or with a unit (`15min`), as long as any of the library at most."""

    def __init__(self, *, min_open: bool = False) -> None:
        super().__init__(min=0, min_open=min_open, max=LONGEST.total_seconds())

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType`."""
        span = span_of(value) if isinstance(value, str) else None
        seconds: Any = value if span is None else span.total_seconds()
        found = super().convert(seconds, param, ctx)
        if isnan(found):  # it compares with no limit
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return found


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
    """A bus without definitions on an existing store: it subscribes, makes and migrates nothing.

    The error about an unknown saga names those that the bus at MODULE:BUS declares.
    """
    from sagabus.bus import Bus
    from sagabus.settings import Settings

    declared = Bus(url or "") if target is None else load_bus(target)
    own = declared.settings
    bus = Bus(declared.store, settings=Settings(journal=own.journal, journal_sample=own.journal_sample))
    await _check_usable(bus.store, named(target, url))
    await bus.open(worker=False)
    try:
        yield bus
    except UnknownName as error:
        if error.kind != "saga":
            raise
        sagas = {each.name: each.has_instances for each in declared.definitions}
        known = {each for each in error.known if sagas.get(each, True)}
        raise UnknownName("saga", error.name, known.union(each for each in sagas if sagas[each])) from error
    finally:
        await bus.close()


def store_of(target: str | None, url: str | None) -> Store:
    """The store of the bus at MODULE:BUS, or the one at the URL; not opened."""
    from sagabus.bus import Bus

    return load_bus(target).store if target is not None else Bus(url or "").store


def named(target: str | None, url: str | None) -> str:
    """The store as the user named it, but never with a password."""
    return printable(target or shown(url))


async def _check_usable(store: Store, name: str) -> None:
    if Capability.SHARED not in store.capabilities:
        raise Refused(f"{name} is in the memory of one process: only that process can look into it")
    absence = await store.absence()
    if absence is not None:
        where = "" if name in absence else f"{name}: "
        raise Refused(f"{where}{printable(absence)}; `sagabus migrate` makes an empty store")
    _, problem = await schema_of(store)
    if problem is not None:
        raise Refused(f"{name}: {problem}")


async def schema_of(store: Administration) -> tuple[int | None, str | None]:
    """The version of the schema, and what is wrong with it. To open the store would migrate it."""
    if (absence := await store.absence()) is not None:
        return None, f"{printable(absence)}; `sagabus migrate` makes an empty store"
    versions, newest = await store.versions(), store.newest_version()
    if not versions or newest is None or versions[-1] == newest:
        return newest, None
    version, what = versions[-1], f"the schema has version {versions[-1]}, and this release works with {newest}"
    if version > newest:
        return version, f"{what}: upgrade sagabus here"
    return version, f"{what}: start a worker of this release, or run `sagabus migrate`"
