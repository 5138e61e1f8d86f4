"""What a handler may send and set, on any path, by its source.

A call whose message the source does not name is kept as unresolved, so that a gap is never taken for absence.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from sagabus.cli.source import Code, first_argument
from sagabus.message import MessageType

_SENDING = ("send", "publish", "schedule", "reply")


@dataclass(frozen=True, slots=True)
class Facts:
    """All that one piece of code may send and set, each once, in the order of the source."""

    sent: tuple[MessageType, ...] = ()
    timers: tuple[str, ...] = ()
    """Names of the timers it may set."""
    unresolved: tuple[str, ...] = ()
    """Calls, as text, whose message or timer is only known at run time."""

    def joined(self, other: Facts) -> Facts:
        """Both together."""
        return Facts(
            tuple(dict.fromkeys(self.sent + other.sent)),
            tuple(dict.fromkeys(self.timers + other.timers)),
            tuple(dict.fromkeys(self.unresolved + other.unresolved)),
        )


def facts_of(code: Code) -> Facts:
    """What this code may do through its context, together with the plain functions that it hands the context to."""
    if code.node is None:
        return Facts(unresolved=(f"{code.function.__qualname__}: its source cannot be read",))
    found = Facts()
    for call in sorted(_calls(code.node), key=lambda call: (call.lineno, call.col_offset)):
        found = found.joined(_fact(code, call))
    return found


def _calls(node: ast.AST) -> list[ast.Call]:
    return [item for item in ast.walk(node) if isinstance(item, ast.Call)]


def _fact(code: Code, call: ast.Call) -> Facts:
    method = code.context_method(call)
    if method in _SENDING:
        return _sending(code, call)
    if method == "set_timer":
        return _timing(code, call)
    if code.loses_sight(call):
        return _unresolved(code, call)
    followed = code.followed(call)
    return Facts() if followed is None else facts_of(followed)


def _sending(code: Code, call: ast.Call) -> Facts:
    argument = first_argument(call, "message")
    messages = None if argument is None else code.messages(argument)
    if messages is None:
        return _unresolved(code, call)
    return Facts(sent=tuple(sorted(messages, key=lambda message: message.name)))


def _timing(code: Code, call: ast.Call) -> Facts:
    argument = first_argument(call, "name")
    names = None if argument is None else code.texts(argument)
    return _unresolved(code, call) if names is None else Facts(timers=tuple(sorted(names)))


def _unresolved(code: Code, call: ast.Call) -> Facts:
    return Facts(unresolved=(f"{code.function.__qualname__}: {ast.unparse(call)}",))
