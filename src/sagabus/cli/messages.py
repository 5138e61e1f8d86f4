"""`sagabus messages` and `sagabus timers`: what waits in a store, message by message."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

import click

from sagabus.bus.inspection.records import Kind
from sagabus.cli.opening import json_option, opened, split_target, store_option
from sagabus.cli.output import emit_json
from sagabus.cli.records import data_of
from sagabus.cli.rendering import show_table
from sagabus.cli.runs import show_runs
from sagabus.cli.text import LATER, MOMENT, printable, time_text

if TYPE_CHECKING:
    from sagabus.bus.inspection.records import MessagePage, MessageRecord

_PAGE = click.IntRange(1, 10_000)
_LISTED = ("subscription", "kind", "message", "key", "sent", "due", "attempts", "position", "id")
_TIMERS = ("saga", "key", "timer", "due", "kind", "attempts")


def _place(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"\d{1,18}\.\d{1,18}", value, re.ASCII):
        raise click.BadParameter(f"{printable(value)} is no place: give what the page before has printed")
    return value


def _page_options(function: Any) -> Any:
    after = click.option("--after", metavar="PLACE", callback=_place, help="Go on where the page before ended.")
    limit = click.option("--limit", type=_PAGE, default=100, show_default=True, help="Show at most this many.")
    return after(limit(function))


@click.command("messages")
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS] [SUBSCRIPTION]")
@store_option
@click.option("--kind", type=click.Choice(get_args(Kind)), help="Only messages that wait for this reason.")
@click.option("--key", metavar="KEY", help="Only messages with this key.")
@click.option("--correlation", metavar="ID", help="Only messages with this correlation id.")
@click.option("--message", metavar="MESSAGE", help="Only messages of this type, by its wire name.")
@click.option("--since", type=MOMENT, help="Only messages sent then or later: 2h, or a time with its zone.")
@click.option("--until", type=MOMENT, help="Only messages sent before that.")
@_page_options
@json_option
def messages(
    arguments: tuple[str, ...], url: str | None, *, after: str | None, limit: int, as_json: bool, **filters: Any
) -> None:
    """List the messages and timers that wait, of one subscription or of all, in the order in which they become due.

    Bodies are left out. A filter looks at 10,000 messages, and stderr says if there may be more.

    Exit codes: 0 listed (also when there are none), 1 no such subscription, 2 could not run.
    """
    target, name = _target(arguments, url)
    found = asyncio.run(_messages(target, url, name, filters, after=after, limit=limit))
    if as_json:
        emit_json(data_of(found))
    else:
        show_table(_LISTED, map(_row, found.messages))
        show_runs(found.messages)
    _say_more(found)


@click.command("timers")
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS] [SAGA]")
@store_option
@click.option("--key", metavar="KEY", help="Only timers of this instance.")
@click.option("--due-before", type=LATER, help="Only timers due before then: 2h from now, or a time with its zone.")
@_page_options
@json_option
def timers(
    arguments: tuple[str, ...],
    url: str | None,
    *,
    key: str | None,
    due_before: datetime | None,
    after: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List the timers that are set, of one saga or of all, the next one first.

    Exit codes: 0 listed (also when there are none), 1 no such saga, 2 could not run.
    """
    target, name = _target(arguments, url)
    found = asyncio.run(_timers(target, url, name, key=key, due_before=due_before, after=after, limit=limit))
    if as_json:
        emit_json(data_of(found))
    else:
        show_table(_TIMERS, map(_timer_row, found.messages))
        show_runs(found.messages)
    _say_more(found)


def _target(arguments: tuple[str, ...], url: str | None) -> tuple[str | None, str | None]:
    target, rest = split_target(arguments, url)
    if len(rest) > 1:
        raise click.UsageError(f"unexpected argument {printable(rest[1])}")
    return target, rest[0] if rest else None


async def _messages(
    target: str | None, url: str | None, name: str | None, filters: Mapping[str, Any], *, after: str | None, limit: int
) -> MessagePage:
    since: datetime | None = filters["since"]
    async with opened(target, url) as bus:
        return await bus.inspect.messages(
            name,
            kind=filters["kind"],
            key=filters["key"],
            message_type=filters["message"],
            correlation_id=filters["correlation"],
            since=since,
            until=filters["until"],
            after=after,
            limit=limit,
        )


async def _timers(
    target: str | None,
    url: str | None,
    name: str | None,
    *,
    key: str | None,
    due_before: datetime | None,
    after: str | None,
    limit: int,
) -> MessagePage:
    async with opened(target, url) as bus:
        return await bus.inspect.timers(name, key=key, due_before=due_before, after=after, limit=limit)


def _say_more(found: MessagePage) -> None:
    if found.stopped:
        click.echo(f"The filter looked at 10,000 messages. There may be more: --after {found.after}", err=True)
    elif found.after is not None:
        click.echo(f"There may be more: --after {found.after}", err=True)


def _row(each: MessageRecord) -> list[object]:
    what = each.message_type if each.timer is None else f"timer {each.timer}"
    sent = None if each.sent_at == each.due_at else time_text(each.sent_at)  # it counts as sent when it is due
    times = (sent, time_text(each.due_at))
    return [each.subscription, each.kind, what, each.key, *times, each.attempts, each.position, each.message_id]


def _timer_row(each: MessageRecord) -> list[object]:
    return [each.subscription, each.key, each.timer, time_text(each.due_at), each.kind, each.attempts]
