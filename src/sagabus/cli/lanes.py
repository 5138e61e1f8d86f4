"""`sagabus lanes`: show the number of lanes of a store, change it, or fence all lanes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import click

from sagabus.cli.opening import json_option, opened, split_target, store_option
from sagabus.cli.output import emit_json
from sagabus.cli.rendering import count_text
from sagabus.cli.text import printable
from sagabus.envelope import lanes_problem
from sagabus.store.upkeep import Divided


@click.command("lanes")
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS] [NUMBER]")
@store_option
@click.option(
    "--fence",
    is_flag=True,
    help="Fence all lanes: in-flight work is rejected and redelivered.",
)
@json_option
def lanes(arguments: tuple[str, ...], url: str | None, *, fence: bool, as_json: bool) -> None:
    """Show the number of lanes of a store, change it, or fence all lanes.

    The store is that of MODULE:BUS, or the one at --store URL. Workers may keep running. When the number changes, the
    store rejects in-flight work. That work runs again in the order of its keys, and no attempt is counted.

    --fence keeps the number of lanes. Call it after a restore, or after a failover that lost commits, before workers
    reach the store. Without it, workers could remove messages that they have never read.

    Exit codes: 0 shown or done, 2 the arguments are wrong.
    """
    target, rest = split_target(arguments, url)
    if len(rest) > 1:
        raise click.UsageError(f"unexpected argument {printable(rest[1])}")
    if rest and not (rest[0].isascii() and rest[0].isdigit() and int(rest[0])):
        raise click.UsageError(f"{printable(rest[0])} is no number of lanes")
    if rest and (problem := lanes_problem(int(rest[0]))) is not None:
        raise click.UsageError(problem)
    if rest and fence:
        raise click.UsageError("--fence keeps the number of lanes: give --fence or a number, not both")
    if fence:
        _tell_fenced(asyncio.run(_fence_all(target, url)), as_json=as_json)
    else:
        _tell_divided(asyncio.run(_divide(target, url, int(rest[0]) if rest else None)), rest, as_json=as_json)


def _tell_fenced(fenced: int, *, as_json: bool) -> None:
    if as_json:
        emit_json({"fenced": fenced})
    else:
        done = f"{count_text(fenced, 'lane')} fenced; in-flight work is rejected and redelivered"
        click.echo(done if fenced else "no lanes yet: nothing to fence")


def _tell_divided(done: Divided, asked: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        emit_json(done)
    elif not asked:
        click.echo(count_text(done.lanes, "lane") if done.lanes else "no lanes yet: the first subscription makes them")
    elif done.before == done.lanes:
        click.echo(f"{count_text(done.lanes, 'lane')} already: nothing to do")
    else:
        moved = count_text(done.moved, "message")
        click.echo(f"{done.before} lanes became {done.lanes}; {moved} went to another one")


def _announce(number: int, there: int, channels: int) -> None:
    """Say it before the work, so that a log shows the intention even if the command is interrupted."""
    if number != there:
        of = count_text(channels, "subscription")
        click.echo(f"dividing {of} into {number} lanes instead of {there}; messages in flight run again", err=True)


async def _fence_all(target: str | None, url: str | None) -> int:
    async with opened(target, url) as bus:
        return await bus.store.fence_all()


async def _divide(target: str | None, url: str | None, number: int | None) -> Divided:
    async with opened(target, url) as bus:
        routing = await bus.store.routing()
        there = routing.lanes
        if number is not None:
            _announce(number, there, len({each.channel for each in routing.subscriptions}))
            return await bus.store.divide(number)
        return Divided(there, there)
