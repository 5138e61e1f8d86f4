"""What stops one message at one subscription."""

from sagabus.errors.general import SagaBusError, at_field
from sagabus.evolution import needed_field, needed_state


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
        return at_field(str(self.saga), self.path, self.reason)


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
