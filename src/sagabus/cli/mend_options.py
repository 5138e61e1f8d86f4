"""What all commands that mend share: who, why, and the question before it is done."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
import msgspec

from sagabus.bus.mending.author import checked_reason
from sagabus.bus.mending.values import json_of
from sagabus.cli.output import emit_json
from sagabus.cli.records import data_of
from sagabus.cli.text import printable

if TYPE_CHECKING:
    from sagabus.bus.mending.desk import Mended

F = TypeVar("F", bound=Callable[..., Any])

EXITS = "Exit codes: 0 done, 1 no such thing, or not as it was seen (nothing was changed), 2 could not run."


def for_the_log(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """A text that the audit log keeps; BadParameter for one that says nothing, is too long, or is no text."""
    if value is not None:
        try:
            checked_reason(value)
        except ValueError as error:
            raise click.BadParameter(str(error).removeprefix("reason ")) from error
    return value


by_option = click.option("--by", metavar="NAME", callback=for_the_log, help="Who you are, if not the system's user.")


def mend_options(function: F) -> F:
    """`--reason`, which is also `--why` as for dead letters, `--by` and `--yes`."""
    help_text = "Why: the audit log keeps it."
    reason = click.option(
        "--reason", "--why", "reason", required=True, metavar="TEXT", callback=for_the_log, help=help_text
    )
    yes = click.option("--yes", is_flag=True, help="Do not ask before doing it.")
    return reason(by_option(yes(function)))


def json_object(name: str, text: str) -> dict[str, Any] | None:
    """The JSON object that was typed; None for another value. BadParameter for what is no JSON."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"this is no JSON: {error}") from error  # the text may hold what is hidden
    if not isinstance(found, dict):
        return None
    values = cast("dict[str, Any]", found)
    try:
        json_of(name, values)
    except ValueError as error:
        raise click.BadParameter(printable(error)) from error
    return values


def confirmed(what: str, *, yes: bool) -> bool:
    """Say what is to be done, and ask. Without a terminal it has to be said with --yes."""
    if yes:
        click.echo(printable(what), err=True)  # before the work, so that a log shows the intention
        return True
    if not sys.stdin.isatty():
        raise click.UsageError(f"this would {printable(what)}: add --yes to do it")
    if click.confirm(f"{printable(what)}?", err=True):
        return True
    click.echo("nothing was done", err=True)
    return False


def tell(mended: Mended, *, as_json: bool) -> None:
    """What was done."""
    if as_json:
        emit_json(data_of(mended))
        return
    changes = [f"{name}: {_text(mended.before.get(name))} -> {_text(each)}" for name, each in mended.after.items()]
    click.echo(printable(f"{mended.verb} {mended.subscription} {mended.target}: {', '.join(changes)}"))
    click.echo(f"audit log: {mended.audit}")


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping | list | bool | int | float):
        return msgspec.json.encode(value).decode()
    return str(value)
