"""`sagabus reconcile`: which messages of a list a store has no record of.

The list may be longer than memory: a page of it is read and asked before the next one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from itertools import islice
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

import click

from sagabus.cli.opening import json_option, opened, split_target, store_option
from sagabus.cli.output import Refused
from sagabus.cli.records import data_of
from sagabus.cli.rendering import count_text, show_table
from sagabus.cli.text import MOMENT, printable
from sagabus.errors import InvalidMessageId
from sagabus.identity import check_id

if TYPE_CHECKING:
    from sagabus.bus import Bus
    from sagabus.bus.inspection.reconciling import Reconciled, Sent

_LISTED = ("status", "id", "message", "subscription", "reason")
_STATUSES = ("recorded", "missing", "unknown")
_PAGE = 1_000
_LONGEST = 4_096
"""Bytes of a line: an id has at most 200 characters."""
_MOST_COMPLAINTS = 100
_IN_MEMORY = 1 << 20
"""Characters."""


class _Line(NamedTuple):
    number: int
    sent: Sent | None
    problem: str = ""


class _Wanted(NamedTuple):
    subscription: str | None
    message_type: str | None
    since: datetime | None
    source: str | None


@click.command("reconcile")
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS] [FILE]")
@store_option
@click.option("--subscription", metavar="NAME", help="Ask this subscription alone, about messages that it receives.")
@click.option("--message", "message_type", metavar="MESSAGE", help="The wire name of their type, if all have the same.")
@click.option("--since", type=MOMENT, help="Ids that carry no send time were sent then or later: 2h, or a time.")
@click.option("--source", metavar="SERVICE", help="The ids are those of messages that this service sent by a broker.")
@click.option("--all", "everything", is_flag=True, help="List the recorded ones, too.")
@json_option
def reconcile(arguments: tuple[str, ...], url: str | None, *, everything: bool, as_json: bool, **wanted: Any) -> None:
    """Say which messages the store has no record of, such as those that a restored backup lacks. It changes nothing.

    FILE (or stdin) has one message id a line, and behind a tab the wire name of the message's type, if you know it.
    The answer holds for messages that were published, or came from a broker: what handlers send within the store has
    no record. A message whose record may be forgotten is unknown, and never missing.

    Exit codes: 0 nothing is missing, 1 something is missing, 2 could not run, or a line holds no id.
    """
    target, rest = split_target(arguments, url)
    if len(rest) > 1:
        raise click.UsageError(f"unexpected argument {printable(rest[1])}")
    with ExitStack() as stack:
        report = _Report(everything=everything)
        if as_json:
            report = _JsonReport(stack.enter_context(_rows_of_json()), everything=everything)
        place = rest[0] if rest else "-"
        file: IO[bytes] = sys.stdin.buffer
        if place != "-":
            file = stack.enter_context(Path(place).open("rb"))
        # Between pages no loop runs: Ctrl-C ends a read from a terminal or a pipe.
        runner = stack.enter_context(asyncio.Runner())
        house = opened(target, url)
        bus = runner.run(house.__aenter__())
        stack.callback(lambda: runner.run(house.__aexit__(None, None, None)))
        _run(runner, bus, file, _Wanted(**wanted), report)
        report.end()
    if report.counts["invalid"]:
        raise Refused(f"{count_text(report.counts['invalid'], 'line')} held no message id, and were not asked")
    click.get_current_context().exit(1 if report.counts["missing"] else 0)


class _Report:
    """A table for each page, and the counts below."""

    def __init__(self, *, everything: bool) -> None:
        self.counts = Counter(dict.fromkeys(("ids", *_STATUSES, "invalid"), 0))
        self._everything = everything

    def take(self, asked: int, found: Sequence[Reconciled]) -> None:
        """Count a page, and show it."""
        self.counts["ids"] += asked
        self.counts.update(each.status for each in found)
        shown = [each for each in found if self._everything or each.status != "recorded"]
        if shown:
            self.show(shown)

    def complain(self, line: _Line) -> None:
        """A line that holds no id, on stderr: the first of many."""
        self.counts["invalid"] += 1
        if self.counts["invalid"] <= _MOST_COMPLAINTS:
            click.echo(f"line {line.number}: {printable(line.problem)}", err=True)
        elif self.counts["invalid"] == _MOST_COMPLAINTS + 1:
            click.echo("more lines hold no message id", err=True)

    def show(self, found: Sequence[Reconciled]) -> None:
        """The rows of a page."""
        show_table(
            _LISTED,
            [[each.status, each.message_id, each.message_type, each.subscription, each.reason] for each in found],
        )

    def end(self) -> None:
        """The counts."""
        said = ", ".join(f"{self.counts[status]} {status}" for status in reversed(_STATUSES))
        click.echo(f"{count_text(self.counts['ids'], 'id')}: {said}")


class _JsonReport(_Report):
    """One line, printed when all pages are there: a command that fails between prints none."""

    def __init__(self, rows: IO[str], *, everything: bool) -> None:
        super().__init__(everything=everything)
        self._rows = rows
        self._comma = ""

    def show(self, found: Sequence[Reconciled]) -> None:
        for each in found:
            self._rows.write(self._comma + _compact(data_of(each)))
            self._comma = ","

    def end(self) -> None:
        self._rows.seek(0)
        click.echo('{"found":[', nl=False)
        for part in iter(lambda: self._rows.read(_IN_MEMORY), ""):
            click.echo(part, nl=False)
        click.echo(f'],"counts":{_compact(self.counts)}}}')


def _rows_of_json() -> IO[str]:
    """Where rows wait: a file without a name, as soon as they are many."""
    return cast("IO[str]", SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="ascii"))


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _run(runner: asyncio.Runner, bus: Bus, file: IO[bytes], wanted: _Wanted, report: _Report) -> None:
    lines = _lines(file, wanted.message_type)
    while page := list(islice(lines, _PAGE)):
        for line in page:
            if line.sent is None:
                report.complain(line)
        sent = [line.sent for line in page if line.sent is not None]
        call = bus.inspect.reconcile(sent, subscription=wanted.subscription, since=wanted.since, source=wanted.source)
        report.take(len(sent), runner.run(call))


def _lines(file: IO[bytes], message_type: str | None) -> Iterator[_Line]:
    """The lines that are not empty."""
    for number, raw in enumerate(_raw_lines(file), 1):
        if raw is None:
            yield _Line(number, None, f"longer than {_LONGEST:,} bytes")
            continue
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            message_id, _, name = text.partition("\t")
            if text.strip():
                yield _Line(number, (check_id(message_id), name or message_type))
        except UnicodeDecodeError:
            yield _Line(number, None, "no UTF-8")
        except InvalidMessageId as error:
            yield _Line(number, None, str(error))


def _raw_lines(file: IO[bytes]) -> Iterator[bytes | None]:
    """Lines of bounded length; None for a longer one."""
    while part := file.readline(_LONGEST):
        is_whole = len(part) < _LONGEST or part.endswith(b"\n")
        while len(part) == _LONGEST and not part.endswith(b"\n"):
            part = file.readline(_LONGEST)
        yield part if is_whole else None
