"""`sagabus mend`, `pause` and `resume`: change what waits, with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from sagabus.cli.loading import load_bus
from sagabus.cli.mend_options import EXITS, confirmed, mend_options, tell
from sagabus.cli.opening import json_option, opened, split_target, store_option
from sagabus.cli.output import emit_json
from sagabus.cli.progress import counting
from sagabus.cli.text import LATER, printable, time_text

if TYPE_CHECKING:
    from sagabus.bus.mending.desk import Mended
    from sagabus.bus.mending.mender import Mender


@click.group("mend")
def mend() -> None:
    """Run a message now, cancel a scheduled one or all of a removed subscription, move or cancel a timer.

    The store is that of MODULE:BUS, given first, or the one at --store URL. Each change is in the audit log.
    """


@mend.command("retry-now", epilog=EXITS)
@click.argument("arguments", nargs=-1, required=True, metavar="[MODULE:BUS] POSITION")
@store_option
@mend_options
@json_option
@click.pass_context
def retry_now(ctx: click.Context, /, *, arguments: tuple[str, ...], url: str | None, **options: Any) -> None:
    """Run a message now that waits for its retry. `sagabus messages --kind retrying` shows the positions."""
    target, rest = split_target(arguments, url)
    position = _position(rest)
    what = f"run the message at position {position} now"
    _run(ctx, (target, url), what, lambda mender, words: mender.retry_now(position, **words), options)


@mend.command("cancel-message", epilog=EXITS)
@click.argument("arguments", nargs=-1, required=True, metavar="[MODULE:BUS] POSITION")
@store_option
@mend_options
@json_option
@click.pass_context
def cancel_message(ctx: click.Context, /, *, arguments: tuple[str, ...], url: str | None, **options: Any) -> None:
    """Cancel a scheduled message: it never takes effect. `sagabus messages --kind scheduled` shows the positions."""
    target, rest = split_target(arguments, url)
    position = _position(rest)
    what = f"cancel the scheduled message at position {position}"
    _run(ctx, (target, url), what, lambda mender, words: mender.cancel_message(position, **words), options)


@mend.command("cancel-all", epilog=EXITS)
@click.argument("arguments", nargs=-1, required=True, metavar="[MODULE:BUS] SUBSCRIPTION")
@store_option
@mend_options
@json_option
@click.pass_context
def cancel_all(ctx: click.Context, /, *, arguments: tuple[str, ...], url: str | None, **options: Any) -> None:
    """Cancel all that waits in a subscription that was removed: messages and timers never take effect.

    It refuses while SUBSCRIPTION receives messages (`sagabus subscriptions remove` ends that), while MODULE:BUS
    declares it, and while a live worker serves it. Each message has a commit of its own; stopped, it may be repeated.
    """
    target, rest = split_target(arguments, url)
    name = _name(rest)
    as_json, yes = options.pop("as_json"), options.pop("yes")
    if not confirmed(f"cancel all messages and timers that wait in {name}, for good", yes=yes):
        ctx.exit(1)

    async def work() -> int:
        declared = () if target is None else load_bus(target).definitions
        with counting("cancelled") as progress:
            async with opened(target, url) as bus:
                return await bus.mend.knowing(declared).cancel_all(name, **options, progress=progress)

    gone = asyncio.run(work())
    if as_json:
        emit_json({"subscription": name, "cancelled": gone})
    else:
        click.echo(f"cancelled {gone} of what waited in {printable(name)}")


@mend.command("move-timer", epilog=EXITS)
@click.argument("arguments", nargs=-1, required=True, metavar="[MODULE:BUS] SAGA KEY TIMER")
@store_option
@click.option("--to", type=LATER, required=True, help="When it is due: 2h from now, or a time with its zone.")
@mend_options
@json_option
@click.pass_context
def move_timer(
    ctx: click.Context, /, *, arguments: tuple[str, ...], url: str | None, to: datetime, **options: Any
) -> None:
    """Give a timer of an instance another due time."""
    target, rest = split_target(arguments, url)
    saga, key, timer = _timer(rest)
    at = max(to, datetime(1970, 1, 2, tzinfo=UTC))
    what = f"move the timer {timer} of {saga} {key} to {time_text(at)}"
    _run(ctx, (target, url), what, lambda mender, words: mender.move_timer(saga, key, timer, at=at, **words), options)


@mend.command("cancel-timer", epilog=EXITS)
@click.argument("arguments", nargs=-1, required=True, metavar="[MODULE:BUS] SAGA KEY TIMER")
@store_option
@mend_options
@json_option
@click.pass_context
def cancel_timer(ctx: click.Context, /, *, arguments: tuple[str, ...], url: str | None, **options: Any) -> None:
    """Cancel a timer of an instance, as a transition of it would."""
    target, rest = split_target(arguments, url)
    saga, key, timer = _timer(rest)
    what = f"cancel the timer {timer} of {saga} {key}"
    _run(ctx, (target, url), what, lambda mender, words: mender.cancel_timer(saga, key, timer, **words), options)


@click.command("pause", epilog=EXITS)
@click.argument("arguments", nargs=-1, required=True, metavar="[MODULE:BUS] NAME")
@store_option
@mend_options
@json_option
@click.pass_context
def pause(ctx: click.Context, /, *, arguments: tuple[str, ...], url: str | None, **options: Any) -> None:
    """Pause a saga or a handler: no worker begins a message or a timer of it until `sagabus resume`.

    It holds for the workers of all processes, which hear of it within seconds. Runs that have begun end and commit.
    """
    target, rest = split_target(arguments, url)
    name = _name(rest)
    _run(ctx, (target, url), f"pause {name}", lambda mender, words: mender.pause(name, **words), options)


@click.command("resume", epilog=EXITS)
@click.argument("arguments", nargs=-1, required=True, metavar="[MODULE:BUS] NAME")
@store_option
@mend_options
@json_option
@click.pass_context
def resume(ctx: click.Context, /, *, arguments: tuple[str, ...], url: str | None, **options: Any) -> None:
    """Let a paused saga or handler go on with what has waited meanwhile."""
    target, rest = split_target(arguments, url)
    name = _name(rest)
    _run(ctx, (target, url), f"resume {name}", lambda mender, words: mender.resume(name, **words), options)


def _run(
    ctx: click.Context,
    place: tuple[str | None, str | None],
    what: str,
    call: Callable[[Mender, dict[str, Any]], Awaitable[Mended]],
    options: dict[str, Any],
) -> None:
    as_json, yes = options.pop("as_json"), options.pop("yes")
    if not confirmed(what, yes=yes):
        ctx.exit(1)
    tell(asyncio.run(_mend(place, call, options)), as_json=as_json)


async def _mend(
    place: tuple[str | None, str | None],
    call: Callable[[Mender, dict[str, Any]], Awaitable[Mended]],
    words: dict[str, Any],
) -> Mended:
    declared = () if place[0] is None else load_bus(place[0]).definitions
    async with opened(*place) as bus:
        return await call(bus.mend.knowing(declared), words)


def _position(rest: list[str]) -> int:
    if len(rest) != 1 or not (rest[0].isascii() and rest[0].isdigit() and len(rest[0]) < 19):
        raise click.UsageError("give the POSITION of one message, a number that `sagabus messages` shows")
    return int(rest[0])


def _timer(rest: list[str]) -> list[str]:
    if len(rest) != 3:
        raise click.UsageError("give a SAGA, a KEY and the name of a TIMER")
    return rest


def _name(rest: list[str]) -> str:
    if len(rest) != 1:
        raise click.UsageError("give the NAME of one saga or handler")
    return rest[0]
