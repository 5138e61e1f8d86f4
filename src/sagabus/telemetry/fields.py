"""Which message is at hand, for the lines that your own code logs inside a handler.

`MessageContext` notes it in a context variable. `MessageFields` (logging) and `add_message_fields` (structlog) put it
into records. What strangers wrote, such as ids and keys, is made printable there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any, TypeAlias

from sagabus.context import Context
from sagabus.observer import Observer
from sagabus.text import printable

__all__ = ["Fields", "MessageContext", "MessageFields", "Redact", "add_message_fields", "current_fields"]

Fields: TypeAlias = Mapping[str, object]
Redact: TypeAlias = Callable[[dict[str, object]], Fields]
"""Gets what is about to be written of a message, which never has a body, and returns what may be."""

_current: ContextVar[Context | None] = ContextVar("sagabus_message", default=None)


class MessageContext(Observer):
    """Notes the message at hand for the time of its run: also across `await`, in threads and in tasks of the run."""

    def enter(self, ctx: Context) -> object:
        """See `Observer`."""
        _current.set(ctx)
        return None


def current_fields() -> dict[str, object]:
    """What is known of the message at hand; empty outside a run, or where the bus has no `MessageContext`."""
    ctx = _current.get()
    if ctx is None:
        return {}
    found: dict[str, object] = {
        "message_id": printable(ctx.message_id),
        "message_type": printable(ctx.message_type),
        "correlation_id": printable(ctx.correlation_id),
        "subscription": ctx.subscription,
        "attempt": ctx.attempt,
    }
    optional = (("saga", ctx.saga), ("key", ctx.key), ("timer", ctx.timer))
    return found | {name: printable(value) for name, value in optional if value is not None}


class MessageFields(logging.Filter):
    """Adds the message at hand to every record: `handler.addFilter(MessageFields())`. It lets every record pass.

    Give it to a handler rather than to a logger, whose filters see no records of the loggers below it. A field that a
    record has already stays. If `redact` raises, the record gets no field but `redaction_failed`.
    """

    def __init__(self, redact: Redact | None = None) -> None:
        super().__init__()
        self._redact = redact

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`."""
        for name, value in redacted(current_fields(), self._redact).items():
            if name not in record.__dict__:
                record.__dict__[name] = value
        return True


def add_message_fields(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The same as a processor of structlog. A key that the event has already stays."""
    for name, value in current_fields().items():
        event.setdefault(name, value)
    return event


def redacted(fields: dict[str, object], redact: Redact | None) -> Fields:
    """What may be written of the fields. A hook that fails keeps all of them back."""
    if redact is None or not fields:
        return fields
    try:
        return redact(fields)
    except Exception as error:  # noqa: BLE001  # a line of the user's code is written whatever a hook does
        return {"redaction_failed": type(error).__name__}
