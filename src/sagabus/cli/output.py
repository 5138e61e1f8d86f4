"""What all commands share when they speak: people read stdout and stderr, scripts read the last line of stdout.

Results go to stdout, progress and complaints to stderr; with `--json` stdout carries one object per command and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click
import msgspec
from rich.console import Console

from sagabus.errors import SagaBusError


class Refused(click.ClickException):
    """What was asked for cannot be done as asked: one line on stderr, exit code 2, no traceback."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the reason as a single line, whatever line breaks it came with."""
        click.echo(f"sagabus: {one_line(self.message)}", err=file is None, file=file)


def one_line(text: str) -> str:
    """The text without its line breaks."""
    return "; ".join(part.strip() for part in text.splitlines() if part.strip())


def console(*, stderr: bool = False) -> Console:
    """Where tables (stdout) or progress (stderr) are drawn; wide enough for a log file when it is no terminal."""
    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=120)


def emit_json(value: object) -> None:
    """Write one object as one line on stdout, the last that a command writes there."""
    click.echo(msgspec.json.encode(value))


@contextmanager
def refusing() -> Iterator[None]:
    """Tell an error of the library, or of the operating system about a file, in one line instead of a traceback."""
    try:
        yield
    except SagaBusError as error:
        raise Refused(str(error)) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise Refused(f"{where}{error.strerror or error}") from error
