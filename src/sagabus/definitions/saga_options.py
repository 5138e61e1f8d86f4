"""The options of a saga's class line: typed for checkers, and checked where the class is declared."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, Literal, TypeAlias, TypedDict, cast, get_args

from sagabus.errors import ConfigurationError
from sagabus.evolution import Evolution, Upcast
from sagabus.message.correlation import KeySpec
from sagabus.policies.deduplication import Deduplication
from sagabus.policies.retry import RetryPolicy
from sagabus.text import known_names

__all__ = ["OnStuck", "Policy", "PolicySpec", "SagaKeywords", "SagaOptions", "options_of"]

Policy: TypeAlias = Literal["stash", "ignore", "dead-letter"]
PolicySpec: TypeAlias = Policy | Mapping[type[Any], Policy]
"""One policy for all messages, or one for each message class; the default holds for the others."""

OnStuck: TypeAlias = Literal["alarm", "dead-letter"]
StuckSpec: TypeAlias = timedelta | Mapping[str | enum.Enum, timedelta]
"""One limit for all live instances, or one for each status; others have none."""

_DEFAULTS: Mapping[str, Policy] = {"missing": "stash", "finished": "ignore", "unexpected": "dead-letter"}


class SagaKeywords(TypedDict, total=False):
    """The options of `class X(Saga, name="x", …)`; what each of them means is in the docstring of `Saga`."""

    key: KeySpec | None
    on_missing: PolicySpec
    on_finished: PolicySpec
    on_unexpected: PolicySpec
    on_no_key: Literal["ignore", "dead-letter"]
    patience: timedelta
    stuck_after: StuckSpec | None
    on_stuck: OnStuck
    restart: bool
    history: bool
    retry: RetryPolicy
    deduplication: Deduplication | None
    ordered: bool
    parks: bool
    lossy: bool
    timeout: timedelta | None
    version: int
    upcast: Mapping[int, Upcast]
    renamed: Mapping[str, str]
    dropped: Collection[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaOptions:
    """The options of the class line."""

    name: str
    key: KeySpec | None = None
    on_missing: PolicySpec = "stash"
    on_finished: PolicySpec = "ignore"
    on_unexpected: PolicySpec = "dead-letter"
    on_no_key: Literal["ignore", "dead-letter"] = "dead-letter"
    patience: timedelta = timedelta(hours=1)
    stuck_after: StuckSpec | None = None
    on_stuck: OnStuck = "alarm"
    restart: bool = False
    history: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    deduplication: Deduplication | None = None
    ordered: bool = True
    parks: bool = False
    lossy: bool = False
    timeout: timedelta | None = None
    version: int = 1
    upcast: Mapping[int, Upcast] = field(default_factory=dict[int, Upcast])
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    dropped: Collection[str] = ()

    @property
    def evolution(self) -> Evolution:
        """How the state has changed since older releases stored it."""
        return Evolution(version=self.version, upcast=self.upcast, renamed=self.renamed, dropped=self.dropped)

    def policy(self, case: str, message: type[object] | None) -> Policy:
        """What happens to a message of this class that finds its instance `missing`, `finished` or `unexpected`."""
        spec: PolicySpec = getattr(self, f"on_{case}")
        if not isinstance(spec, Mapping):
            return spec
        return spec.get(message, _DEFAULTS[case]) if message is not None else _DEFAULTS[case]

    def policy_problems(self, messages: Collection[type[object]]) -> list[str]:
        """What is wrong with the policies of a saga that reacts to these messages."""
        problems: list[str] = []
        for case in _DEFAULTS:
            allowed = tuple(each for each in get_args(Policy) if case != "finished" or each != "stash")
            given: object = getattr(self, f"on_{case}")
            by_class = cast("Mapping[object, object]", given) if isinstance(given, Mapping) else {None: given}
            for message, policy in by_class.items():
                label = getattr(message, "__qualname__", repr(message))
                where = f"on_{case}" if message is None else f"on_{case}[{label}]"
                if policy not in allowed:
                    problems.append(f"{where} must be one of {', '.join(allowed)}, not {policy!r}")
                if message is not None and message not in messages:
                    problems.append(f"on_{case} names {label}, to which no method of the saga reacts")
        if self.on_stuck not in get_args(OnStuck):
            problems.append(f"on_stuck must be one of alarm, dead-letter, not {self.on_stuck!r}")
        if self.on_no_key not in ("ignore", "dead-letter"):
            problems.append(f"on_no_key must be one of ignore, dead-letter, not {self.on_no_key!r}")
        return problems


def options_of(cls: str, name: str, given: Mapping[str, Any]) -> SagaOptions:
    """The options of a class; ConfigurationError lists those that there are not."""
    known = [each.name for each in fields(SagaOptions)]
    problems = [
        f"{cls}: a saga has no option {option!r}{known_names(option, known)}" for option in given if option not in known
    ]
    if problems:
        raise ConfigurationError(*problems)
    return SagaOptions(name=name, **given)
