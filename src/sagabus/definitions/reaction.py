"""One method or function that reacts to one kind of message: what is called, and how.

`handler` and `saga` make these from user code while a bus is built; `processing` calls them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

from sagabus.context import Context
from sagabus.message import MessageType
from sagabus.message.correlation import KeyOf

When: TypeAlias = Callable[[Any], bool]
Invoke: TypeAlias = Callable[[Any, object, Context, object], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """How one subscription reacts to one message type (or to one timer)."""

    name: str
    where: str
    """What to call it in a text for users: its subscription, and the function."""
    invoke: Invoke
    """Called with (instance or None, message, context, connection or None)."""
    is_async: bool
    message_type: MessageType | None = None
    wants_connection: bool = False
    connection_kind: type | None = None
    """The type that it wants the open transaction as; None for the store's own."""
    in_thread: bool = False
    timeout: float | None = None
    """Seconds that a run may take; None for the default of the settings."""
    key: KeyOf | None = None
    key_field: str | None = None
    no_key: str = ""
    """Why a message has no key, as the end of a sentence."""
    starts: bool = False
    when: When | None = None
    when_text: str | None = None
    timer: str | None = None
    function: Callable[..., object]


def declared(reaction: Reaction) -> MessageType:
    """The message type of a reaction to messages; only those to timers have none."""
    if reaction.message_type is None:
        raise TypeError(f"{reaction.name} reacts to a timer, not to a message")
    return reaction.message_type


def invoker(
    arguments: Sequence[str], function: Callable[..., Any], *, method: bool, keywords: Mapping[str, str]
) -> Invoke:
    """The function behind one calling convention; the common shapes without any unpacking."""
    shape = tuple(arguments)
    if keywords:
        return _by_name([each for each in shape if each not in keywords], function, keywords, method=method)
    if method:
        if shape == ("message", "ctx"):
            return lambda instance, message, ctx, _: function(instance, message, ctx)
        if shape == ("ctx",):
            return lambda instance, _, ctx, __: function(instance, ctx)
    elif shape == ("message", "ctx"):
        return lambda _, message, ctx, __: function(message, ctx)

    return _by_name(shape, function, {}, method=method)


def _by_name(
    positional: Sequence[str], function: Callable[..., Any], keywords: Mapping[str, str], *, method: bool
) -> Invoke:
    def invoke(instance: Any, message: object, ctx: Context, connection: object) -> Any:
        given = {"message": message, "ctx": ctx, "connection": connection}
        leading = (instance,) if method else ()
        named = {name: given[each] for each, name in keywords.items()}
        return function(*leading, *(given[each] for each in positional), **named)

    return invoke


def seconds(timeout: object, where: str, problems: list[str]) -> float | None:
    """A time limit of user code in seconds; what is wrong with it goes to `problems`."""
    if timeout is None:
        return None
    if not isinstance(timeout, timedelta) or timeout <= timedelta(0):
        problems.append(f"{where}: timeout must be a timedelta greater than zero, not {timeout!r}")
        return None
    return timeout.total_seconds()
