"""What happens to a message whose handler failed: a policy of values, decided by the class of the error, never by its
text.

Delays and attempts live in the store, so they survive the process. A version conflict, a lost database and a stopped
worker are not failures of the message, and do not come here. The exception is a message that loses the database each
time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Protocol, cast

from sagabus.clock import LONGEST, micros, span_problems
from sagabus.errors import ConfigurationError, EndlessLoop, MessageError
from sagabus.policies.transience import is_transient

_LONGEST = micros(LONGEST)
FEWEST_DEATHS = 2
ALONE_FROM = 2
"""After so many deaths a message runs alone."""


class Rule(Enum):
    """What to do about one kind of error."""

    RETRY = "retry"
    DEAD_LETTER = "dead-letter"
    """Into the dead letters at once: trying again cannot help."""
    DISCARD = "discard"
    """Drop the message; the log and the counters say so."""


class Backoff(Protocol):
    """How long to wait after the n-th failed run."""

    def ceiling(self, attempt: int) -> int:
        """The longest wait after `attempt` failed runs (from 1), in microseconds."""
        ...


@dataclass(frozen=True, slots=True)
class Exponential:
    """Waits that grow by a factor: `first`, `first * factor`, … at most `cap`."""

    first: timedelta = timedelta(seconds=1)
    factor: float = 2.0
    cap: timedelta = timedelta(minutes=5)

    def __post_init__(self) -> None:
        if problems := span_problems("Exponential", first=self.first, cap=self.cap):
            raise ConfigurationError(*problems)

    def ceiling(self, attempt: int) -> int:
        """The longest wait after `attempt` failed runs, in microseconds."""
        try:
            grown = micros(self.first) * self.factor ** (attempt - 1)
        except OverflowError:
            grown = _LONGEST
        return int(min(grown, micros(self.cap)))


@dataclass(frozen=True, slots=True)
class Linear:
    """Waits that grow by a step: `first`, `first + step`, … at most `cap`."""

    first: timedelta = timedelta(seconds=1)
    step: timedelta = timedelta(seconds=1)
    cap: timedelta = timedelta(minutes=5)

    def __post_init__(self) -> None:
        if problems := span_problems("Linear", first=self.first, step=self.step, cap=self.cap):
            raise ConfigurationError(*problems)

    def ceiling(self, attempt: int) -> int:
        """The longest wait after `attempt` failed runs, in microseconds."""
        return min(micros(self.first) + micros(self.step) * (attempt - 1), micros(self.cap))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when a failed message runs again, by the class of its error.

    `rules` maps exception classes to a Rule; the nearest class in the error's own order of inheritance wins. Where none
    matches, a message that cannot be read is dead-lettered at once. **Transient** errors are connections, time-outs,
    locks and conflicts, also those of the common clients and drivers. They use no `attempts` for `transient_for` from
    the first failure on, and then they do. `transient` names further classes of this kind, or their names,
    "stripe.APIConnectionError". Jitter is full (a uniform part of the ceiling), so that what failed together does not
    return together.

    `deaths`: a message that was in flight when so many workers died is a dead letter. For the last one it ran alone.
    """

    attempts: int = 5
    transient_for: timedelta = timedelta(hours=2)
    transient: Collection[type[BaseException] | str] = ()
    deaths: int = 3
    backoff: Backoff = field(default_factory=Exponential)
    jitter: bool = True
    rules: Mapping[type[BaseException], Rule] = field(default_factory=dict[type[BaseException], Rule])

    def __post_init__(self) -> None:
        problems: list[str] = []
        if self.attempts < 1:
            problems.append(f"RetryPolicy.attempts must be at least 1, not {self.attempts}")
        problems += span_problems("RetryPolicy", transient_for=self.transient_for)
        if self.deaths < FEWEST_DEATHS:
            problems.append(
                f"RetryPolicy.deaths must be at least {FEWEST_DEATHS}, not {self.deaths}: every message that was in"
                " flight when a worker died would be a dead letter"
            )
        problems += _wrong_names(self.transient)
        if problems:
            raise ConfigurationError(*problems)

    def rule_for(self, error: BaseException) -> Rule:
        """The rule for an error; for a group, the most final rule of its members."""
        rules = {self._rule_for_one(leaf) for leaf in leaves(error)}
        return next(rule for rule in (Rule.DEAD_LETTER, Rule.RETRY, Rule.DISCARD) if rule in rules)

    @property
    def alone_from(self) -> int:
        """The number of deaths from which on a message runs alone: the second, or earlier if that is the last."""
        return min(ALONE_FROM, self.deaths - 1)

    def is_transient(self, error: BaseException) -> bool:
        """Whether waiting alone may cure it; a group, if it may cure all of its members."""
        return all(is_transient(leaf, self.transient) for leaf in leaves(error))

    def delay(self, attempt: int, fraction: float) -> int:
        """The wait after `attempt` failed runs, in microseconds; `fraction` in [0, 1) is the luck of the draw."""
        # A backoff of the user's may return anything; a wait that no store can hold would stop the worker.
        ceiling = min(max(0, self.backoff.ceiling(attempt)), _LONGEST)
        return int(ceiling * fraction if self.jitter else ceiling)

    def _rule_for_one(self, error: BaseException) -> Rule:
        for cls in type(error).__mro__:
            if cls in self.rules:
                return self.rules[cls]
        return Rule.DEAD_LETTER if isinstance(error, (MessageError, ConfigurationError, EndlessLoop)) else Rule.RETRY


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors inside (nested) exception groups; an error that is no group is its own leaf."""
    if isinstance(error, BaseExceptionGroup):
        for member in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from leaves(member)
    else:
        yield error


def _wrong_names(named: object) -> Iterator[str]:
    if isinstance(named, (str, type)) or not isinstance(named, Collection):
        yield f"RetryPolicy.transient must be a tuple of exception classes or of their names, not {named!r}"
        return
    for one in cast("Collection[object]", named):
        if isinstance(one, str) and all(part.isidentifier() for part in one.split(".")) and "." in one:
            continue
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            yield (
                f"RetryPolicy.transient: {one!r} is no exception class, and no name of one with its package, "
                'such as "stripe.APIConnectionError"'
            )
