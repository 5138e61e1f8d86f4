"""`sagabus health`: whether work gets done, as far as another process can tell from the store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click
import msgspec

from sagabus.bus.diagnosis.surroundings import no_room_text
from sagabus.cli.loading import load_bus
from sagabus.cli.opening import Seconds, json_option, named, opened, schema_of, split_target, store_of, store_option
from sagabus.cli.output import Refused, emit_json
from sagabus.cli.rendering import show_table
from sagabus.cli.text import printable
from sagabus.clock import micros
from sagabus.engine.store_watch import RECENTLY
from sagabus.errors import SagaBusError
from sagabus.store import Capability
from sagabus.text import discreet, span_text

if TYPE_CHECKING:
    from sagabus.bus import Bus
    from sagabus.bus.inspection.records import SubscriptionStatus

_COLUMNS = ("subscription", "workers", "free_lanes", "ready", "running", "oldest_age", "dead", "recent_dead", "paused")


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription, as the store shows it."""

    subscription: str
    is_registered: bool
    """Whether publishers know it."""
    workers: int = 0
    ready: int = 0
    """Up to 10,000."""
    running: int = 0
    """For a second or longer."""
    oldest_age: float = 0
    """Seconds since the oldest message was sent that could run now, and that no worker runs."""
    longest_run: float = 0
    """Seconds that the longest of its runs has lasted; 0 for less than one."""
    dead: int = 0
    free_lanes: int = 0
    """Lanes that no live worker has."""
    recent_dead: int = 0
    """How many of the dead letters failed just now."""
    paused: bool = False
    """An operator has paused it: that is no problem, but it has to be seen."""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What the command has found."""

    store: str
    schema: int | None = None
    subscriptions: Sequence[Served] = ()
    problems: Sequence[str] = ()


@click.command("health")
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS]")
@store_option
@click.option("--max-age", type=Seconds(), metavar="SECONDS", help="The oldest age of a waiting message.")
@click.option(
    "--within",
    type=Seconds(min_open=True),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the store.",
)
@json_option
@click.pass_context
def health(
    ctx: click.Context,
    arguments: tuple[str, ...],
    url: str | None,
    *,
    max_age: float | None,
    within: float,
    as_json: bool,
) -> None:
    """Say whether the store answers, its schema fits, and a live worker serves each subscription.

    The subscriptions are those of MODULE:BUS, or all of the store at --store URL. With --max-age, a message that has
    been ready for longer is a problem as well, and so is a run that has lasted for longer. The command only reads: it
    makes and migrates nothing. It cannot look into other processes: ask their /health/live for that.

    Exit codes: 0 healthy, 1 a problem was found, 2 could not run.
    """
    target, rest = split_target(arguments, url)
    if rest:
        raise click.UsageError(f"unexpected argument {printable(rest[0])}")
    found = asyncio.run(_look(target, url, max_age, within))
    if as_json:
        emit_json({"healthy": not found.problems, **msgspec.structs.asdict(found)})
    else:
        _show(found)
    ctx.exit(1 if found.problems else 0)


def _show(found: Findings) -> None:
    if found.subscriptions:
        show_table(_COLUMNS, map(_row, found.subscriptions))
    for problem in found.problems:
        click.echo(f"problem: {problem}")
    if not found.problems:
        click.echo(f"{found.store}: healthy")


def _row(each: Served) -> list[object]:
    age = span_text(timedelta(seconds=each.oldest_age)) if each.ready else None
    lanes, recent = each.free_lanes, each.recent_dead
    return [each.subscription, each.workers, lanes, each.ready, each.running, age, each.dead, recent, each.paused]


async def _look(target: str | None, url: str | None, max_age: float | None, within: float) -> Findings:
    store, name = store_of(target, url), named(target, url)
    if Capability.SHARED not in store.capabilities:
        raise Refused(f"{name} is in the memory of one process: only that process can say how it is")
    try:
        async with asyncio.timeout(within):
            version, problem = await schema_of(store)
            if problem is not None:
                return Findings(store=name, schema=version, problems=[problem])
            async with opened(target, url) as bus:
                served = await _subscriptions(bus, _declared(target))
                no_room = no_room_text(await bus.store.inspect.conditions())
    except TimeoutError:
        return Findings(store=name, problems=[f"the store did not answer within {within:g} s"])
    except (SagaBusError, OSError) as error:
        return Findings(store=name, problems=[f"the store does not answer: {printable(discreet(str(error)))}"])
    problems = [] if no_room is None else [no_room]
    problems += [problem for each in served for problem in _problems(each, max_age)]
    return Findings(store=name, schema=version, subscriptions=served, problems=problems)


def _declared(target: str | None) -> list[str] | None:
    return None if target is None else [each.name for each in load_bus(target).definitions]


async def _subscriptions(bus: Bus, declared: Sequence[str] | None) -> list[Served]:
    routing = await bus.store.routing()
    registered = {each.channel for each in routing.subscriptions}
    inspect = bus.store.inspect
    seen = {each.name: each for each in await bus.inspect.subscriptions()}
    recent = await inspect.recent_letters(micros(RECENTLY))
    return [
        _served(name, seen.get(name), is_registered=name in registered, recent_dead=recent.get(name, 0))
        for name in sorted(registered if declared is None else declared)
    ]


def _served(name: str, found: SubscriptionStatus | None, *, is_registered: bool, recent_dead: int) -> Served:
    if found is None:
        return Served(subscription=name, is_registered=is_registered)
    return Served(
        subscription=name,
        is_registered=is_registered,
        workers=found.workers,
        free_lanes=found.lanes - found.owned_lanes,
        ready=found.ready,
        running=found.running,
        oldest_age=0 if found.oldest_age is None else found.oldest_age.total_seconds(),
        longest_run=0 if found.longest_run is None else found.longest_run.total_seconds(),
        dead=found.dead,
        recent_dead=recent_dead,
        paused=found.paused is not None,
    )


def _problems(served: Served, max_age: float | None) -> Iterator[str]:
    name = printable(served.subscription)
    if not served.is_registered:
        yield f"{name} is not registered in the store: start its worker, or run `sagabus migrate MODULE:BUS`"
    elif not served.workers:
        yield f"no live worker serves {name}: start one"
    if max_age is not None and served.oldest_age > max_age:
        yield f"{name}: a message has been ready for {served.oldest_age:.1f} s, longer than {max_age:g} s"
    if max_age is not None and served.longest_run > max_age:
        yield f"{name}: a handler has been running for {served.longest_run:.1f} s, longer than {max_age:g} s"
