"""The command `sagabus`: finds the subcommand, loads only what it needs, and reports an error in one line."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from io import StringIO, TextIOWrapper
from typing import cast

import click

# Name, where it is, and its line in `sagabus --help`, which must not cost the import of the engine.
_COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("sagabus.cli.demonstration:demo", "Watch orders survive duplicates and killed workers, and audit them."),
    "bench": ("sagabus.cli.benchmark:bench", "Measure messages per second against a hand-written loop."),
    "run": ("sagabus.cli.running:run", "Run a worker for MODULE:BUS until a signal stops it."),
    "status": ("sagabus.cli.overview:status", "Show what waits and since when, and who works."),
    "workers": ("sagabus.cli.overview:workers", "List the live workers with their lanes."),
    "messages": ("sagabus.cli.messages:messages", "List the messages that wait, and say why."),
    "timers": ("sagabus.cli.messages:timers", "List the timers that are set, the next one first."),
    "conversation": ("sagabus.cli.conversation:conversation", "Show all that belongs to one correlation id."),
    "migrate": ("sagabus.cli.migrating:migrate", "Bring a store's tables up to date, or print their SQL."),
    "health": ("sagabus.cli.health:health", "Say whether the store answers and workers serve it."),
    "doctor": ("sagabus.cli.doctor:doctor", "Find what is wrong in a store and around it, and mend it."),
    "monitoring": ("sagabus.cli.monitoring:monitoring", "Print alert rules for Prometheus, or a board for Grafana."),
    "lanes": ("sagabus.cli.lanes:lanes", "Show or change the number of lanes, or fence them."),
    "subscriptions": ("sagabus.cli.subscriptions:subscriptions", "List subscriptions, and remove old ones."),
    "dead-letters": ("sagabus.cli.letters:dead_letters", "List, show, replay and discard dead letters."),
    "sagas": ("sagabus.cli.sagas:sagas", "List saga instances, show one, or say why it waits."),
    "mend": ("sagabus.cli.mending:mend", "Run a message now, cancel one, move or cancel a timer."),
    "pause": ("sagabus.cli.mending:pause", "Let no worker begin a message of a saga or a handler."),
    "resume": ("sagabus.cli.mending:resume", "Let a paused saga or handler go on."),
    "erase": ("sagabus.cli.erasing:erase", "Erase all that is kept of a key or of conversations."),
    "audit": ("sagabus.cli.audits:audit", "List what operators have changed, and why."),
    "reconcile": ("sagabus.cli.reconciling:reconcile", "Say which messages of a list a store has no record of."),
    "check": ("sagabus.cli.checking:check", "Find mistakes in the definitions of MODULE:BUS."),
    "topology": ("sagabus.cli.topology:topology", "Show what a service needs at its brokers, or make it there."),
    "graph": ("sagabus.cli.graphing:graph", "Draw the sagas and messages of MODULE:BUS as Mermaid."),
}


class _Commands(click.Group):
    """A group that imports a subcommand when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the table."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand itself; None for an unknown name."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        return cast(click.Command, getattr(importlib.import_module(module), name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, without importing what it names."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="sagabus", prog_name="sagabus")
def root() -> None:
    """Sagas and messages that take effect exactly once.

    MODULE:BUS names a bus, or a function that returns one, in a module of the working directory or of the Python path:
    shop:bus. A store is given by its URL: sqlite:///relative.db or sqlite:////absolute/path.db.

    Exit codes: 0 done, 1 not found or not clean, 2 could not run (one line on stderr says why), 130 interrupted.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Every error is one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(arguments)
    except click.ClickException as error:
        _complain(error, sys.argv[1:] if arguments is None else arguments)
        return error.exit_code
    except click.Abort:
        click.echo("sagabus: aborted", err=True)
        return 130
    except BrokenPipeError:
        # The reader has gone. Python flushes at its end, so it gets a descriptor that accepts everything.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


class _Unaltered(StringIO):
    """Keeps control codes, which click would remove: without them, an argument could not be found in the text."""

    def isatty(self) -> bool:
        return True


def _complain(error: click.ClickException, arguments: Sequence[str]) -> None:
    """Click repeats the arguments. One of them may be a URL with its password, or contain control codes."""
    from sagabus.cli.output import safe_complaint

    said = _Unaltered()
    error.show(file=said)
    click.echo(safe_complaint(said.getvalue(), arguments), err=True, nl=False)


def _run(arguments: Sequence[str] | None) -> int:
    from sagabus.cli.output import refusing

    with refusing():
        result: object = root.main(args=arguments, prog_name="sagabus", standalone_mode=False)
    sys.stdout.flush()
    return result if isinstance(result, int) else 0
