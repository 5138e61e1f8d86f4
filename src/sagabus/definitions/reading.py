"""From what the user gave to what the bus runs: every definition read, every problem listed."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard, TypeVar, cast

from sagabus.codec import JsonCodec
from sagabus.codec.field_types import is_field_hidden
from sagabus.codec.states import StateCodec
from sagabus.definitions.handler import HandlerDefinition, define_handler
from sagabus.definitions.reaction import Reaction, declared
from sagabus.definitions.saga import Saga, SagaDefinition
from sagabus.definitions.saga_reader import define_saga
from sagabus.errors import ConfigurationError, SagaBusError
from sagabus.introspection.callables import label_of, why_not
from sagabus.message import Registry, message_type_of
from sagabus.message.correlation import KeyOf
from sagabus.observer import Observer
from sagabus.policies.deduplication import Deduplication, DeduplicationRules
from sagabus.settings import Settings
from sagabus.store import Commit

T = TypeVar("T")


@dataclass(slots=True)
class Definitions:
    """All that a bus knows of its sagas and handlers."""

    by_name: dict[str, HandlerDefinition | SagaDefinition] = field(
        default_factory=dict[str, HandlerDefinition | SagaDefinition]
    )
    keys: dict[tuple[str, str], KeyOf] = field(default_factory=dict[tuple[str, str], KeyOf])
    rules: DeduplicationRules = field(default_factory=DeduplicationRules)

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
            with _noting(f"saga {definition.name!r}", problems):
                states.prepare(definition.cls)
                _check_shown(definition.cls, key=definition.options.key, status="status")
    _check_receivers(defined, problems)
    defined.rules = _read_rules(defined, settings, problems)
    if problems:
        raise ConfigurationError(*problems)
    return defined


def check_lending(defined: Definitions, store: Commit) -> None:
    """ConfigurationError with every handler that asks for the open transaction as a type that the store cannot give."""
    problems: list[str] = []
    for name, definition in defined.by_name.items():
        asking = [each for each in (*reactions_of(definition), *definition.timers.values()) if each.wants_connection]
        for each in {(reaction.name, reaction.connection_kind): reaction for reaction in asking}.values():
            with _noting(f"{name!r}, {each.name}", problems):
                store.check_lending(each.connection_kind)
    if problems:
        raise ConfigurationError(*problems)


def check_middleware(middleware: Sequence[object]) -> None:
    """ConfigurationError with every middleware that a call would not run."""
    problems: list[str] = []
    for each in middleware:
        if not callable(each):
            problems.append(f"middleware {each!r} cannot be called: it is a function of message, ctx and call_next")
        elif (refusal := why_not(each)) is not None:
            problems.append(f"middleware {label_of(each)} {refusal}")
    if problems:
        raise ConfigurationError(*problems)


def check_observers(observers: Sequence[Observer]) -> tuple[Observer, ...]:
    """The observers; ConfigurationError with everything among them that is none."""
    given = cast("Sequence[object]", observers)  # callers are not all type-checked
    problems = [
        f"{each!r} is no observer: derive its class from sagabus.Observer, and give an instance of it"
        for each in given
        if not isinstance(each, Observer)
    ]
    if problems:
        raise ConfigurationError(*problems)
    return tuple(observers)


def reactions_of(definition: HandlerDefinition | SagaDefinition) -> list[Reaction]:
    """All reactions to messages, each once, timers left out."""
    found: dict[int, Reaction] = {}
    for reactions in definition.reactions.values():
        for reaction in reactions:
            found[id(reaction)] = reaction
    return list(found.values())


def _define_one(item: Any, problems: list[str]) -> HandlerDefinition | SagaDefinition | None:
    if _is_saga(item):
        saga = define_saga(item, problems)
        return None if saga is None else _saga_with_aliases(saga)
    defined = define_handler(item, problems)
    if defined is None:
        return None
    types = {name: reactions[0] for name, reactions in defined.reactions.items()}
    return replace(defined, reactions=with_aliases(defined.reactions, types))


def _saga_with_aliases(saga: SagaDefinition) -> SagaDefinition:
    types = {name: reactions[0] for name, reactions in saga.reactions.items()}
    return replace(
        saga,
        reactions=with_aliases(saga.reactions, types),
        starting=with_aliases(saga.starting, types),
        given=with_aliases(saga.given, types),
    )


def with_aliases(by_name: Mapping[str, T], types: Mapping[str, Reaction]) -> dict[str, T]:
    """What is kept by the wire names of messages, also under the names that the messages had before."""
    found = dict(by_name)
    for name, kept in by_name.items():
        for alias in declared(types[name]).aliases:
            found.setdefault(alias, kept)
    return found


def _is_saga(item: object) -> TypeGuard[type[Saga]]:
    return isinstance(item, type) and issubclass(item, Saga)


def _learn(
    defined: Definitions,
    definition: HandlerDefinition | SagaDefinition,
    registry: Registry,
    codec: JsonCodec,
    problems: list[str],
) -> None:
    for reaction in reactions_of(definition):
        message_type = declared(reaction)
        where = f"{definition.name!r}, message {message_type.name!r}"
        with _noting(where, problems):
            registry.add(message_type.cls)
        with _noting(where, problems):
            codec.prepare(message_type)
            _check_shown(message_type.cls, key=reaction.key_field)
        if reaction.key is not None:
            for name in message_type.names:
                defined.keys[(definition.name, name)] = reaction.key


def _check_shown(cls: type[object], **names: object) -> None:
    """ConfigurationError with every hidden field that stands in all lists and logs, by what it is."""
    problems = [
        f"field {name!r} is the {what}, which lists and logs show: it cannot be Hidden"
        for what, name in names.items()
        if isinstance(name, str) and is_field_hidden(cls, name)
    ]
    if problems:
        raise ConfigurationError(*problems)


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


def _read_rules(defined: Definitions, settings: Settings, problems: list[str]) -> DeduplicationRules:
    own = {name: each.deduplication for name, each in defined.by_name.items() if each.deduplication is not None}
    by_type: dict[str, Deduplication] = {}
    excluded: set[str] = set()
    for cls, rule in settings.deduplication.items():
        with _noting("Settings.deduplication", problems):
            names = message_type_of(cls).names
            if rule is None:
                excluded.update(names)
            else:
                by_type.update(dict.fromkeys(names, rule))
    return DeduplicationRules(own, by_type, frozenset(excluded))


@contextmanager
def _noting(where: str, problems: list[str]) -> Generator[None, None, None]:
    """Note what is raised inside, each problem with `where` in front, and go on after the block."""
    try:
        yield
    except ConfigurationError as error:
        problems.extend(f"{where}: {problem}" for problem in error.problems)
    except SagaBusError as error:
        problems.append(f"{where}: {error}")
