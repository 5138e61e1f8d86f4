"""`sagabus topology`: what a service needs at its brokers, and making it there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sagabus.cli.loading import load_bus
from sagabus.cli.opening import json_option
from sagabus.cli.output import Refused, emit_json
from sagabus.cli.rendering import show_table
from sagabus.cli.text import printable

if TYPE_CHECKING:
    from sagabus.bus import Bus
    from sagabus.bus.broker_views import BrokerView


@click.command("topology")
@click.argument("target", metavar="MODULE:BUS")
@click.option("--declare", is_flag=True, help="Make at the brokers what is missing.")
@click.option("--move", is_flag=True, help="Make the queue feed this store, whichever it fed before.")
@click.option("--new-identity", is_flag=True, help="Tell this store, a copy, from the one that it was copied from.")
@json_option
def topology(target: str, *, declare: bool, move: bool, new_identity: bool, as_json: bool) -> None:
    """Show what the service of MODULE:BUS needs at its brokers: queues, exchanges, streams and what leads into them.

    Without an option the command asks neither the store nor a broker. --declare makes what is missing, and removes
    nothing. A queue remembers which store it feeds. --move lets it feed the store of MODULE:BUS: stop the workers of
    the former store first. --new-identity is for a copy of a store, such as a staging system.

    Exit codes: 0 shown or done, 2 could not run, or a broker refuses it.
    """
    bus = load_bus(target)
    if not len(bus.brokers):
        raise Refused(f"{printable(target)} has no transport: give the Bus one, and the name of its service")
    does = declare or move or new_identity
    views = asyncio.run(_declare(bus, move=move, renew=new_identity)) if does else tuple(bus.brokers)
    if as_json:
        emit_json({"target": target, "declared": does, "brokers": views})
        return
    for view in views:
        _tell(view)
    if does:
        click.echo("declared")


async def _declare(bus: Bus, *, move: bool, renew: bool) -> Sequence[BrokerView]:
    await bus.open(worker=False)
    try:
        return await bus.brokers.declare(move=move, renew=renew)
    finally:
        await bus.close()


def _tell(view: BrokerView) -> None:
    name = f"{view.name}: " if view.name else ""
    click.echo(f"{printable(name)}{printable(view.place)}")
    kept = f", but not {', '.join(view.keeps)}" if view.keeps else ""
    click.echo(f"  leaves by it: {', '.join(view.sends) or 'nothing'}{kept}")
    rows = [
        [part.kind, part.name, ", ".join(part.receives), ", ".join(f"{k}={v}" for k, v in part.settings.items())]
        for part in view.parts
    ]
    if rows:
        show_table(("part", "name", "receives", "settings"), rows)
    else:
        click.echo("  the service receives nothing from it")
