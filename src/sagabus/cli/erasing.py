"""`sagabus erase`: erase all that a store keeps of a key or of conversations."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from sagabus.cli.mend_options import by_option, for_the_log
from sagabus.cli.opening import json_option, opened, split_target, store_option
from sagabus.cli.output import emit_json
from sagabus.cli.progress import counting
from sagabus.cli.records import data_of
from sagabus.cli.rendering import show_table
from sagabus.cli.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagabus.bus.mending.erasing import Erased

_EXITS = (
    "Exit codes: 0 erased (without --yes: something would be), 1 nothing is stored, or work is not done (nothing was "
    "erased), 2 could not run."
)
_UNREACHED = (
    "Not reached: copies in brokers, in other services, in backups and in logs, and what the database keeps of deleted "
    "rows in its own files. See docs/retention.md."
)


_SHOWN = 100
"""Works that are not done; of more, their number."""


@click.command("erase", epilog=_EXITS)
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS]")
@store_option
@click.option("--key", metavar="KEY", help="All that is kept under this key.")
@click.option(
    "--correlation", "correlation_ids", multiple=True, metavar="ID", help="All of this conversation; may be repeated."
)
@click.option("--saga", metavar="NAME", help="Only what this saga or handler has.")
@click.option("--live", is_flag=True, help="Also work that is not done: it never takes effect.")
@click.option("--why", metavar="TEXT", callback=for_the_log, help="Why you do it: the audit log keeps it.")
@by_option
@click.option("--yes", is_flag=True, help="Erase it. Without this, the command only counts.")
@json_option
@click.pass_context
def erase(
    ctx: click.Context,
    /,
    *,
    arguments: tuple[str, ...],
    url: str | None,
    key: str | None,
    correlation_ids: tuple[str, ...],
    why: str | None,
    yes: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Erase all that a store keeps of a key, or of conversations: for the right to be forgotten.

    Messages, timers, saga instances with their histories, dead letters and rows of the journal go. Entries of the audit
    log are blanked. De-duplication records stay: they have an id and a digest. Without --yes, it only counts.

    Work that is not done is refused, with a list of all of it: complete or cancel it first, or add --live.
    """
    target, rest = split_target(arguments, url)
    if rest:
        raise click.UsageError(f"unexpected argument {printable(rest[0])}")
    if key is None and not correlation_ids:
        raise click.UsageError("give --key KEY, or --correlation ID")
    if yes and why is None:
        raise click.UsageError("give --why TEXT: the audit log keeps why you do it")
    options |= {"key": key, "correlation_ids": correlation_ids, "reason": why or "", "dry_run": not yes}
    try:
        done = asyncio.run(_erase(target, url, options))
    except ValueError as error:
        raise click.UsageError(printable(error)) from error
    _tell(done, dry_run=not yes, as_json=as_json)
    ctx.exit(0 if done.counts else 1)


async def _erase(target: str | None, url: str | None, options: dict[str, Any]) -> Erased:
    async with opened(target, url) as bus:
        with counting("counting rows" if options["dry_run"] else "erasing rows") as come_to:

            def progress(counts: Mapping[str, int]) -> None:
                come_to(sum(counts.values()))

            return await bus.mend.erase(**options, progress=progress)


def _tell(done: Erased, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        emit_json({"dry_run": dry_run, **_fields(done)})
    elif done.counts:
        show_table(("what", "rows"), done.counts.items())
        if done.live:
            click.echo()
            rows = [(each.what, each.subscription, each.name) for each in done.live[:_SHOWN]]
            show_table(("not done", "subscription", "name"), rows)
        if done.not_done > _SHOWN:
            click.echo(f"and {done.not_done - _SHOWN:,} more; --json lists 10,000 of them", err=True)
        if done.audit is not None:
            click.echo(f"audit log: {done.audit}")
    if not done.counts:
        click.echo("nothing of this is stored", err=True)
    elif dry_run:
        click.echo("nothing was erased: add --yes to erase it", err=True)
    else:
        click.echo(_UNREACHED, err=True)


def _fields(done: Erased) -> dict[str, object]:
    return {"counts": dict(done.counts), "live": data_of(done.live), "not_done": done.not_done, "audit": done.audit}
