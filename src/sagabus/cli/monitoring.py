"""`sagabus monitoring`: the alert rules and the dashboard that come with the package."""

from __future__ import annotations

from importlib.resources import files

import click

from sagabus.cli.opening import json_option
from sagabus.cli.output import emit_json


@click.group("monitoring")
def monitoring() -> None:
    """Print alert rules for Prometheus, or a board for Grafana."""


@monitoring.command("alerts")
@json_option
def alerts(*, as_json: bool) -> None:
    """Print alert rules for Prometheus, as YAML.

    Their thresholds are a beginning. The runbook in the documentation says what to do about each alarm.

    Exit codes: 0 printed.
    """
    _print("alerts.yml", as_json=as_json)


@monitoring.command("board")
@json_option
def board(*, as_json: bool) -> None:
    """Print a board for Grafana, as JSON to import there.

    Exit codes: 0 printed.
    """
    _print("board.json", as_json=as_json)


def _print(name: str, *, as_json: bool) -> None:
    text = files("sagabus.telemetry").joinpath(name).read_text(encoding="utf-8")
    if as_json:
        emit_json({"file": name, "text": text})
    else:
        click.echo(text, nl=False)
