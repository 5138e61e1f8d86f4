"""`sagabus conversation`: all that belongs to one correlation id, across sagas and handlers, in order of time."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import click

from sagabus.cli.opening import json_option, opened, split_target, store_option
from sagabus.cli.output import emit_json
from sagabus.cli.records import data_of
from sagabus.cli.rendering import show_table
from sagabus.cli.runs import show_runs
from sagabus.cli.text import printable, time_text

if TYPE_CHECKING:
    from sagabus.bus.inspection.records import Conversation, ConversationEntry

_COLUMNS = ("at", "what", "subscription", "message", "key", "status", "attempt", "took", "reason", "id")
_PAGE = click.IntRange(1, 10_000)


def _place(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"\d{1,18}\.\d\.\d{1,18}", value, re.ASCII):
        raise click.BadParameter(f"{printable(value)} is no place: give what the page before has printed")
    return value


@click.command("conversation")
@click.argument("arguments", nargs=-1, required=True, metavar="[MODULE:BUS] CORRELATION_ID")
@store_option
@click.option("--after", metavar="PLACE", callback=_place, help="Go on where the page before ended.")
@click.option("--limit", type=_PAGE, default=100, show_default=True, help="Show at most this many.")
@json_option
@click.pass_context
def conversation(
    ctx: click.Context, arguments: tuple[str, ...], url: str | None, *, after: str | None, limit: int, as_json: bool
) -> None:
    """Show all that belongs to one correlation id, across sagas and handlers, in order of time.

    These are the runs of the journal, transitions of sagas with a history, dead letters, and what waits. A message is
    indented under the one whose run sent it. stderr says what is missing, such as runs without a journal.

    Exit codes: 0 shown, 1 nothing is stored of it, 2 could not run.
    """
    target, rest = split_target(arguments, url)
    if len(rest) != 1:
        raise click.UsageError("give one CORRELATION_ID")
    found = asyncio.run(_look(target, url, rest[0], after=after, limit=limit))
    if as_json:
        emit_json(data_of(found))
    else:
        show_table(_COLUMNS, map(_row, found.entries))
        show_runs(found.entries)
        _show_instances(found)
    if not found.entries and after is None:
        click.echo(f"Nothing is stored of {printable(rest[0])}: the id of its first message is wanted.", err=True)
    for line in found.missing:
        click.echo(printable(line), err=True)
    if found.after is not None:
        click.echo(f"There is more: --after {found.after}", err=True)
    ctx.exit(0 if found.entries else 1)


async def _look(target: str | None, url: str | None, name: str, *, after: str | None, limit: int) -> Conversation:
    async with opened(target, url) as bus:
        return await bus.inspect.conversation(name, after=after, limit=limit)


def _row(each: ConversationEntry) -> list[object]:
    what = each.what if each.letter is None else f"dead letter {each.letter} {each.what}"
    message = each.message_type if each.timer is None else f"timer {each.timer}"
    took = None if each.duration is None else f"{each.duration.total_seconds() * 1000:.3g} ms"
    at = time_text(each.at if each.due_at is None else each.due_at)
    indented = "  " * min(each.depth, 10) + message
    return [
        at,
        what,
        each.subscription,
        indented,
        each.key,
        each.status,
        each.attempt,
        took,
        each.reason,
        each.message_id,
    ]


def _show_instances(found: Conversation) -> None:
    for each in found.instances:
        state = "has finished" if each.completed else "is live"
        status = "" if each.status is None else f" in status {each.status!r}"
        click.echo(printable(f"{each.saga} {each.key} {state}{status} (version {each.version})."))
