"""The one tree of everything sagabus raises.

Retry decisions go by class, never by text. Adapters translate driver errors into these (`raise … from driver_error`).
Only programming and configuration faults, and category roots, end in `Error`. Every constructor keeps its positional
arguments as `args`, so errors survive pickling.
"""

from sagabus.errors.general import (
    ConfigurationError,
    MendRefused,
    SagaBusError,
    UnknownName,
    UnsupportedCapability,
    WrongEventLoop,
    WrongType,
)
from sagabus.errors.handling import (
    ContextClosed,
    DuplicateMessage,
    EndlessLoop,
    HandlingError,
    MessageIdCollision,
    MessageTooOld,
    SagaNotFound,
    StateInvalid,
    StateTooLarge,
    StateTooNew,
    TimeLimitExceeded,
    Unroutable,
    ValueReturned,
)
from sagabus.errors.messages import (
    InvalidMessageId,
    InvalidTime,
    MessageError,
    MessageInvalid,
    MessageNotDeclared,
    MessageTooDeep,
    MessageTooLarge,
    MessageTooNew,
    TooManyBytes,
    TooManyMessages,
    UnknownMessageType,
)
from sagabus.errors.ports import (
    ForkedProcess,
    NoOpenTransaction,
    SchemaTooNew,
    StatementRefused,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    StoreUntrusted,
    TransactionLost,
    TransportError,
    TransportRefused,
    WrongDatabase,
)

__all__ = ["ConfigurationError", "ContextClosed", "DuplicateMessage", "EndlessLoop", "ForkedProcess", "HandlingError"]
__all__ += ["InvalidMessageId", "InvalidTime", "MendRefused", "MessageError", "MessageIdCollision", "MessageInvalid"]
__all__ += ["MessageNotDeclared", "MessageTooDeep", "MessageTooLarge", "MessageTooNew", "MessageTooOld"]
__all__ += ["NoOpenTransaction", "SagaBusError", "SagaNotFound", "SchemaTooNew", "StateInvalid", "StateTooLarge"]
__all__ += ["StateTooNew", "StatementRefused", "StoreBusy", "StoreCorrupt", "StoreError", "StoreFull", "StoreReadOnly"]
__all__ += ["StoreUnavailable", "StoreUntrusted", "TimeLimitExceeded", "TooManyBytes", "TooManyMessages"]
__all__ += ["TransactionLost"]
__all__ += ["TransportError", "TransportRefused", "UnknownMessageType", "UnknownName", "Unroutable"]
__all__ += ["UnsupportedCapability", "ValueReturned", "WrongDatabase", "WrongEventLoop", "WrongType"]

for _name in __all__:
    # Dead letters keep the names of errors, and retry policies go by them.
    globals()[_name].__module__ = __name__
