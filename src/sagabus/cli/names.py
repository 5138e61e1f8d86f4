"""A name that nothing has: said with the names that there are, and the nearest of them."""

from __future__ import annotations

from collections.abc import Iterable

from sagabus.cli.output import Refused
from sagabus.cli.text import printable
from sagabus.nearest import known_names


class NotFound(Refused):
    """What was asked for is not there: one line on stderr, exit code 1."""

    exit_code = 1


def unknown_name(kind: str, name: str, known: Iterable[str]) -> NotFound:
    """The refusal of a name, to be raised."""
    return NotFound(f"no {kind} is named {printable(name)}{printable(known_names(name, known))}")
