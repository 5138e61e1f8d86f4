"""`sagabus dead-letters groups` and `edit`: what they have in common, and one of them with another body."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import click

from sagabus.cli.loading import load_bus
from sagabus.cli.masking import masks_of
from sagabus.cli.mend_options import EXITS, confirmed, json_object, mend_options
from sagabus.cli.opening import json_option, opened, split_target, store_option
from sagabus.cli.output import emit_json
from sagabus.cli.records import data_of
from sagabus.cli.rendering import show_table
from sagabus.cli.text import MOMENT, printable, time_text

if TYPE_CHECKING:
    from sagabus.bus.mending.letters import LetterGroups
    from sagabus.store import ReplayResult

_COLUMNS = ("count", "subscription", "cause", "message", "error", "parked keys", "first id", "newest", "example")


def time_options(function: Any) -> Any:
    """`--since` and `--until`: when letters failed last, which is the time that the list shows."""
    text = "Only letters that failed last then or later: 2h, or a time with its zone."
    since = click.option("--since", type=MOMENT, help=text)
    return since(click.option("--until", type=MOMENT, help="Only letters that failed last before that.")(function))


@click.command("groups")
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS] [SUBSCRIPTION]")
@store_option
@time_options
@json_option
def groups(arguments: tuple[str, ...], url: str | None, *, as_json: bool, **times: Any) -> None:
    """Group the open dead letters by subscription, cause, message and error, the largest group first.

    It looks at 10,000 letters, and stderr says if there may be more.

    Exit codes: 0 listed (also when there are none), 1 no such subscription, 2 could not run.
    """
    target, rest = split_target(arguments, url)
    if len(rest) > 1:
        raise click.UsageError(f"unexpected argument {printable(rest[1])}")
    found = asyncio.run(_groups(target, url, rest[0] if rest else None, times))
    if as_json:
        emit_json(data_of(found))
    else:
        rows = [
            (
                *(each.count, each.subscription, each.cause.value, each.message_type, each.error_type),
                *(each.parked_keys, each.first_id, time_text(each.newest), each.example),
            )
            for each in found.groups
        ]
        show_table(_COLUMNS, rows)
    if found.at_least:
        click.echo("It looked at 10,000 dead letters: there may be more.", err=True)


@click.command("edit", epilog=EXITS)
@click.argument("arguments", nargs=-1, required=True, metavar="[MODULE:BUS] ID JSON")
@store_option
@mend_options
@json_option
@click.pass_context
def edit(
    ctx: click.Context, /, *, arguments: tuple[str, ...], url: str | None, yes: bool, as_json: bool, **words: Any
) -> None:
    """Deliver a message with another body in the place of a dead letter: JSON is the whole body.

    It gets an id of its own, which names the letter's message, and is sent now. With MODULE:BUS, the class of the
    message checks the body.
    """
    target, rest = split_target(arguments, url)
    if len(rest) != 2 or not (rest[0].isascii() and rest[0].isdigit() and len(rest[0]) < 19):
        raise click.UsageError("give the ID of one dead letter, and the body as a JSON object")
    body = _body(rest[1])
    shown = asyncio.run(_shown(target, url, int(rest[0]), body))
    if not confirmed(f"replace dead letter {rest[0]} by a message with the body {json.dumps(shown)}", yes=yes):
        ctx.exit(1)
    result, message_id = asyncio.run(_edit(target, url, int(rest[0]), body, words))
    made = message_id if result.value == "done" else None  # before, the letter may have been closed by another body
    if as_json:
        emit_json({"id": int(rest[0]), "result": result.value, "message_id": made})
    else:
        show_table(("id", "result", "message id"), [(rest[0], result.value, made)])
    ctx.exit(0 if result.value in {"done", "was already done"} else 1)


def _body(text: str) -> dict[str, Any]:
    if (found := json_object("body", text)) is None:
        raise click.UsageError("the body of a message is a JSON object")
    return found


async def _groups(target: str | None, url: str | None, name: str | None, times: dict[str, Any]) -> LetterGroups:
    async with opened(target, url) as bus:
        return await bus.dead_letters.groups(name, **times)


async def _shown(target: str | None, url: str | None, letter: int, body: dict[str, Any]) -> object:
    """The body that was typed, without its hidden values: what a command says may stay in a log."""
    masks = masks_of(target)
    async with opened(target, url) as bus:
        found = await bus.dead_letters.get(letter, bodies=False)
    if found is None:
        return masks.of_message("", "").over(body).value
    return masks.of_letter(found).over(body).value


async def _edit(
    target: str | None, url: str | None, letter: int, body: dict[str, Any], words: dict[str, Any]
) -> tuple[ReplayResult, str]:
    declared = () if target is None else load_bus(target).definitions
    async with opened(target, url) as bus:
        return await bus.dead_letters.knowing(declared).edit(letter, body, **words)
