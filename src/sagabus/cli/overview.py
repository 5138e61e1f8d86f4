"""`sagabus status` and `sagabus workers`: what waits in a store, since when, and who works on it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from sagabus.cli.opening import json_option, opened, split_target, store_option
from sagabus.cli.output import emit_json
from sagabus.cli.records import data_of
from sagabus.cli.rendering import count_text, show_fields, show_table
from sagabus.cli.text import printable, span_text, time_text
from sagabus.text import size_text

if TYPE_CHECKING:
    from sagabus.bus.inspection.records import (
        DeadLetterCount,
        PauseRecord,
        RunStatus,
        Status,
        SubscriptionStatus,
        WorkerStatus,
    )

_KINDS = ("ready", "running", "held", "scheduled", "timers", "retrying", "stashed")


@click.command("status")
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS]")
@store_option
@json_option
def status(arguments: tuple[str, ...], url: str | None, *, as_json: bool) -> None:
    """Show what waits in each subscription and since when, the dead letters by cause, workers and sizes.

    The store is that of MODULE:BUS, or the one at --store URL. Counts stop at 10,000, so the command costs little on a
    store of any size.

    Exit codes: 0 shown, 2 could not run.
    """
    found = asyncio.run(_status(_target(arguments, url), url))
    if as_json:
        emit_json(_status_fields(found))
        return
    show_table(
        ("subscription", "oldest", *_KINDS, "dead", "lanes", "workers", "paused"),
        [_row(each) for each in found.subscriptions],
    )
    if found.dead_letters:
        click.echo()
        show_table(("dead letters of", "cause", "count", "parked", "oldest"), map(_letter_row, found.dead_letters))
    click.echo()
    more = "+" if found.dead_letters_at_least else ""
    show_fields(
        {
            "workers": len(found.workers),
            "dead letters": f"{sum(each.count for each in found.dead_letters)}{more}",
            "lanes": found.lanes,
            "schema": found.schema,
            "sizes": {name: size_text(size) for name, size in found.sizes.items()},
        }
    )
    for each in found.subscriptions:
        if each.paused is not None:
            click.echo(pause_text(each.name, each.paused), err=True)
        if each.waiting and each.owned_lanes < each.lanes:
            idle = count_text(each.lanes - each.owned_lanes, "lane")
            click.echo(f"{idle} of {printable(each.name)} have no worker: start one with `sagabus run`", err=True)


@click.command("workers")
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS]")
@store_option
@json_option
def workers(arguments: tuple[str, ...], url: str | None, *, as_json: bool) -> None:
    """List the live workers of a store: their lanes, their leases, and when each last said that it lives.

    Exit codes: 0 listed (also when there are none), 2 could not run.
    """
    found = asyncio.run(_workers(_target(arguments, url), url))
    if as_json:
        emit_json([_worker_fields(each) for each in found])
        return
    show_table(("worker", "version", "heartbeat", "lease ends", "lanes"), map(_worker_row, found))
    for each in found:
        if each.runs:
            click.echo(f"\n{printable(each.worker)}: {count_text(each.running, 'run')} longer than a second")
            show_table(("for", "subscription", "message", "id", "key"), map(_run_row, each.runs))


def pause_text(name: str, pause: PauseRecord) -> str:
    """Who has paused a subscription, and how it goes on."""
    who = f"by {printable(pause.by)} since {time_text(pause.since)} ({printable(pause.reason)})"
    return f"{printable(name)} is paused {who}: `sagabus resume` lets it go on"


def ago_text(age: timedelta | None) -> str | None:
    """How long ago, as people say it; None where there is nothing."""
    return None if age is None else span_text(age)


def _target(arguments: tuple[str, ...], url: str | None) -> str | None:
    target, rest = split_target(arguments, url)
    if rest:
        raise click.UsageError(f"unexpected argument {printable(rest[0])}")
    return target


async def _status(target: str | None, url: str | None) -> Status:
    async with opened(target, url) as bus:
        return await bus.inspect.status()


async def _workers(target: str | None, url: str | None) -> tuple[WorkerStatus, ...]:
    async with opened(target, url) as bus:
        return await bus.inspect.workers()


def _row(each: SubscriptionStatus) -> list[object]:
    more = "+" if each.at_least else ""
    counts = [f"{count}{more}" if (count := getattr(each, kind)) else "0" for kind in _KINDS]
    lanes = f"{each.owned_lanes}/{each.lanes}"
    return [each.name, ago_text(each.oldest_age), *counts, each.dead, lanes, each.workers, each.paused is not None]


def _letter_row(each: DeadLetterCount) -> list[object]:
    return [each.subscription, each.cause.value, each.count, each.parked, time_text(each.oldest)]


def _worker_row(each: WorkerStatus) -> list[object]:
    return [
        each.worker,
        each.version,
        f"{span_text(each.heartbeat_age)} ago",
        time_text(each.expires_at),
        dict(each.lanes),
    ]


def _run_row(each: RunStatus) -> list[object]:
    return [span_text(each.lasted), each.subscription, each.message_type, each.message_id, each.key]


def _status_fields(found: Status) -> dict[str, object]:
    return {
        "at": time_text(found.at),
        "subscriptions": [_subscription_fields(each) for each in found.subscriptions],
        "workers": [_worker_fields(each) for each in found.workers],
        "dead_letters": [_letter_fields(each) for each in found.dead_letters],
        "dead_letters_at_least": found.dead_letters_at_least,
        "lanes": found.lanes,
        "schema": found.schema,
        "sizes": dict(found.sizes),
    }


def _subscription_fields(each: SubscriptionStatus) -> dict[str, object]:
    age = each.oldest_age
    return {
        "subscription": each.name,
        "messages": each.messages,
        **{kind: getattr(each, kind) for kind in _KINDS},
        "waiting": each.waiting,
        "at_least": each.at_least,
        "oldest_age": None if age is None else age.total_seconds(),
        "dead": each.dead,
        "workers": each.workers,
        "lanes": each.lanes,
        "owned_lanes": each.owned_lanes,
        "longest_run": None if each.longest_run is None else each.longest_run.total_seconds(),
        "paused": data_of(each.paused),
    }


def _letter_fields(each: DeadLetterCount) -> dict[str, object]:
    return {
        "subscription": each.subscription,
        "cause": each.cause.value,
        "count": each.count,
        "parked": each.parked,
        "oldest": time_text(each.oldest),
    }


def _worker_fields(each: WorkerStatus) -> dict[str, object]:
    return {
        "worker": each.worker,
        "version": each.version,
        "lanes": dict(each.lanes),
        "heartbeat_age": each.heartbeat_age.total_seconds(),
        "lease": each.lease.total_seconds(),
        "expires_at": time_text(each.expires_at),
        "running": each.running,
        "runs": data_of(each.runs),
    }
