"""`sagabus subscriptions`: list who receives what in a store, and remove subscriptions."""

from __future__ import annotations

import asyncio

import click

from sagabus.cli.opening import json_option, opened, split_target, store_option
from sagabus.cli.output import emit_json
from sagabus.cli.rendering import show_table
from sagabus.cli.subscription_use import Use, confirmed, use_of, waiting
from sagabus.cli.text import printable
from sagabus.errors import UnknownName

_LISTED = ("subscription", "message", "kind", "waiting", "dead")


@click.group("subscriptions")
def subscriptions() -> None:
    """List subscriptions, and remove old ones.

    The store is that of MODULE:BUS, given first, or the one at --store URL.
    """


@subscriptions.command("list")
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS]")
@store_option
@json_option
def list_(arguments: tuple[str, ...], url: str | None, *, as_json: bool) -> None:
    """List which handler or saga receives which message, and how many messages wait there.

    Exit codes: 0 listed (also when there are none), 2 could not run.
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
@click.option("--yes", is_flag=True, help="Remove without asking.")
@click.option("--force", is_flag=True, help="Remove also if it is in use or has messages; these stay, unhandled.")
@json_option
@click.pass_context
def remove(
    ctx: click.Context, arguments: tuple[str, ...], url: str | None, *, yes: bool, force: bool, as_json: bool
) -> None:
    """Remove a subscription: it no longer receives the MESSAGEs named, or any message if none is named.

    The command lists what the removal cuts off, and asks first. It refuses if the bus at MODULE:BUS declares the
    subscription, if a live worker serves it, or if messages wait in it. --force removes it in spite of that.

    Exit codes: 0 removed, 1 refused or not confirmed, 2 could not run.
    """
    target, rest = split_target(arguments, url)
    if not rest:
        raise click.UsageError("give a SUBSCRIPTION")
    removed, use = asyncio.run(_remove(target, url, rest[0], rest[1:], yes=yes, force=force))
    if as_json:
        emit_json({"subscription": rest[0], "removed": removed, **use.fields()})
    for name in removed if not as_json else ():
        click.echo(f"{printable(rest[0])} no longer receives {printable(name)}")
    ctx.exit(0 if removed else 1)


async def _list(target: str | None, url: str | None) -> list[dict[str, object]]:
    async with opened(target, url) as bus:
        counts = {each.channel: each for each in await bus.counts()}
        return [
            {
                "subscription": each.channel,
                "message": each.message_type,
                "kind": each.kind,
                "waiting": waiting(counts.get(each.channel)),
                "dead": found.dead if (found := counts.get(each.channel)) is not None else 0,
            }
            for each in sorted((await bus.store.routing()).subscriptions, key=lambda s: (s.channel, s.message_type))
        ]


async def _remove(
    target: str | None, url: str | None, channel: str, messages: list[str], *, yes: bool, force: bool
) -> tuple[list[str], Use]:
    """The messages that it no longer receives, and the use of the subscription."""
    async with opened(target, url) as bus:
        routing = await bus.store.routing()
        known = {each.message_type for each in routing.subscriptions if each.channel == channel}
        if not known:
            raise UnknownName("subscription", channel, {each.channel for each in routing.subscriptions})
        for name in messages:
            if name not in known:
                raise UnknownName(f"message received by {channel}", name, known)
        chosen = sorted(messages or known)
        use = await use_of(bus, target, channel)
        if not confirmed(channel, chosen, use, yes=yes, force=force):
            return [], use
        for name in chosen:
            await bus.store.unregister(channel, name)
        return chosen, use
