"""`sagabus doctor`: what is wrong with a store and with all that works on it, and the command that mends it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import timedelta
from shlex import quote
from typing import TYPE_CHECKING

import click

from sagabus.cli.loading import load_bus
from sagabus.cli.opening import Seconds, json_option, named, schema_of, split_target, store_option
from sagabus.cli.output import Refused, emit_json
from sagabus.cli.rendering import count_text
from sagabus.cli.text import printable, time_text
from sagabus.clock import SystemClock, moment
from sagabus.store import Capability
from sagabus.url import shown

if TYPE_CHECKING:
    from sagabus.bus import Bus
    from sagabus.bus.diagnosis.records import Diagnosis

_GIVEN = "--store URL"
"""In a command, for a URL of which something is not shown."""
_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


@click.command("doctor")
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS]")
@store_option
@click.option("--fix", is_flag=True, help="Mend what can be mended without harm.")
@click.option(
    "--max-age",
    type=Seconds(),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a message may be ready.",
)
@json_option
@click.pass_context
def doctor(
    ctx: click.Context, arguments: tuple[str, ...], url: str | None, *, fix: bool, max_age: float, as_json: bool
) -> None:
    """Examine a store, its workers, its clock, its settings and its brokers, while all of them are in use.

    The store is that of MODULE:BUS, or the one at --store URL. Brokers are those of MODULE:BUS. Each finding is a
    sentence with the command that mends it. The command only reads. With --fix it removes rows that can have no effect,
    and lets keys go that wait for nothing.

    Exit codes: 0 well, 1 errors or warnings found, 2 could not look at all of it.
    """
    target, rest = split_target(arguments, url)
    if rest:
        raise click.UsageError(f"unexpected argument {printable(rest[0])}")
    found = asyncio.run(_examine(target, url, timedelta(seconds=max_age), fix=fix))
    if as_json:
        emit_json({**asdict(found), "at": time_text(found.at), "well": found.is_well})
    else:
        _tell(found, named(target, url))
    ctx.exit(1 if not found.is_well else 2 if found.unknown else 0)


async def _examine(target: str | None, url: str | None, max_age: timedelta, *, fix: bool) -> Diagnosis:
    from sagabus.bus import Bus
    from sagabus.bus.diagnosis.records import Diagnosis, Finding

    declared = load_bus(target) if target is not None else Bus(url or "")
    if Capability.SHARED not in declared.store.capabilities:
        raise Refused(f"{named(target, url)} is in the memory of one process: only that process can examine it")
    _, problem = await schema_of(declared.store)
    if problem is not None:  # to open the store would migrate it
        what = Finding(
            kind="schema",
            severity="error",
            where="store",
            text=problem,
            command=f"sagabus migrate {_place(target, url)}",
        )
        return Diagnosis(at=moment(SystemClock().now()), findings=(what,), unknown=("the rest: it needs the tables",))
    return await _opened(declared, _place(target, url), max_age, fix=fix)


async def _opened(declared: Bus, place: str, max_age: timedelta, *, fix: bool) -> Diagnosis:
    """By a bus without definitions, which subscribes to nothing."""
    from sagabus.bus import Bus

    looker = Bus(declared.store)
    await looker.open(worker=False)
    try:
        return await declared.doctor(fix=fix, max_age=max_age, target=place)
    finally:
        await looker.close()


def _place(target: str | None, url: str | None) -> str:
    """How commands name the store: never with a password. A URL without its login or options is another store's."""
    if target is not None:
        return target
    place = shown(url)
    return f"--store {quote(place)}" if place == url else _GIVEN


def _tell(found: Diagnosis, name: str) -> None:
    for each in found.findings:
        level = "fixed" if each.fixed else each.severity
        click.echo(f"{click.style(level, fg=_COLOURS.get(level, 'green'))}: {printable(each.text)}")
        if each.command is not None and not each.fixed:
            click.echo(f"  {printable(each.command)}")
    for what in found.unknown:
        click.echo(f"unknown: {printable(what)}")
    if any(_GIVEN in (each.command or "") for each in found.findings if not each.fixed):
        click.echo("In these commands, URL stands for the one that you have given: it may hold a password.")
    bad = sum(each.severity != "note" and not each.fixed for each in found.findings)
    if bad:
        click.echo(f"{name}: {count_text(bad, 'finding')}")
    else:
        click.echo(f"{name}: {'well as far as could be seen' if found.unknown else 'well'}")
