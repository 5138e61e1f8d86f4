"""`sagabus sagas`: list instances, show one, say why it waits, and show its history. `saga_changes` has the others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from shlex import quote
from typing import TYPE_CHECKING, Any

import click
import msgspec

from sagabus.bus.inspection.messages import MOST
from sagabus.bus.views import check_status
from sagabus.cli.loading import load_bus
from sagabus.cli.masking import masks_of, reveal_option, say_hidden, say_unknown
from sagabus.cli.opening import PAGE, POSITION, Seconds, json_option, opened, split_target, store_option
from sagabus.cli.output import emit_json
from sagabus.cli.records import data_of
from sagabus.cli.rendering import show_fields, show_table
from sagabus.cli.saga_changes import cancel, complete, patch
from sagabus.cli.text import printable, time_text
from sagabus.codec.masks import HIDDEN
from sagabus.definitions.saga import SagaDefinition

if TYPE_CHECKING:
    from sagabus.bus import Bus
    from sagabus.bus.inspection.records import Change, Step, UnchangedInstance, UnchangedPage, WaitReport
    from sagabus.bus.views import SagaRecord

_STEPS = ("position", "version", "at", "message_type", "message_id", "timer", "status", "completed")
_PAGE = click.IntRange(1, MOST)
_LISTED = ("saga", "key", "status", "completed", "version", "updated_at")


@click.group("sagas")
def sagas() -> None:
    """List saga instances, show one, say why it waits, show its history, or change it.

    The store is that of MODULE:BUS, given first, or the one at --store URL.
    """


@sagas.command("list")
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS] [SAGA]")
@store_option
@click.option("--status", metavar="STATUS", help="Only instances in this status.")
@click.option(
    "--unchanged-for",
    type=Seconds(),
    metavar="SECONDS",
    help="Only live instances that have not changed for so long.",
)
@click.option("--after", default="", metavar="KEY", help="Only instances with a greater key: the next page.")
@click.option("--limit", type=_PAGE, default=100, show_default=True, help="Show at most this many of each saga.")
@reveal_option
@json_option
def list_(
    arguments: tuple[str, ...],
    url: str | None,
    status: str | None,
    after: str,
    limit: int,
    *,
    unchanged_for: float | None,
    reveal: bool,
    as_json: bool,
) -> None:
    """List instances by key, of one saga or of all. --json has their states, without the values of hidden fields.

    Exit codes: 0 listed (also when there are none), 1 no such name, 2 could not run.
    """
    target, rest = split_target(arguments, url)
    if len(rest) > 1:
        raise click.UsageError(f"unexpected argument {printable(rest[1])}")
    if unchanged_for is not None:
        span = timedelta(seconds=unchanged_for)
        page = asyncio.run(_unchanged(target, url, rest, span, status=status, after=after, limit=limit))
        _show_unchanged(page, as_json=as_json)
        return
    found = asyncio.run(_list(target, url, rest, status=status, after=after, limit=limit))
    records = [record for records, _ in found.values() for record in records]
    if as_json:
        masks = None if reveal else masks_of(target)
        if records and not reveal:
            say_unknown(target)
        emit_json([_fields(record if masks is None else masks.over(record)) for record in records])
        return
    show_table(
        [name.replace("_at", "") for name in _LISTED],
        [[_fields(record)[name] for name in _LISTED] for record in records],
    )
    for saga, (_, place) in found.items():
        _say_more(saga, place)


@sagas.command("show")
@click.argument("arguments", nargs=-1, required=True, metavar="[MODULE:BUS] SAGA KEY")
@store_option
@reveal_option
@json_option
@click.pass_context
def show(ctx: click.Context, arguments: tuple[str, ...], url: str | None, *, reveal: bool, as_json: bool) -> None:
    """Show one instance: its status, state and timers.

    The values of hidden fields are left out, and with --store all values of the state, whose class is not known.

    Exit codes: 0 shown, 1 no such instance, 2 could not run.
    """
    target, rest = split_target(arguments, url)
    if len(rest) != 2:
        raise click.UsageError("give a SAGA and a KEY")
    found = asyncio.run(_get(target, url, rest[0], rest[1]))
    if found is None:
        click.echo(f"sagabus: {printable(rest[0])} has no instance {printable(rest[1])}", err=True)
        ctx.exit(1)
    record, due = found
    if not reveal:
        masks = masks_of(target)
        say_hidden(record.saga, masks.of_state(record.saga), masks.over_state(record).places)
        record = masks.over(record)
    fields = {**_fields(record), "timers": {name: due.get(name) for name in record.timers}}
    if as_json:
        emit_json(fields)
        return
    state = msgspec.json.format(msgspec.json.encode(fields.pop("state")), indent=2).decode()
    show_fields({name.replace("_", " "): value for name, value in fields.items()})
    click.echo("\nstate:\n" + "\n".join(map(printable, state.splitlines())))


@sagas.command("why")
@click.argument("arguments", nargs=-1, required=True, metavar="[MODULE:BUS] SAGA KEY")
@store_option
@json_option
@click.pass_context
def why(ctx: click.Context, arguments: tuple[str, ...], url: str | None, *, as_json: bool) -> None:
    """Say why an instance waits: for which messages or timers, behind which retry or dead letter, in whose lane.

    With MODULE:BUS it also says which messages the instance reacts to now. For a handler, it says why the messages of
    a KEY wait.

    Exit codes: 0 said, 1 nothing is stored for the key, or no such name, 2 could not run.
    """
    target, rest = split_target(arguments, url)
    if len(rest) != 2:
        raise click.UsageError("give a SAGA and a KEY")
    found = asyncio.run(_why(target, url, rest[0], rest[1]))
    if as_json:
        emit_json(data_of(found))
    for line in found.sentences if not as_json else ():
        click.echo(printable(line))
    ctx.exit(0 if found.exists or found.messages or found.dead_letters else 1)


@sagas.command("history")
@click.argument("arguments", nargs=-1, required=True, metavar="[MODULE:BUS] SAGA KEY")
@store_option
@click.option(
    "--after", type=POSITION, default=0, metavar="POSITION", help="Only transitions after this position: the next page."
)
@click.option("--limit", type=PAGE, default=100, show_default=True, help="Show at most this many.")
@click.option("--changes", is_flag=True, help="Show what each transition changed in the state.")
@reveal_option
@json_option
def history(
    arguments: tuple[str, ...], url: str | None, *, after: int, limit: int, changes: bool, reveal: bool, as_json: bool
) -> None:
    """List the transitions of one instance, the oldest first.

    The store keeps them for sagas with history=True, for the retention. --json has the state that each one left, and
    what it changed. The values of hidden fields are left out, and with --store all values of the state.

    Exit codes: 0 listed (also when there are none), 1 no such name, 2 could not run.
    """
    target, rest = split_target(arguments, url)
    if len(rest) != 2:
        raise click.UsageError("give a SAGA and a KEY")
    found = asyncio.run(_history(target, url, rest[0], rest[1], after=after, limit=limit + 1, reveal=reveal))
    if found and not reveal and (as_json or changes):
        say_unknown(target)
    if as_json:
        emit_json(data_of(found[:limit]))
    elif changes:
        _show_changes(found[:limit])
    else:
        show_table([name.replace("_", " ") for name in _STEPS], map(_step_row, found[:limit]))
    if not found and not after:
        click.echo(
            "No transitions: no such instance, older than the retention, or a saga without history=True.",
            err=True,
        )
    elif len(found) > limit:
        click.echo(f"There are more: --after {found[limit - 1].position}", err=True)


sagas.add_command(cancel)
sagas.add_command(complete)
sagas.add_command(patch)


async def _list(
    target: str | None, url: str | None, names: list[str], *, status: str | None, after: str, limit: int
) -> dict[str, tuple[list[SagaRecord[Any]], str | None]]:
    _check_status(target, names, status)
    async with opened(target, url) as bus:
        return {
            name: await bus.sagas.page(name, status=status, after=after, limit=limit)
            for name in names or await _names(bus)
        }


def _check_status(target: str | None, names: list[str], status: str | None) -> None:
    if status is not None and target is not None:
        for definition in load_bus(target).definitions:
            if isinstance(definition, SagaDefinition) and definition.name in (names or [definition.name]):
                check_status(definition, status)


async def _unchanged(
    target: str | None,
    url: str | None,
    names: list[str],
    span: timedelta,
    *,
    status: str | None,
    after: str,
    limit: int,
) -> dict[str, UnchangedPage]:
    _check_status(target, names, status)
    async with opened(target, url) as bus:
        return {
            name: await bus.inspect.unchanged(name, span, status=status, after=after, limit=limit)
            for name in names or await _names(bus)
        }


def _show_unchanged(found: dict[str, UnchangedPage], *, as_json: bool) -> None:
    records = [each for page in found.values() for each in page.instances]
    if as_json:
        emit_json([data_of(each) for each in records])
        return
    show_table(("saga", "key", "status", "version", "updated"), [_unchanged_row(each) for each in records])
    for saga, page in found.items():
        _say_more(saga, page.after)


def _say_more(saga: str, place: str | None) -> None:
    if place is not None:
        click.echo(f"There may be more of {printable(saga)}: --after {quote(printable(place))}", err=True)


def _unchanged_row(each: UnchangedInstance) -> list[object]:
    return [each.saga, each.key, each.status, each.version, time_text(each.updated_at)]


async def _get(
    target: str | None, url: str | None, saga: str, key: str
) -> tuple[SagaRecord[Any], dict[str, str | None]] | None:
    """The instance, and when each of its timers is due."""
    async with opened(target, url) as bus:
        record = await bus.sagas.get(saga, key)
        timers = await bus.timers.list(saga, key) if record is not None else []
        return None if record is None else (record, {timer.name: time_text(timer.due_at) for timer in timers})


async def _why(target: str | None, url: str | None, saga: str, key: str) -> WaitReport:
    declared = () if target is None else load_bus(target).definitions
    async with opened(target, url) as bus:
        return await bus.inspect.knowing(declared).why(saga, key)


async def _history(target: str | None, url: str | None, saga: str, key: str, **options: Any) -> tuple[Step, ...]:
    declared = () if target is None else load_bus(target).definitions
    async with opened(target, url) as bus:
        return await bus.inspect.knowing(declared).history(saga, key, **options)


def _step_row(step: Step) -> list[object]:
    return [time_text(step.at) if name == "at" else getattr(step, name) for name in _STEPS]


def _show_changes(steps: Iterable[Step]) -> None:
    for step in steps:
        what = f"timer {step.timer}" if step.timer is not None else f"{step.message_type} {step.message_id}"
        click.echo(printable(f"version {step.version} at {time_text(step.at)} by {what}"))
        if step.changes is None:
            click.echo("  the transition before it is no longer stored")
        for change in step.changes or ():
            click.echo(f"  {printable(_change_text(change))}")


def _change_text(change: Change) -> str:
    if HIDDEN in (change.before, change.after) and not (change.added or change.removed):
        return f"{change.path} changed {HIDDEN}"
    before, after = (msgspec.json.encode(value).decode() for value in (change.before, change.after))
    if change.added:
        return f"{change.path} = {after}"
    return f"{change.path} removed, was {before}" if change.removed else f"{change.path}: {before} -> {after}"


async def _names(bus: Bus) -> list[str]:
    """Every subscription: handlers simply have no instances."""
    return list(await bus.store.inspect.channels())


def _fields(record: SagaRecord[Any]) -> dict[str, object]:
    return {
        "saga": record.saga,
        "key": record.key,
        "status": record.status,
        "completed": record.completed,
        "version": record.version,
        "created_at": time_text(record.created_at),
        "updated_at": time_text(record.updated_at),
        "timers": sorted(record.timers),
        "state": record.state,
        "error": None if record.error is None else str(record.error),
    }
