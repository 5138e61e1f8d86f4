"""`sagabus migrate`: the tables of a store, brought up to date or printed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from sagabus.cli.opening import applied_versions, json_option, split_target, store_of, store_option
from sagabus.cli.output import emit_json
from sagabus.cli.text import printable

if TYPE_CHECKING:
    from sagabus.store import Store


@click.command("migrate")
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS]")
@store_option
@click.option("--sql", is_flag=True, help="Print the SQL of the tables instead, for those who apply schemas by hand.")
@json_option
def migrate(arguments: tuple[str, ...], url: str | None, *, sql: bool, as_json: bool) -> None:
    """Bring the tables of a store up to date; a SQLite file that is not there is made.

    The store is that of MODULE:BUS, or the one at --store URL. Workers do the same when they start: this command is for
    those who want it done before. Doing it twice changes nothing. With --sql no store is needed and none is touched.

    Exit codes: 0 up to date, 2 not possible as asked.
    """
    if sql:
        _print_sql(as_json=as_json)
        return
    target, rest = split_target(arguments, url)
    if rest:
        raise click.UsageError(f"unexpected argument {printable(rest[0])}")
    store = store_of(target, url)
    before = applied_versions(store)
    asyncio.run(_open_once(store))
    versions = applied_versions(store)
    new = sorted(set(versions or ()) - set(before or ()))
    if as_json:
        emit_json({"store": url or target, "version": max(versions or [0]), "applied": new})
    elif versions is None:
        click.echo("this store has no tables to migrate")
    else:
        done = f"applied {', '.join(map(str, new))}" if new else "nothing to do"
        click.echo(f"{printable(url or target)}: {done}; the schema is at version {max(versions)}")


def _print_sql(*, as_json: bool) -> None:
    from sagabus.stores.sqlite import schema

    if as_json:
        emit_json({"sql": schema.script()})
    else:
        click.echo(schema.script())


async def _open_once(store: Store) -> None:
    await store.open()
    await store.close()
