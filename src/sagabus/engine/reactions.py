"""What is asked about all reactions of a definition at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.reaction import Reaction
from sagabus.definitions.saga import SagaDefinition


def every_reaction(definition: HandlerDefinition | SagaDefinition) -> Iterator[Reaction]:
    """All reactions, those to timers among them."""
    for found in definition.reactions.values():
        yield from found
    yield from definition.timers.values()


def longest_limit(
    definitions: Iterable[HandlerDefinition | SagaDefinition], default: timedelta | None, unlimited: float
) -> float:
    """The longest time in seconds that a run of any of them may take; `unlimited` where none has a limit."""
    otherwise = unlimited if default is None else default.total_seconds()
    own = (reaction.timeout for definition in definitions for reaction in every_reaction(definition))
    return max((otherwise if limit is None else limit for limit in own), default=otherwise)
