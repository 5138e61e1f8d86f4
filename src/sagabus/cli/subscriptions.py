"""`sagabus subscriptions`: who receives what in a store, and what nobody receives any more removed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from sagabus.cli.opening import json_option, opened, split_target, store_option
from sagabus.cli.output import emit_json
from sagabus.cli.rendering import count_text, show_table
from sagabus.cli.text import printable

if TYPE_CHECKING:
    from sagabus.bus import Bus
    from sagabus.inspection import ChannelCounts

_LISTED = ("subscription", "message", "kind", "waiting", "dead")


@click.group("subscriptions")
def subscriptions() -> None:
    """List subscriptions, and remove those that are gone.

    The store is that of MODULE:BUS, given first, or the one at --store URL.
    """


@subscriptions.command("list")
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS]")
@store_option
@json_option
def list_(arguments: tuple[str, ...], url: str | None, *, as_json: bool) -> None:
    """List which handler or saga receives which message, and how many messages each has waiting in all.

    Exit codes: 0 listed (also when there are none), 2 not possible as asked.
    """
    target, rest = split_target(arguments, url)
    if rest:
        raise click.UsageError(f"unexpected argument {printable(rest[0])}")
    found = asyncio.run(_list(target, url))
    if as_json:
        emit_json(found)
    else:
        show_table(_LISTED, [[each[name] for name in _LISTED] for each in found])


@subscriptions.command("remove")
@click.argument("arguments", nargs=-1, required=True, metavar="[MODULE:BUS] SUBSCRIPTION [MESSAGE]...")
@store_option
@click.option("--force", is_flag=True, help="Also while messages wait there; they stay, and nothing handles them.")
@json_option
@click.pass_context
def remove(ctx: click.Context, arguments: tuple[str, ...], url: str | None, *, force: bool, as_json: bool) -> None:
    """Remove a subscription that is gone: it receives nothing any more, of the MESSAGEs named or of any.

    Refused while messages wait there. A bus that still has its handler or saga subscribes it again when it opens.

    Exit codes: 0 removed, 1 there is none, or messages wait, 2 not possible as asked.
    """
    target, rest = split_target(arguments, url)
    if not rest:
        raise click.UsageError("give a SUBSCRIPTION")
    removed, waiting = asyncio.run(_remove(target, url, rest[0], rest[1:], force=force))
    if as_json:
        emit_json({"subscription": rest[0], "removed": removed, "waiting": waiting})
    for name in removed if not as_json else ():
        click.echo(f"{printable(rest[0])} no longer receives {printable(name)}")
    if waiting:
        stay = "they stay, and nothing handles them" if removed else "remove it with --force to leave them there"
        click.echo(f"{count_text(waiting, 'message')} in {printable(rest[0])}: {stay}", err=True)
    elif not removed:
        click.echo(f"sagabus: no such subscription: {' '.join(map(printable, rest))}", err=True)
    ctx.exit(0 if removed else 1)


async def _list(target: str | None, url: str | None) -> list[dict[str, object]]:
    async with opened(target, url) as bus:
        counts = {each.channel: each for each in await bus.counts()}
        return [
            {
                "subscription": each.channel,
                "message": each.message_type,
                "kind": each.kind,
                "waiting": _waiting(counts.get(each.channel)),
                "dead": found.dead if (found := counts.get(each.channel)) is not None else 0,
            }
            for each in sorted((await bus.store.routing()).subscriptions, key=lambda s: (s.channel, s.message_type))
        ]


async def _remove(
    target: str | None, url: str | None, channel: str, messages: list[str], *, force: bool
) -> tuple[list[str], int]:
    """The messages no longer received, and how many wait there."""
    async with opened(target, url) as bus:
        known = {each.message_type for each in (await bus.store.routing()).subscriptions if each.channel == channel}
        chosen = sorted(messages or known) if known.issuperset(messages) else []
        if chosen and not force and (waiting := await _count(bus, channel)):
            return [], waiting
        for name in chosen:
            await bus.store.unregister(channel, name)
        return chosen, await _count(bus, channel) if chosen else 0


async def _count(bus: Bus, channel: str) -> int:
    return _waiting(next((each for each in await bus.counts() if each.channel == channel), None))


def _waiting(counts: ChannelCounts | None) -> int:
    if counts is None:
        return 0
    return counts.ready + counts.scheduled + counts.timers + counts.retrying + counts.stashed
