"""`sagabus audit`: what operators have changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click
import msgspec

from sagabus.bus.inspection.masking import WITH_VALUES
from sagabus.cli.loading import load_bus
from sagabus.cli.masking import reveal_option, say_unknown
from sagabus.cli.opening import PAGE, POSITION, json_option, opened, split_target, store_option
from sagabus.cli.output import emit_json
from sagabus.cli.records import data_of
from sagabus.cli.rendering import show_table
from sagabus.cli.text import MOMENT, printable, time_text

if TYPE_CHECKING:
    from sagabus.bus.inspection.records import AuditPage, AuditRecord

_LISTED = ("id", "at", "by", "what", "subscription", "target", "before", "after", "reason")


@click.command("audit")
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS] [SUBSCRIPTION]")
@store_option
@click.option("--target", metavar="TEXT", help="Only changes about this key, message id or dead letter.")
@click.option("--by", metavar="NAME", help="Only changes that this one made.")
@click.option("--since", type=MOMENT, help="Only changes made then or later: 2h, or a time with its zone.")
@click.option("--until", type=MOMENT, help="Only changes made before that.")
@click.option("--after", type=POSITION, metavar="ID", help="Only older entries than this one: the next page.")
@click.option("--limit", type=PAGE, default=100, show_default=True, help="Show at most this many.")
@reveal_option
@json_option
def audit(arguments: tuple[str, ...], url: str | None, *, target: str | None, as_json: bool, **options: Any) -> None:
    """List what operators have changed, the latest first: who, when, what and why.

    The values of hidden fields are left out, and with --store all values of messages and states.

    Exit codes: 0 listed (also when there is nothing), 1 no such subscription, 2 could not run.
    """
    place, rest = split_target(arguments, url)
    if len(rest) > 1:
        raise click.UsageError(f"unexpected argument {printable(rest[1])}")
    found = asyncio.run(_audit(place, url, rest[0] if rest else None, target, options))
    if not options["reveal"] and any(each.verb.startswith(WITH_VALUES) for each in found.entries):
        say_unknown(place)
    if as_json:
        emit_json(data_of(found.entries))
    else:
        show_table(_LISTED, map(_row, found.entries))
    if found.stopped:
        click.echo(f"The filter looked at 10,000 entries. There may be more: --after {found.after}", err=True)
    elif found.after is not None:
        click.echo(f"There are more: --after {found.after}", err=True)


async def _audit(
    place: str | None, url: str | None, name: str | None, target: str | None, options: dict[str, Any]
) -> AuditPage:
    declared = () if place is None else load_bus(place).definitions
    async with opened(place, url) as bus:
        return await bus.inspect.knowing(declared).audit(name, target=target, **options)


def _row(each: AuditRecord) -> list[object]:
    values = [_text(each.before), _text(each.after)]
    return [each.id, time_text(each.at), each.by, each.verb, each.subscription, each.target, *values, each.reason]


def _text(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
