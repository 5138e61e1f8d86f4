"""What brokers and stores raise."""

from collections.abc import Iterable

from sagabus.errors.general import SagaBusError


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
