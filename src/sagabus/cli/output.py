"""What all commands share when they speak: people read stdout and stderr, scripts read the last line of stdout.

Results go to stdout, progress and complaints to stderr; with `--json` stdout carries one object per command and nothing
else.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import click
import msgspec
from rich.console import Console

from sagabus.cli.text import printable, printable_lines
from sagabus.errors import MendRefused, SagaBusError, UnknownName
from sagabus.text import discreet, hidden
from sagabus.url import may_hold_a_password, shown


class Refused(click.ClickException):
    """What was asked for cannot be done as asked: one line on stderr, exit code 2, no traceback."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the reason as a single line, whatever line breaks it came with."""
        click.echo(f"sagabus: {one_line(discreet(self.message))}", err=file is None, file=file)


class NotFound(Refused):
    """What was asked for is not there: one line on stderr, exit code 1."""

    exit_code = 1


def one_line(text: str) -> str:
    """The text without its line breaks, and with every character that a terminal would obey written as an escape."""
    return "; ".join(printable(part.strip()) for part in text.split("\n") if part.strip())


def safe_complaint(text: str, arguments: Sequence[str]) -> str:
    """An error text, fit for a terminal, in which no argument that may be a URL is repeated as it was typed."""
    typed = {part for argument in arguments for part in (argument, argument.partition("=")[2])}
    for part in sorted(filter(may_hold_a_password, typed), key=len, reverse=True):
        for way in (part, repr(part)[1:-1], printable(part)):
            # A text that came through `discreet` has lost the login already, and not what follows it.
            for each in (way, discreet(way)):
                text = text.replace(each, shown(part))
    return printable_lines(hidden(text))


def console(*, stderr: bool = False) -> Console:
    """Where tables (stdout) or progress (stderr) are drawn; wide enough for a log file when it is no terminal."""
    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=120)


def emit_json(value: object) -> None:
    """Write one object as one line on stdout, the last that a command writes there.

    In ASCII alone: JSON itself would let the control characters above U+007F through to the terminal.
    """
    click.echo(json.dumps(msgspec.to_builtins(value, str_keys=True), separators=(",", ":")))


@contextmanager
def refusing() -> Generator[None]:
    """Tell an error of the library, or of the operating system about a file, in one line instead of a traceback."""
    try:
        yield
    except (UnknownName, MendRefused) as error:
        raise NotFound(str(error)) from error
    except SagaBusError as error:
        raise Refused(str(error)) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise Refused(f"{where}{error.strerror or error}") from error
