"""How a service uses a broker: what it sends there, what it receives there, and what it declares."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

from sagabus.policies.body_codecs import BodyCodec
from sagabus.policies.foreign import Foreign
from sagabus.transport import Transport

__all__ = ["Broker", "Brokers", "is_more_specific", "matches"]

_PATTERN = re.compile(r"\*|[A-Za-z][A-Za-z0-9_.-]{0,127}\*?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """One broker, as a service uses it: `Bus(…, transport=Broker(transport="amqp://…", keeps=["audit.*"]))`.

    Types are named by patterns: a wire name, or the beginning of one with a `*` behind it. The most specific pattern
    decides.
    """

    transport: str | Transport = field(repr=False)  # a URL may hold a password
    """Its URL, or a transport."""
    sends: Sequence[str] = ("*",)
    """Types that leave the service for it. A message leaves for one broker at most."""
    keeps: Sequence[str] = ()
    """Types that stay in the service, though `sends` would let them leave."""
    receives: Sequence[str] = ("*",)
    """Of the types that the service subscribes to, those that it asks this broker for."""
    declare: bool = True
    """Make at the broker what is missing. False only checks, and says what is missing: `sagabus topology` makes it."""
    foreign: Foreign | None = None
    """How messages of other systems are read. Without it they become dead letters."""
    body_codec: BodyCodec | None = None
    """What is done to the bytes of a body, such as compression. Receivers need the same one."""


AnyBroker: TypeAlias = str | Transport | Broker
Brokers: TypeAlias = AnyBroker | Mapping[str, AnyBroker]
"""What a bus takes: one broker, or several by a name that never changes."""


def brokers_of(given: Brokers) -> dict[str, Broker]:
    """Each broker by its name; the only one has none."""
    if not isinstance(given, Mapping):
        return {"": _broker(given)}
    return {name: _broker(each) for name, each in given.items()}


def broker_problems(brokers: Mapping[str, Broker]) -> Iterator[str]:
    """What is wrong with them, all together."""
    if not brokers:
        yield "transport={} names no broker: leave it out for a service without one"
    senders: dict[str, str] = {}
    for name, broker in brokers.items():
        shown = f"the broker {name!r}" if name else "the broker"
        if not _is_name(name, single="" in brokers):
            yield f"a broker's name is 1 to 32 of A-Z a-z 0-9 _ -, not {name!r}"
        own = list(_own_problems(shown, broker))
        yield from own
        for pattern in () if own else {*broker.sends, *broker.keeps}:
            if pattern in senders:
                yield f"{shown}: {pattern!r} is a pattern of {senders[pattern]} too: a message leaves by one way"
            senders[pattern] = shown


def _own_problems(shown: str, broker: Broker) -> Iterator[str]:
    transport: object = broker.transport
    if not isinstance(transport, str) and not hasattr(transport, "connect"):
        kind = type(transport).__name__
        yield f"{shown}: a transport is a URL, or has the calls of sagabus.transport, unlike {kind}"
    wrong = [
        problem
        for option in ("sends", "keeps", "receives")
        for problem in _pattern_problems(f"{shown}, {option}", getattr(broker, option))
    ]
    yield from wrong
    for pattern in () if wrong else sorted({*broker.sends} & {*broker.keeps}):
        yield f"{shown}: {pattern!r} cannot be sent and kept: remove it from one of them"
    if broker.foreign is not None:
        yield from (f"{shown}: {problem}" for problem in broker.foreign.problems())


def matches(pattern: str, name: str) -> bool:
    """Whether a type has this pattern."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def is_more_specific(pattern: str, other: str) -> bool:
    """Of two patterns that match one type: whether this one decides."""
    return (not pattern.endswith("*"), len(pattern)) > (not other.endswith("*"), len(other))


def _broker(given: AnyBroker) -> Broker:
    return given if isinstance(given, Broker) else Broker(transport=given)


def _is_name(name: object, *, single: bool) -> bool:
    return name == "" if single else isinstance(name, str) and _NAME.fullmatch(name) is not None


def _pattern_problems(where: str, patterns: object) -> Iterator[str]:
    if isinstance(patterns, str) or not isinstance(patterns, Sequence):
        yield f"{where}: give a list of patterns, such as ['orders.*']"
        return
    for pattern in cast("Sequence[object]", patterns):
        if not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern):
            yield f"{where}: {pattern!r} is no pattern: write a wire name, or the beginning of one and *"
