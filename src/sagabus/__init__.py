"""sagabus: every message takes effect exactly once.

Sagas, idempotent inbox, transactional outbox, optimistic concurrency, timers, retries and dead letters, on one SQLite
file out of the box.
"""

from typing import TYPE_CHECKING, Any

from sagabus.bus import Bus
from sagabus.bus.views import SagaRecord, TimerRecord, Transition
from sagabus.codec.marks import Hidden
from sagabus.context import Context
from sagabus.definitions.handler import handler
from sagabus.definitions.saga import Saga, handles, starts, stuck, timer
from sagabus.engine.health import Health
from sagabus.engine.outbox import AsyncJoinedPublisher, JoinedPublisher
from sagabus.engine.publisher import Receipt
from sagabus.envelope import Cause, DeadLetter, Envelope
from sagabus.errors import (
    ConfigurationError,
    ContextClosed,
    DuplicateMessage,
    EndlessLoop,
    ForkedProcess,
    HandlingError,
    InvalidMessageId,
    InvalidTime,
    MendRefused,
    MessageError,
    MessageIdCollision,
    MessageInvalid,
    MessageNotDeclared,
    MessageTooDeep,
    MessageTooLarge,
    MessageTooOld,
    NoOpenTransaction,
    SagaBusError,
    SchemaTooNew,
    StatementRefused,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    StoreUntrusted,
    TimeLimitExceeded,
    TooManyBytes,
    TooManyMessages,
    TransactionLost,
    UnknownMessageType,
    UnknownName,
    Unroutable,
    UnsupportedCapability,
    ValueReturned,
    WrongDatabase,
    WrongEventLoop,
    WrongType,
)
from sagabus.log import make_safe
from sagabus.message import command, event
from sagabus.message.kinds import Command, Event
from sagabus.middleware import Middleware, Next
from sagabus.observer import Bridged, Commit, Departure, Handled, Lost, Observer, Refused, Unheard
from sagabus.policies.deduplication import Deduplication, Duplicate
from sagabus.policies.retry import Exponential, Linear, RetryPolicy, Rule
from sagabus.settings import Settings
from sagabus.store import ReplayResult
from sagabus.store.connection import AsyncConnection, Connection

make_safe()

if TYPE_CHECKING:
    __version__: str
    """The version of the installed distribution."""


def __getattr__(name: str) -> Any:
    if name != "__version__":
        raise AttributeError(f"module 'sagabus' has no attribute {name!r}")
    from importlib.metadata import version  # loaded when asked for: it costs more than the rest of this module

    return version("sagabus")


__all__ = [
    "AsyncConnection",
    "AsyncJoinedPublisher",
    "Bridged",
    "Bus",
    "Cause",
    "Command",
    "Commit",
    "ConfigurationError",
    "Connection",
    "Context",
    "ContextClosed",
    "DeadLetter",
    "Deduplication",
    "Departure",
    "Duplicate",
    "DuplicateMessage",
    "EndlessLoop",
    "Envelope",
    "Event",
    "Exponential",
    "ForkedProcess",
    "Handled",
    "HandlingError",
    "Health",
    "Hidden",
    "InvalidMessageId",
    "InvalidTime",
    "JoinedPublisher",
    "Linear",
    "Lost",
    "MendRefused",
    "MessageError",
    "MessageIdCollision",
    "MessageInvalid",
    "MessageNotDeclared",
    "MessageTooDeep",
    "MessageTooLarge",
    "MessageTooOld",
    "Middleware",
    "Next",
    "NoOpenTransaction",
    "Observer",
    "Receipt",
    "Refused",
    "ReplayResult",
    "RetryPolicy",
    "Rule",
    "Saga",
    "SagaBusError",
    "SagaRecord",
    "SchemaTooNew",
    "Settings",
    "StatementRefused",
    "StoreBusy",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreReadOnly",
    "StoreUnavailable",
    "StoreUntrusted",
    "TimeLimitExceeded",
    "TimerRecord",
    "TooManyBytes",
    "TooManyMessages",
    "TransactionLost",
    "Transition",
    "Unheard",
    "UnknownMessageType",
    "UnknownName",
    "Unroutable",
    "UnsupportedCapability",
    "ValueReturned",
    "WrongDatabase",
    "WrongEventLoop",
    "WrongType",
    "command",
    "event",
    "handler",
    "handles",
    "starts",
    "stuck",
    "timer",
]
