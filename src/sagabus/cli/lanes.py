"""`sagabus lanes`: into how many lanes the channels of a store are divided, and another number."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import click

from sagabus.cli.opening import json_option, opened, split_target, store_option
from sagabus.cli.output import emit_json
from sagabus.cli.rendering import count_text
from sagabus.cli.text import printable
from sagabus.envelope import lanes_problem
from sagabus.upkeep import Divided


@click.command("lanes")
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS] [NUMBER]")
@store_option
@click.option(
    "--begin-anew",
    "anew",
    is_flag=True,
    help="Fence off all that workers have in hand: the store lacks something.",
)
@json_option
def lanes(arguments: tuple[str, ...], url: str | None, *, anew: bool, as_json: bool) -> None:
    """Show into how many lanes the channels of a store are divided, or divide them anew.

    The store is that of MODULE:BUS, or the one at --store URL. Workers may go on: what they have in hand at that moment
    is thrown away, uncounted, and runs again under the new number, in order.

    With --begin-anew the number stays. It is for a server that leads on without the last commits of the one before, or
    a copy that was restored, before workers reach it: else what they have in hand could remove others' messages there.

    Exit codes: 0 shown or done, 2 not possible as asked.
    """
    target, rest = split_target(arguments, url)
    if len(rest) > 1:
        raise click.UsageError(f"unexpected argument {printable(rest[1])}")
    if rest and not (rest[0].isascii() and rest[0].isdigit() and int(rest[0])):
        raise click.UsageError(f"{printable(rest[0])} is no number of lanes")
    if rest and (problem := lanes_problem(int(rest[0]))) is not None:
        raise click.UsageError(problem)
    if rest and anew:
        raise click.UsageError("lanes that begin anew stay as many as they are: give --begin-anew or a number")
    if anew:
        _tell_begun(asyncio.run(_begin_anew(target, url)), as_json=as_json)
    else:
        _tell_divided(asyncio.run(_divide(target, url, int(rest[0]) if rest else None)), rest, as_json=as_json)


def _tell_begun(begun: int, *, as_json: bool) -> None:
    if as_json:
        emit_json({"begun": begun})
    else:
        done = f"{count_text(begun, 'lane')} of all subscriptions began anew; what was in hand commits nothing"
        click.echo(done if begun else "no lanes yet: nothing was in hand")


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
    """Before the work, so that a log shows what was meant even where it broke off."""
    if number != there:
        of = count_text(channels, "subscription")
        click.echo(f"dividing {of} into {number} lanes instead of {there}; messages in flight run again", err=True)


async def _begin_anew(target: str | None, url: str | None) -> int:
    async with opened(target, url) as bus:
        return await bus.store.begin_anew()


async def _divide(target: str | None, url: str | None, number: int | None) -> Divided:
    async with opened(target, url) as bus:
        routing = await bus.store.routing()
        there = routing.lanes
        if number is not None:
            _announce(number, there, len({each.channel for each in routing.subscriptions}))
            return await bus.store.divide(number)
        return Divided(there, there)
