"""From what the user gave to what the bus runs: every definition read, every problem listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sagabus.codec import JsonCodec, StateCodec
from sagabus.correlation import KeyOf
from sagabus.deduplication import Deduplication
from sagabus.errors import ConfigurationError, SagaBusError
from sagabus.handler import HandlerDefinition, define_handler
from sagabus.message import MessageType, Registry, message_type_of
from sagabus.reaction import Reaction
from sagabus.saga import Saga, SagaDefinition, define_saga
from sagabus.settings import Settings


@dataclass(slots=True)
class Definitions:
    """All that a bus knows of its sagas and handlers."""

    by_name: dict[str, HandlerDefinition | SagaDefinition] = field(
        default_factory=dict[str, HandlerDefinition | SagaDefinition]
    )
    keys: dict[tuple[str, str], KeyOf] = field(default_factory=dict[tuple[str, str], KeyOf])
    rules: dict[str, Deduplication] = field(default_factory=dict[str, Deduplication])
    type_rules: dict[str, Deduplication] = field(default_factory=dict[str, Deduplication])
    undeduplicated: frozenset[str] = frozenset()

    @property
    def sagas(self) -> Mapping[str, SagaDefinition]:
        """The sagas among them."""
        return {name: found for name, found in self.by_name.items() if isinstance(found, SagaDefinition)}


def define(given: Sequence[Any], codec: JsonCodec, states: StateCodec, settings: Settings) -> Definitions:
    """Read all definitions; ConfigurationError with every problem of all of them."""
    problems: list[str] = []
    defined = Definitions()
    registry = Registry()
    for item in given:
        definition = _define_one(item, problems)
        if definition is None:
            continue
        if definition.name in defined.by_name:
            problems.append(f"two subscriptions are named {definition.name!r}; a name stands for one of them")
            continue
        defined.by_name[definition.name] = definition
        _learn(defined, definition, registry, codec, problems)
        if isinstance(definition, SagaDefinition):
            _collect(lambda d=definition: states.prepare(d.cls), f"saga {definition.name!r}", problems)
    _check_receivers(defined, problems)
    _read_type_rules(defined, settings, problems)
    if problems:
        raise ConfigurationError(*problems)
    return defined


def reactions_of(definition: HandlerDefinition | SagaDefinition) -> list[Reaction]:
    """All reactions to messages, timers left out."""
    found: list[Reaction] = []
    for reactions in definition.reactions.values():
        found += reactions if isinstance(reactions, tuple) else (reactions,)
    return found


def _define_one(item: Any, problems: list[str]) -> HandlerDefinition | SagaDefinition | None:
    if isinstance(item, type) and issubclass(item, Saga):
        return define_saga(item, problems)
    return define_handler(item, problems)


def _learn(
    defined: Definitions,
    definition: HandlerDefinition | SagaDefinition,
    registry: Registry,
    codec: JsonCodec,
    problems: list[str],
) -> None:
    if definition.deduplication is not None:
        defined.rules[definition.name] = definition.deduplication
    for reaction in reactions_of(definition):
        message_type = reaction.message_type
        assert message_type is not None
        where = f"{definition.name!r}, message {message_type.name!r}"
        _collect(lambda t=message_type: (registry.add(t.cls), codec.prepare(t)), where, problems)
        if reaction.key is not None:
            defined.keys[(definition.name, message_type.name)] = reaction.key


def _check_receivers(defined: Definitions, problems: list[str]) -> None:
    receivers: dict[str, list[str]] = {}
    for definition in defined.by_name.values():
        for message_type in {r.message_type for r in reactions_of(definition) if r.message_type is not None}:
            if message_type.kind == "command":
                receivers.setdefault(message_type.name, []).append(definition.name)
    for name, names in receivers.items():
        if len(names) > 1:
            problems.append(
                f"command {name!r} has {len(names)} receivers: {', '.join(sorted(names))}; it must have one"
            )


def _read_type_rules(defined: Definitions, settings: Settings, problems: list[str]) -> None:
    excluded: set[str] = set()
    for cls, rule in settings.deduplication.items():
        found: list[MessageType] = []
        _collect(lambda c=cls, f=found: f.append(message_type_of(c)), "Settings.deduplication", problems)
        for message_type in found:
            if rule is None:
                excluded.add(message_type.name)
            else:
                defined.type_rules[message_type.name] = rule
    defined.undeduplicated = frozenset(excluded)


def _collect(action: Any, where: str, problems: list[str]) -> None:
    try:
        action()
    except ConfigurationError as error:
        problems.extend(f"{where}: {problem}" for problem in error.problems)
    except SagaBusError as error:
        problems.append(f"{where}: {error}")
