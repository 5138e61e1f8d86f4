"""The root of all errors, and those that are of no message, store or run."""

from collections.abc import Collection
from typing import ClassVar

from sagabus.text import known_names


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


def at_field(name: str, path: str, reason: str) -> str:
    """What is wrong with a value, by the path of its field."""
    return f'{name}: field "{path}": {reason}' if path else f"{name}: {reason}"
