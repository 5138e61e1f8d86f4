"""What is examined, and how findings about it are made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from shlex import quote
from typing import TypeAlias

from sagabus.bus.bridging import Bridging
from sagabus.bus.diagnosis.records import Finding, Severity
from sagabus.clock import Clock
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.saga import SagaDefinition
from sagabus.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A store and the bus that looks at it."""

    store: Store
    clock: Clock
    """Of this machine."""
    definitions: Mapping[str, HandlerDefinition | SagaDefinition]
    bridging: Bridging
    target: str
    """How commands name the bus or its store."""
    max_age: timedelta
    """A message may be ready for so long."""
    fix: bool
    warn_after: timedelta
    """A run may last for so long."""
    long_runs: Mapping[str, int]
    """Of this process, by subscription."""

    def command(self, words: str, *arguments: str, options: str = "") -> str:
        """A command about this store, to be pasted into a shell."""
        return " ".join(["sagabus", words, self.target, *map(quote, arguments), *filter(None, [options])])

    def finding(self, kind: str, severity: Severity, where: str, text: str, command: str | None = None) -> Finding:
        """One finding; what a bus changes itself is another kind, of `stored`."""
        return Finding(kind=kind, severity=severity, where=where, text=text, command=command)


Look: TypeAlias = Callable[[Subject], AsyncIterator[Finding | str]]
"""Gives findings, and in plain words what it could not see."""
Looks: TypeAlias = Sequence[tuple[str, Look]]
"""What is looked at, in words, and how."""


def counted(count: int, noun: str) -> str:
    """A number with its noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def agreeing(count: int, verb: str) -> str:
    """A verb of the third person, in the number of its subject: one message waits, two wait."""
    if count != 1:
        return verb
    return {"have": "has"}.get(verb, verb + "s")
