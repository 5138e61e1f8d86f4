"""`sagabus check`: mistakes that show without running a handler."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sagabus.cli.analysis import analyse
from sagabus.cli.findings import Finding, findings
from sagabus.cli.loading import load_bus
from sagabus.cli.opening import json_option
from sagabus.cli.output import emit_json
from sagabus.cli.rendering import count_text
from sagabus.cli.text import printable
from sagabus.errors import ConfigurationError

if TYPE_CHECKING:
    from sagabus.bus import Bus

_WITHOUT_PLACE = ("definition", "unhandled-message", "message-from-outside", "message-leaves", "message-stays")
"""Kinds of findings whose text names their place."""


@click.command("check")
@click.argument("target", metavar="MODULE:BUS")
@click.option(
    "--external", multiple=True, metavar="MESSAGE", help="A message that another process handles. May be repeated."
)
@json_option
@click.pass_context
def check(ctx: click.Context, target: str, external: tuple[str, ...], *, as_json: bool) -> None:
    """Find mistakes in the definitions of MODULE:BUS, without running a handler.

    It finds definitions that no bus accepts, and messages and timers without a handler. It also finds statuses that no
    method assigns, reaches or leaves. Notes name messages that must come from outside, and values that are computed at
    run time.

    Exit codes: 0 no problem, 1 problems found, 2 could not run.
    """
    try:
        found = _found(load_bus(target), external)
    except ConfigurationError as error:
        found = [Finding("problem", "definition", target, problem) for problem in error.problems]
    problems = sum(finding.level == "problem" for finding in found)
    if as_json:
        emit_json({"target": target, "ok": not problems, "problems": problems, "findings": found})
    else:
        _tell(target, found, problems)
    ctx.exit(1 if problems else 0)


def _found(bus: Bus, external: tuple[str, ...]) -> list[Finding]:
    return findings(analyse(bus.definitions, bus.brokers), external)


def _tell(target: str, found: list[Finding], problems: int) -> None:
    for finding in found:
        level = click.style(finding.level, fg="red" if finding.level == "problem" else "cyan")
        where = "" if finding.kind in _WITHOUT_PLACE else f"{printable(finding.where)}: "
        click.echo(f"{level}: {where}{printable(finding.text)}")
    click.echo(f"{printable(target)}: {count_text(problems, 'problem') if problems else 'no problems'}")
