"""`sagabus migrate`: bring the tables of a store up to date, or print their SQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sagabus.cli.loading import load_bus
from sagabus.cli.opening import json_option, named, split_target, store_of, store_option
from sagabus.cli.output import emit_json
from sagabus.cli.text import printable

if TYPE_CHECKING:
    from sagabus.bus import Bus
    from sagabus.store import Store

_SOME_FILE = "sqlite:///any.db"
_NO_TABLES = "this store has no tables to migrate"


@click.command("migrate")
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS]")
@store_option
@click.option("--sql", is_flag=True, help="Print the SQL of the tables instead, to apply it by hand.")
@json_option
def migrate(arguments: tuple[str, ...], url: str | None, *, sql: bool, as_json: bool) -> None:
    """Bring the tables of a store up to date, and register the subscriptions of MODULE:BUS.

    The store is that of MODULE:BUS, or the one at --store URL. The command makes a missing SQLite file or schema.
    Workers do the same when they start. Run this before you deploy processes that publish: their messages then wait
    for the workers. Running it twice changes nothing. --sql reads only the URL of the store, and prints the SQL of a
    SQLite file without one.

    Exit codes: 0 up to date, 2 could not run.
    """
    if sql and not arguments and url is None:
        url = _SOME_FILE
    target, rest = split_target(arguments, url)
    if rest:
        raise click.UsageError(f"unexpected argument {printable(rest[0])}")
    store = store_of(target, url)
    if sql:
        _print_sql(store.script(), as_json=as_json)
        return
    before, versions = asyncio.run(_migrate(store))
    registered = asyncio.run(_register(load_bus(target))) if target is not None else []
    new = sorted(set(versions or ()) - set(before or ()))
    name = named(target, url)
    if as_json:
        emit_json({"store": name, "version": max(versions or [0]), "applied": new, "registered": registered})
        return
    if versions is None:
        click.echo(_NO_TABLES)
    else:
        done = f"applied {', '.join(map(str, new))}" if new else "nothing to do"
        click.echo(f"{name}: {done}; the schema is at version {max(versions)}")
    for subscription in registered:
        click.echo(f"registered {printable(subscription)}")


def _print_sql(script: str | None, *, as_json: bool) -> None:
    if as_json:
        emit_json({"sql": script})
    else:
        click.echo(script or f"-- {_NO_TABLES}")


async def _register(bus: Bus) -> list[str]:
    """Register the subscriptions of a bus; returns the new and changed ones."""
    await bus.store.open()
    before = set((await bus.store.routing()).subscriptions)
    await bus.open(worker=False)
    after = set((await bus.store.routing()).subscriptions)
    await bus.close()
    return sorted(f"{each.channel}: {each.message_type}" for each in after - before)


async def _migrate(store: Store) -> tuple[Sequence[int] | None, Sequence[int] | None]:
    """The versions before and after."""
    before = await store.versions()
    await store.open()
    await store.close()
    return before, await store.versions()
