"""The one tree of everything sagabus raises.

Retry decisions go by class, never by text. Adapters translate driver errors into these (`raise … from driver_error`).
Only programming and configuration faults, and category roots, end in `Error`. Every constructor keeps its positional
arguments as `args`, so errors survive pickling.
"""

from collections.abc import Collection, Iterable
from typing import ClassVar

from sagabus.evolution import needed_field, needed_message, needed_state
from sagabus.text import known_names

__all__ = ["ConfigurationError", "ContextClosed", "DuplicateMessage", "EndlessLoop", "ForkedProcess", "HandlingError"]
__all__ += ["InvalidMessageId", "InvalidTime", "MendRefused", "MessageError", "MessageIdCollision", "MessageInvalid"]
__all__ += ["MessageNotDeclared", "MessageTooDeep", "MessageTooLarge", "MessageTooNew", "MessageTooOld"]
__all__ += ["NoOpenTransaction", "SagaBusError", "SagaNotFound", "SchemaTooNew", "StateInvalid", "StateTooLarge"]
__all__ += ["StateTooNew", "StatementRefused", "StoreBusy", "StoreCorrupt", "StoreError", "StoreFull", "StoreReadOnly"]
__all__ += ["StoreUnavailable", "StoreUntrusted", "TimeLimitExceeded", "TransactionLost", "TransportError"]
__all__ += ["TransportRefused", "UnknownMessageType", "UnknownName", "Unroutable", "UnsupportedCapability"]
__all__ += ["ValueReturned", "WrongDatabase", "WrongEventLoop", "WrongType"]


class SagaBusError(Exception):
    """Catch this to catch every error that the library raises on purpose."""

    is_transient: ClassVar[bool] = False
    """True if the same call may succeed later without a change."""

    def __str__(self) -> str:
        """The reason, or else the advice of the class, so that no error is blank."""
        return super().__str__() or (type(self).__doc__ or type(self).__name__)


class ConfigurationError(SagaBusError):
    """Correct the definitions or settings: the error lists every problem."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems: tuple[str, ...] = problems

    def __str__(self) -> str:
        return "\n".join(self.problems) or "configuration error"


class UnknownName(SagaBusError):
    """Correct the name: no saga, subscription or status has it. The error names the nearest known one."""

    def __init__(self, kind: str, name: str, known: Collection[str] = ()) -> None:
        super().__init__(kind, name, tuple(sorted(known)))
        self.kind = kind
        self.name = name
        self.known = tuple(sorted(known))

    def __str__(self) -> str:
        return f"no {self.kind} is named {self.name!r}{known_names(self.name, self.known)}"


class WrongType(SagaBusError, TypeError):
    """Pass an argument of the type that the call takes: the error names it."""


class MendRefused(SagaBusError):
    """Look again, and repeat it with what is there now: nothing was changed, and the error says why."""


class WrongEventLoop(SagaBusError):
    """Use a bus in the event loop that opened it: hand the call over to that loop, or open another bus."""


class UnsupportedCapability(SagaBusError):
    """Choose an adapter that has the capability, or do without it: the call is refused, never ignored."""

    def __init__(self, capability: str, adapter: str = "this adapter") -> None:
        super().__init__(capability, adapter)
        self.capability = capability
        self.adapter = adapter

    def __str__(self) -> str:
        return f"{self.adapter} does not support {self.capability}"


# --- messages -------------------------------------------------------------------------------------


class MessageError(SagaBusError):
    """Correct the message or its declaration: sending the same one again fails again."""


class MessageNotDeclared(MessageError):
    """Put @event or @command on this class: a declared base class does not declare its subclasses."""

    def __init__(self, class_name: str) -> None:
        super().__init__(class_name)
        self.class_name = class_name

    def __str__(self) -> str:
        return f"{self.class_name} is not a declared message: put @event(...) or @command(...) on the class itself"


class MessageInvalid(MessageError):
    """Correct the named field: the body does not read as the declared type."""

    def __init__(self, message_type: str, path: str, reason: str) -> None:
        super().__init__(message_type, path, reason)
        self.message_type = message_type
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return _at_field(self.message_type, self.path, self.reason)


class MessageTooLarge(MessageError):
    """Send a reference instead, or raise the size limit, first on every process that reads."""

    def __init__(self, message_type: str, size: int, limit: int, headers: int = 0) -> None:
        super().__init__(message_type, size, limit, headers)
        self.message_type = message_type
        self.size = size
        """Bytes of the body and the headers."""
        self.limit = limit
        self.headers = headers
        """Bytes of the headers among them."""

    def __str__(self) -> str:
        if self.headers:
            body = self.size - self.headers
            sizes = f"body of {body} and headers of {self.headers} bytes"
            return f"{self.message_type}: {sizes} exceed the limit of {self.limit}"
        return f"{self.message_type}: body of {self.size} bytes exceeds the limit of {self.limit}"


class MessageTooDeep(MessageError):
    """Flatten the message, or raise the depth limit, first on every process that reads."""

    def __init__(self, message_type: str, limit: int) -> None:
        super().__init__(message_type, limit)
        self.message_type = message_type
        self.limit = limit

    def __str__(self) -> str:
        return f"{self.message_type}: body is nested deeper than {self.limit} levels"


class MessageTooNew(MessageError):
    """Run a newer worker: this one knows only older versions of the message."""

    def __init__(self, message_type: str, version: int, known: int) -> None:
        super().__init__(message_type, version, known)
        self.message_type = message_type
        self.version = version
        self.known = known

    def __str__(self) -> str:
        return (
            f"{self.message_type}: sent with version {self.version}, but this release knows versions up to {self.known}"
        )

    @property
    def needs(self) -> str:
        """What a worker must know to take it, in the words by which workers register."""
        return needed_message(self.message_type, self.version)


class InvalidMessageId(MessageError):
    """Pass 1 to 200 printable characters: the id is the key of de-duplication."""

    def __init__(self, reason: str = "", *, message_id: object = None) -> None:
        super().__init__(reason)
        self.message_id = message_id


class InvalidTime(MessageError, ValueError):
    """Pass a timedelta from 0 to 1000 years, or an aware datetime."""

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(option, reason)
        self.option = option
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.option}: {self.reason}"


class UnknownMessageType(MessageError):
    """Register the class of this wire name here, or run a worker that knows it."""

    def __init__(self, message_type: str) -> None:
        super().__init__(message_type)
        self.message_type = message_type

    def __str__(self) -> str:
        return f"no message is registered under the name {self.message_type!r}"


class TransportError(SagaBusError):
    """Check the broker: unconfirmed messages are still stored here and are sent again."""

    is_transient = True

    def __init__(self, reason: str = "", *, transport: str | None = None, message_ids: Iterable[str] = ()) -> None:
        super().__init__(reason)
        self.transport = transport
        self.message_ids: tuple[str, ...] = tuple(message_ids)


class TransportRefused(TransportError):
    """Correct the message or the broker's limits, then replay the dead letter: the broker does not take it."""

    is_transient = False


class StoreError(SagaBusError):
    """See the subclass: it says whether to wait, to repair, or to correct the code."""

    def __init__(self, reason: str = "", *, store: str | None = None) -> None:
        super().__init__(reason)
        self.store = store


class StoreUnavailable(StoreError):
    """The database did not answer. The outcome is unknown: repeat the call with the same message_id."""

    is_transient = True


class StoreBusy(StoreError):
    """Look for a long transaction of another process. Workers repeat the work by themselves."""

    is_transient = True


class StoreFull(StoreError):
    """Free disk space: nothing was lost, and work continues as soon as there is room."""

    is_transient = True


class StoreReadOnly(StoreError):
    """Connect to the writable primary, or correct the file permissions."""


class StoreUntrusted(StoreError):
    """Correct the certificates or the URL's TLS options: the connection is not trusted, and repeating does not help."""


class StoreCorrupt(StoreError):
    """Stop every process and restore a backup: this is not a database, or a damaged one."""


class SchemaTooNew(StoreError):
    """Upgrade this process: a newer release has migrated the database."""

    def __init__(
        self, reason: str = "", *, found: int | None = None, supported: int | None = None, store: str | None = None
    ) -> None:
        super().__init__(reason, store=store)
        self.found = found
        self.supported = supported


class ForkedProcess(StoreError):
    """Open the store after the fork: connections must not cross a fork."""


class TransactionLost(StoreError):
    """Treat the outcome as unknown: the transaction ended without a confirmed commit, and the rows decide."""


class NoOpenTransaction(StoreError):
    """Begin a transaction on the connection before joining it."""


class WrongDatabase(StoreError):
    """Join a connection to the database that holds the tables of this bus."""


class StatementRefused(StoreError):
    """Leave begin, commit, rollback and schema changes to the bus: the handle is part of its transaction."""

    def __init__(self, reason: str = "", *, statement: str | None = None, store: str | None = None) -> None:
        super().__init__(reason, store=store)
        self.statement = statement


# --- handling -------------------------------------------------------------------------------------


class HandlingError(SagaBusError):
    """See the subclass: it names what stopped this message at this subscription."""

    def __init__(
        self,
        reason: str = "",
        *,
        message_id: str | None = None,
        subscription: str | None = None,
        saga: str | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.message_id = message_id
        self.subscription = subscription
        self.saga = saga
        self.key = key


class DuplicateMessage(HandlingError):
    """Nothing to do: this message had its effect before. Raised only if the subscription asks for it."""


class MessageIdCollision(HandlingError):
    """Correct the sender: it used one id for two different messages, and only the first counts."""


class MessageTooOld(HandlingError):
    """Decide about the dead letter: the message is so old that a copy may have taken effect."""


class SagaNotFound(HandlingError):
    """Check the key and the order of messages: no message has started an instance with that key (from the harness)."""


class ContextClosed(HandlingError):
    """Call the context before the handler returns: its outcome is decided now."""


class TimeLimitExceeded(HandlingError):
    """See what the handler waited for, or raise its `timeout`: the run was cancelled and counts as failed."""


class ValueReturned(HandlingError):
    """Return None from the handler: only calls of its context, and awaited work, have an effect."""


class Unroutable(HandlingError):
    """Add a receiver for the message: start a bus with its handler or saga on this store once."""

    def __init__(self, reason: str = "", *, message_type: str | None = None, message_id: str | None = None) -> None:
        super().__init__(reason, message_id=message_id)
        self.message_type = message_type


class EndlessLoop(HandlingError):
    """Break the loop: handlers sent one another too many messages in a row. A delay or a timer starts a new count."""

    def __init__(self, message_type: str, message_id: str, limit: int) -> None:
        super().__init__(message_id=message_id)
        self.args = (message_type, message_id, limit)
        self.message_type, self.limit = message_type, limit

    def __str__(self) -> str:
        return f"{self.message_type}: handlers sent one another {self.limit} messages in a row without a delay"


class StateInvalid(HandlingError):
    """Correct the saga: the named field of its state does not read as declared. Nothing of the run was kept."""

    def __init__(self, saga: str, path: str, reason: str) -> None:
        super().__init__(reason, saga=saga)
        self.args = (saga, path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return _at_field(str(self.saga), self.path, self.reason)


class StateTooNew(HandlingError):
    """Run a worker of the newer release: this one would lose a part of the instance's state."""

    def __init__(self, saga: str, path: str, what: str) -> None:
        super().__init__(saga=saga)
        self.args = (saga, path, what)
        self.path, self.what = path, what

    def __str__(self) -> str:
        text = f"{self.saga}: the stored state has {self.what}, which this release does not know"
        return f"{text}: {self.path}; list it in dropped=[...] if no release needs it" if self.path else text

    @property
    def needs(self) -> str:
        """What a worker must know to take it, in the words by which workers register."""
        return needed_field(self.path) if self.path else needed_state(self.what)


class StateTooLarge(HandlingError):
    """Keep less in the saga's state: every message reads and writes the whole state."""

    def __init__(self, saga: str, size: int, limit: int) -> None:
        super().__init__(saga=saga)
        self.args = (saga, size, limit)
        self.size, self.limit = size, limit

    def __str__(self) -> str:
        return f"{self.saga}: state of {self.size} bytes exceeds the limit of {self.limit}"


def _at_field(name: str, path: str, reason: str) -> str:
    return f'{name}: field "{path}": {reason}' if path else f"{name}: {reason}"
