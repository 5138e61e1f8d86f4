"""What a worker can take of one channel, in words that the workers of other releases compare with theirs.

A release that only adds knows all that the one before knows, and more: it is given the lanes of the channel.
"""

from __future__ import annotations

from collections.abc import Iterator

from sagabus.codec.field_types import paths
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.saga import SagaDefinition
from sagabus.engine.recoverability import timer_type
from sagabus.evolution import needed_field, needed_message, needed_state


def known_types(definition: HandlerDefinition | SagaDefinition) -> tuple[str, ...]:
    """Message types with their versions, timers, the versions of the state, and its fields inside other fields."""
    return tuple(sorted({*definition.reactions, *_of_messages(definition), *_of_state(definition)}))


def _of_messages(definition: HandlerDefinition | SagaDefinition) -> Iterator[str]:
    for name, found in definition.reactions.items():
        versions = found[0].message_type.version if found[0].message_type is not None else 1
        yield from (needed_message(name, version) for version in range(2, versions + 1))


def _of_state(definition: HandlerDefinition | SagaDefinition) -> Iterator[str]:
    if not isinstance(definition, SagaDefinition):
        return
    yield from map(timer_type, definition.timers)
    yield from (needed_state(f"version {version}") for version in range(2, definition.options.version + 1))
    # Other fields of the state are carried along by a release that does not know them.
    yield from (needed_field(path) for path in paths(definition.cls) if "." in path)
