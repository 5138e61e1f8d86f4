"""`sagabus graph`: draw the sagas, and the messages between subscriptions, as Mermaid."""

from __future__ import annotations

import click

from sagabus.cli.analysis import Topology, analyse
from sagabus.cli.loading import load_bus
from sagabus.cli.mermaid import message_flow, state_diagram
from sagabus.cli.opening import json_option
from sagabus.cli.output import Refused, emit_json
from sagabus.cli.text import printable


@click.command("graph")
@click.argument("target", metavar="MODULE:BUS")
@click.option("--saga", metavar="NAME", help="Draw only the states of this saga, as bare Mermaid text.")
@click.option("--messages", is_flag=True, help="Draw only the flow of messages, as bare Mermaid text.")
@json_option
def graph(target: str, saga: str | None, *, messages: bool, as_json: bool) -> None:
    """Draw the sagas and messages of MODULE:BUS as Mermaid, without running a handler.

    The result is Markdown: a state diagram for each saga, and a flowchart of the messages between subscriptions.
    GitHub, GitLab and most editors render it.

    Exit codes: 0 drawn, 2 could not run.
    """
    if saga is not None and messages:
        raise click.UsageError("give either --saga or --messages")
    bus = load_bus(target)
    diagrams = _diagrams(analyse(bus.definitions, bus.brokers))
    if saga is not None:
        diagrams = [drawn for drawn in diagrams if drawn["kind"] == "saga" and drawn["name"] == saga]
        if not diagrams:
            raise Refused(f"{printable(target)} has no saga {printable(saga)}")
    if messages:
        diagrams = [drawn for drawn in diagrams if drawn["kind"] == "messages"]
    if as_json:
        emit_json({"target": target, "diagrams": diagrams})
    elif saga is not None or messages:
        click.echo(diagrams[0]["mermaid"])
    else:
        click.echo("\n\n".join(_section(drawn) for drawn in diagrams))


def _diagrams(topology: Topology) -> list[dict[str, str]]:
    drawn = [{"kind": "saga", "name": saga.name, "mermaid": state_diagram(saga)} for saga in topology.sagas]
    return [*drawn, {"kind": "messages", "name": "messages", "mermaid": message_flow(topology)}]


def _section(drawn: dict[str, str]) -> str:
    title = "Messages" if drawn["kind"] == "messages" else f"Saga {drawn['name']}"
    return f"## {title}\n\n```mermaid\n{drawn['mermaid']}\n```"
