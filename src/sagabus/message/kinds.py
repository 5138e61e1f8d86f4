"""Bases by which type checkers tell events from commands, for messages that want that: they hold nothing.

A decorator adds nothing to the type of its class: docs/decisions/0018-events-and-commands-for-checkers.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

__all__ = ["Command", "Event", "wrong_kind"]

F = TypeVar("F")

if TYPE_CHECKING:
    # Checkers bring these stubs themselves; it is in `warnings` from Python 3.13.
    from typing_extensions import deprecated as wrong_kind
else:

    def wrong_kind(text: str) -> Callable[[F], F]:
        """Have checkers refuse calls of this overload; a running program is refused by the kind of the declaration."""
        return lambda function: function


class Event:
    """Optional base of an event, for type checkers: `send` of one is reported as deprecated.

    `@event` still declares the class; deriving from this and declaring a command is refused.
    """

    __slots__ = ()


class Command:
    """Optional base of a command, for type checkers: `publish` of one is reported as deprecated.

    `@command` still declares the class; deriving from this and declaring an event is refused.
    """

    __slots__ = ()
