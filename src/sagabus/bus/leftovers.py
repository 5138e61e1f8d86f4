"""Reports, when a worker starts, what stored rows name and this release does not know.

A bounded look at each subscription. It blocks nothing else. A message of an unknown type, a timer without a reaction or
an unreadable state costs only itself, in its turn.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec

from sagabus.codec.states import StateCodec
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.saga import STUCK, SagaDefinition
from sagabus.envelope import Envelope, Instance
from sagabus.errors import HandlingError, StoreError
from sagabus.store import Inspected

log = logging.getLogger("sagabus")

LOOK = 1_000
"""Rows of a kind that are looked at for each subscription."""
_PAGE = 100
_MESSAGES = 100
"""Messages that are looked at for each subscription, at once: each may be large."""


class Leftover(msgspec.Struct, frozen=True):
    """Stored rows of one subscription that name something this release does not know."""

    subscription: str
    kind: str
    """message, timer, status, field or state."""
    name: str
    """What they name; for a state, why it does not read."""
    count: int
    """How many of the rows looked at."""

    def __str__(self) -> str:
        rows = "1 row" if self.count == 1 else f"{self.count} rows"
        return f"{self.subscription}: {rows} with {_TEXTS[self.kind].format(self.name)}"


_TEXTS = {
    "message": "the message {0}, which no reaction here takes; a worker that knows it has to come within an hour",
    "timer": "the timer {0}, which no @timer here handles; give one aliases=[{0!r}]",
    "status": "the status {0!r}, which this release does not declare; such an instance cannot be read",
    "field": "the field {0}, which the class does not declare; it is carried along until dropped=[{0!r}] lists it",
    "state": "a state that this release cannot read: {0}",
}


async def report(
    store: Inspected, definitions: Iterable[HandlerDefinition | SagaDefinition], states: StateCodec
) -> list[Leftover]:
    """Log a warning for each kind of leftover, and return them. A store that does not answer is not asked further."""
    found: list[Leftover] = []
    for definition in definitions:
        try:
            async for leftover in _of_one(store, definition, states):
                found.append(leftover)
                log.warning("%s", leftover)
        except StoreError as error:
            log.warning("cannot look for what older releases left: %s", error)
            break
        except Exception as error:  # noqa: BLE001  # a damaged row costs what needs it, and must not stop the worker
            log.warning("%s: cannot look for what older releases left, a row is damaged: %s", definition.name, error)
    return found


async def _of_one(
    store: Inspected, definition: HandlerDefinition | SagaDefinition, states: StateCodec
) -> AsyncIterator[Leftover]:
    counts = _of_messages(definition, await store.inspect.envelopes(definition.name, limit=_MESSAGES))
    if isinstance(definition, SagaDefinition):
        async for page in _pages(store, definition.name):
            counts += _of_instances(definition, page, states)
    for (kind, name), count in counts.items():
        yield Leftover(definition.name, kind, name, count)


async def _pages(store: Inspected, saga: str) -> AsyncIterator[Sequence[Instance]]:
    """Instances, a few at a time: a state may be large."""
    after = ""
    for _ in range(LOOK // _PAGE):
        page = await store.inspect.instances(saga, after=after, limit=_PAGE)
        yield page.found
        if page.after is None:
            return
        after = page.after


def _of_messages(
    definition: HandlerDefinition | SagaDefinition, stored: Iterable[Envelope]
) -> Counter[tuple[str, str]]:
    timers = {*definition.timers, STUCK}
    found: Counter[tuple[str, str]] = Counter()
    for envelope in stored:
        if envelope.timer is not None:
            if envelope.timer not in timers:
                found["timer", envelope.timer] += 1
        elif envelope.message_type not in definition.reactions:
            found["message", envelope.message_type] += 1
    return found


def _of_instances(
    definition: SagaDefinition, stored: Iterable[Instance], states: StateCodec
) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    current = states.shape_of(definition.cls)
    for instance in stored:
        is_status = definition.statuses is not None and instance.status not in {None, *definition.statuses}
        if instance.completed or (instance.shape == current and not is_status):
            continue
        try:
            carried = states.read(definition.cls, instance.state, instance.shape).carried
        except HandlingError as error:
            found["status" if is_status else "state", str(instance.status if is_status else error)] += 1
        else:
            found.update(("field", name) for name in carried or ())
    return found
