"""Why an instance waits: what the store knows of its key, and what its class declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from sagabus.bus.inspection.audits import pauses_of
from sagabus.bus.inspection.messages import record_of
from sagabus.bus.inspection.records import LetterRecord, MessageRecord, PauseRecord, WaitReport, WorkerStatus
from sagabus.bus.inspection.sentences import sentences
from sagabus.clock import moment
from sagabus.codec.states import StateCodec
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.reaction import Reaction
from sagabus.definitions.saga import SagaDefinition
from sagabus.envelope import DeadLetter, Instance
from sagabus.errors import HandlingError
from sagabus.policies.retry import ALONE_FROM
from sagabus.store import Store
from sagabus.store.survey import Wanted

Definition: TypeAlias = HandlerDefinition | SagaDefinition
_MOST = 100


async def report(
    store: Store,
    states: StateCodec,
    definition: Definition | None,
    *,
    workers: Sequence[WorkerStatus],
    name: str,
    key: str,
    now: int,
) -> WaitReport:
    """All that is known of a key, and the sentences that say it."""
    seen = await store.inspect.key(name, key)
    page = await store.inspect.waiting(Wanted(channel=name, key=key), limit=_MOST)
    instance = (await store.load(name, [key]))[0].instance
    messages = tuple(map(record_of, page.found))
    paused = pauses_of(await store.inspect.paused())
    found = WaitReport(
        at=moment(now),
        subscription=name,
        key=key,
        exists=instance is not None,
        status=None if instance is None else instance.status,
        completed=instance is not None and instance.completed,
        version=0 if instance is None else instance.version,
        updated_at=None if instance is None else moment(instance.updated_at),
        starts=_starting(definition),
        expects=_expected(definition, instance, states),
        messages=messages,
        more_messages=page.after is not None,
        holder=None if seen.holder is None else record_of(seen.holder),
        dead_letters=tuple(map(_letter, seen.letters)),
        is_parked=seen.first == 0,
        lane=seen.lane,
        worker=next((each for each in workers if each.worker == seen.owner), None),
        paused=paused.get(name),
        elsewhere=await _elsewhere(store, messages, instance, name, key),
    )
    found = _with_keepers(found, paused, workers, await _alone(store, found))
    return sentences(found, is_saga=definition is None or definition.has_instances)


def _with_keepers(
    found: WaitReport,
    paused: Mapping[str, PauseRecord],
    workers: Sequence[WorkerStatus],
    alone: MessageRecord | None,
) -> WaitReport:
    """The report with what may keep the messages that it has found, here and elsewhere."""
    there = {each.subscription for each in found.elsewhere}
    served = {name for worker in workers for name in worker.lanes}
    return replace(
        found,
        alone=alone,
        elsewhere_paused={name: pause for name, pause in paused.items() if name in there},
        elsewhere_served=frozenset(there & served),
    )


async def _alone(store: Store, found: WaitReport) -> MessageRecord | None:
    """The suspect that keeps the worker of a key from beginning anything else."""
    worker = found.worker
    if worker is None or not worker.runs or all(each.kind != "ready" for each in found.messages):
        return None
    running = map(record_of, (await store.inspect.waiting(Wanted(why="running"), limit=_MOST)).found)
    return next((each for each in running if each.worker == worker.worker and each.deaths >= ALONE_FROM), None)


async def _elsewhere(
    store: Store, messages: Iterable[MessageRecord], instance: Instance | None, name: str, key: str
) -> tuple[MessageRecord | LetterRecord, ...]:
    """What the conversation of a key holds at others, as far as a bounded look finds it."""
    conversation = next((each.correlation_id for each in messages if each.correlation_id is not None), None)
    if conversation is None or instance is None or instance.completed:
        return ()
    waiting = await store.inspect.waiting(Wanted(correlation_id=conversation), limit=_MOST)
    letters = (await store.inspect.letters(conversation)).letters
    found: list[MessageRecord | LetterRecord] = [*map(record_of, waiting.found)]
    found += [_letter(each) for each in letters if each.status == "open"]
    return tuple(each for each in found if each.timer is None and (each.subscription, each.key) != (name, key))


def _starting(definition: Definition | None) -> tuple[str, ...]:
    return tuple(sorted(definition.starting)) if isinstance(definition, SagaDefinition) else ()


def _expected(definition: Definition | None, instance: Instance | None, states: StateCodec) -> tuple[str, ...] | None:
    """The message types that the instance reacts to now; None where that is not known."""
    if definition is None:
        return None
    if not isinstance(definition, SagaDefinition):
        return tuple(sorted(definition.reactions))
    if instance is None or instance.completed:
        return tuple(sorted(definition.starting))
    try:
        state = states.read(definition.cls, instance.state, instance.shape).state
    except HandlingError:
        return None
    return _that_hold(definition.reactions, state)


def _that_hold(reactions: Mapping[str, tuple[Reaction, ...]], state: object) -> tuple[str, ...]:
    return tuple(sorted(name for name, several in reactions.items() if any(_holds(each, state) for each in several)))


def _holds(reaction: Reaction, state: object) -> bool:
    try:
        return reaction.when is None or bool(reaction.when(state))
    except Exception:  # noqa: BLE001  # a predicate is the user's; a message that it fails on finds no reaction either
        return False


def _letter(letter: DeadLetter) -> LetterRecord:
    envelope = letter.envelope
    return LetterRecord(
        id=letter.id,
        subscription=envelope.channel,
        message_id=envelope.message_id,
        message_type=envelope.message_type,
        timer=envelope.timer,
        key=envelope.partition_key,
        correlation_id=envelope.correlation_id,
        causation_id=envelope.causation_id,
        cause=letter.cause,
        reason=letter.reason,
        parked=letter.parked,
        status=letter.status,
        last_failed_at=moment(letter.last_failed_at),
    )
