"""`sagabus lanes`: into how many lanes the channels of a store are divided, and another number."""

from __future__ import annotations

import asyncio

import click

from sagabus.cli.opening import json_option, opened, split_target, store_option
from sagabus.cli.output import emit_json
from sagabus.cli.rendering import count_text
from sagabus.cli.text import printable
from sagabus.store import Divided


@click.command("lanes")
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS] [NUMBER]")
@store_option
@json_option
def lanes(arguments: tuple[str, ...], url: str | None, *, as_json: bool) -> None:
    """Show into how many lanes the channels of a store are divided, or divide them anew.

    The store is that of MODULE:BUS, or the one at --store URL. Workers may go on: what they have in hand at that moment
    is thrown away, uncounted, and runs again under the new number, in order.

    Exit codes: 0 shown or done, 2 not possible as asked.
    """
    target, rest = split_target(arguments, url)
    if len(rest) > 1:
        raise click.UsageError(f"unexpected argument {printable(rest[1])}")
    if rest and not (rest[0].isascii() and rest[0].isdigit() and int(rest[0])):
        raise click.UsageError(f"{printable(rest[0])} is no number of lanes")
    done = asyncio.run(_divide(target, url, int(rest[0]) if rest else None))
    if as_json:
        emit_json(done)
    elif not rest:
        click.echo(count_text(done.lanes, "lane") if done.lanes else "no lanes yet: the first subscription makes them")
    elif done.before == done.lanes:
        click.echo(f"{count_text(done.lanes, 'lane')} already: nothing to do")
    else:
        moved = count_text(done.moved, "message")
        click.echo(f"{done.before} lanes became {done.lanes}; {moved} went to another one")


async def _divide(target: str | None, url: str | None, number: int | None) -> Divided:
    async with opened(target, url) as bus:
        if number is not None:
            return await bus.store.divide(number)
        there = (await bus.store.routing()).lanes
        return Divided(there, there)
