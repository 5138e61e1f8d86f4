"""Read-only views of sagas and timers."""

from __future__ import annotations

import builtins
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar, overload

from sagabus.bus.arguments import check_key, check_number, check_saga, check_text
from sagabus.bus.home_loop import HomeLoop
from sagabus.clock import moment
from sagabus.codec.states import StateCodec
from sagabus.definitions.handler import HandlerDefinition
from sagabus.definitions.saga import Saga, SagaDefinition
from sagabus.definitions.saga_options import SagaOptions
from sagabus.envelope import Instance, Recorded
from sagabus.errors import ConfigurationError, HandlingError, StateInvalid, UnknownName
from sagabus.store import Store

_PAGE = 1_000
"""Instances of one query: a state may be large."""

S = TypeVar("S")
G = TypeVar("G", bound=Saga)


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaRecord(Generic[S]):
    """One saga instance as it is stored: `SagaRecord[OrderSaga]` where the class was asked for."""

    saga: str
    key: str
    version: int
    status: str | None
    completed: bool
    state: S
    """The saga object where its class was given or is known to this bus, else the state as a dictionary."""
    error: HandlingError | None
    """Why the state does not read as the class: another release wrote it. `state` is then the stored dictionary, or the
    text if it is no JSON.
    """
    timers: Mapping[str, str]
    """Name of each timer that is set, with the message id of its setting."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One committed transition of a saga instance, as its history keeps it."""

    position: int
    """Where it stands in the history of the store: the `after` of the next page."""
    saga: str
    key: str
    version: int
    at: datetime
    """When it was committed, by the store's clock."""
    message_id: str
    message_type: str
    timer: str | None
    """The timer's name, where it was one that fired."""
    status: str | None
    completed: bool
    state: Any
    """What it left, as it is stored: never an object of the class, which may have changed since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerRecord:
    """One timer that is set."""

    saga: str
    key: str
    name: str
    due_at: datetime


class Sagas:
    """Looks at instances; a copy, never the live state."""

    def __init__(
        self, store: Store, states: StateCodec, definitions: Mapping[str, SagaDefinition], home: HomeLoop
    ) -> None:
        self._store = store
        self._home = home
        self._states = states
        self._definitions = definitions

    @overload
    async def get(self, saga: type[G], key: str) -> SagaRecord[G] | None: ...
    @overload
    async def get(self, saga: str, key: str) -> SagaRecord[Any] | None: ...
    async def get(self, saga: type[Saga] | str, key: str) -> SagaRecord[Any] | None:
        """The instance of a key, finished or not; None when there is none. UnknownName for a saga that nothing names.

        It is a copy: changing it changes nothing. A key is text: WrongType for any other, such as 1 for "1".
        """
        self._home.check("bus.sagas.get(...)")
        check_key("bus.sagas.get(...)", key)
        name = saga_name(saga)
        (loaded,) = await self._store.load(name, [key])
        if loaded.instance is None:
            await self._check(saga)
            return None
        return self._record(loaded.instance, saga)

    @overload
    async def list(
        self, saga: type[G], *, status: str | None = None, after: str = "", limit: int = 100
    ) -> builtins.list[SagaRecord[G]]: ...
    @overload
    async def list(
        self, saga: str, *, status: str | None = None, after: str = "", limit: int = 100
    ) -> builtins.list[SagaRecord[Any]]: ...
    async def list(
        self, saga: type[Saga] | str, *, status: str | None = None, after: str = "", limit: int = 100
    ) -> builtins.list[SagaRecord[Any]]:
        """Instances by key, from the first key greater than `after`; many are read in several pages.

        UnknownName as for `get`, and for a status that a saga of this bus does not declare.
        """
        self._home.check("bus.sagas.list(...)")
        check_text("bus.sagas.list(...)", status=status, after=after)
        found: builtins.list[SagaRecord[Any]] = []
        place: str | None = after
        while place is not None and len(found) < limit:
            size = min(limit - len(found), _PAGE)
            records, place = await self.page(saga, status=status, after=place, limit=size)
            found += records
        return found

    async def page(
        self, saga: type[Saga] | str, *, status: str | None = None, after: str = "", limit: int = 100
    ) -> tuple[builtins.list[SagaRecord[Any]], str | None]:
        """A page of instances by key, and the `after` of the next one; None at the end. Errors as for `list`.

        For a `status` it looks at 10,000 instances, so a page before the end may have less than `limit`, or none.
        """
        self._home.check("bus.sagas.page(...)")
        check_text("bus.sagas.page(...)", status=status, after=after)
        seen = await self._store.inspect.instances(saga_name(saga), status=status, after=after, limit=limit)
        if not seen.found:
            await self._check(saga)
            definition = self._definitions.get(saga_name(saga))
            if status is not None and definition is not None:
                check_status(definition, status)
        return [self._record(instance, saga) for instance in seen.found], seen.after

    async def history(
        self, saga: type[Saga] | str, key: str, *, after: int = 0, limit: int = 100
    ) -> builtins.list[Transition]:
        """A page of the transitions of a key in their order, from the first position greater than `after`.

        Empty for a saga without `history=True`, for a key that never was, and when the retention has passed.
        UnknownName as for `get`.
        """
        self._home.check("bus.sagas.history(...)")
        check_key("bus.sagas.history(...)", key)
        check_number("bus.sagas.history(...)", after=after)
        found = await self._store.inspect.history(saga_name(saga), key, after=after, limit=limit)
        if not found:
            await self._check(saga)
        return [_transition(recorded) for recorded in found]

    async def _check(self, saga: type[Saga] | str) -> None:
        if isinstance(saga, str) and saga not in self._definitions:
            await check_saga_name(self._store, saga, self._definitions)

    def _record(self, instance: Instance, saga: type[Saga] | str) -> SagaRecord[Any]:
        definition = self._definitions.get(instance.saga)
        cls = definition.cls if definition is not None else saga if isinstance(saga, type) else None
        state, error = self._read(cls, instance)
        return SagaRecord(
            saga=instance.saga,
            key=instance.key,
            version=instance.version,
            status=instance.status,
            completed=instance.completed,
            state=state,
            error=error,
            timers=instance.timers,
            created_at=moment(instance.created_at),
            updated_at=moment(instance.updated_at),
        )

    def _read(self, cls: type[Saga] | None, instance: Instance) -> tuple[Any, HandlingError | None]:
        if instance.damage is not None:
            reason = f"the stored row of {instance.key!r} cannot be read: {instance.damage}"
            return json.loads(instance.state), StateInvalid(instance.saga, "", reason)
        if cls is None:
            return _plain(instance.state), None
        try:
            return self._states.read(cls, instance.state, instance.shape).state, None
        except HandlingError as error:
            return _plain(instance.state), error


class Timers:
    """Looks at timers."""

    def __init__(self, store: Store, definitions: Mapping[str, SagaDefinition], home: HomeLoop) -> None:
        self._store = store
        self._definitions = definitions
        self._home = home

    async def list(self, saga: type[Saga] | str, key: str | None = None, limit: int = 100) -> list[TimerRecord]:
        """Timers that are set, of one saga or of one of its instances. UnknownName for a saga that nothing names."""
        self._home.check("bus.timers.list(...)")
        check_text("bus.timers.list(...)", key=key)
        found = await self._store.inspect.envelopes(saga_name(saga), key=key, timers=True, limit=limit)
        if not found and isinstance(saga, str):
            await check_saga_name(self._store, saga, self._definitions)
        return [
            TimerRecord(saga=e.channel, key=e.partition_key or "", name=e.timer, due_at=moment(e.due_at))
            for e in found
            if e.timer is not None
        ]


def check_status(definition: SagaDefinition, status: str) -> None:
    """Raise UnknownName for a status that the saga does not declare."""
    if definition.statuses is not None and status not in definition.statuses:
        raise UnknownName(f"status of {definition.name}", status, definition.statuses)


async def check_subscription(store: Store, kind: str, name: str) -> None:
    """Raise UnknownName for a name that neither a subscription nor a stored row has."""
    known = await _subscribed(store)
    if name not in known and not await _has_rows(store, name):
        raise UnknownName(kind, name, known)


async def check_saga_name(
    store: Store, name: str, definitions: Mapping[str, HandlerDefinition | SagaDefinition]
) -> None:
    """The same for a saga. The error names the sagas that are declared here, and those that have instances."""
    subscribed = await _subscribed(store)
    if name in subscribed or name in definitions or await _has_rows(store, name):
        return
    declared = {each for each, definition in definitions.items() if definition.has_instances}
    others = [each for each in subscribed if each not in definitions]
    found = {each for each in others if (await store.inspect.instances(each, limit=1)).found}
    raise UnknownName("saga", name, declared | found)


async def _subscribed(store: Store) -> set[str]:
    return {each.channel for each in (await store.routing()).subscriptions}


async def _has_rows(store: Store, name: str) -> bool:
    inspect = store.inspect
    return bool(
        (await inspect.instances(name, limit=1)).found
        or await inspect.envelopes(name, limit=1)
        or await inspect.dead_letters(channel=name, status=None, limit=1)
    )


def _transition(recorded: Recorded) -> Transition:
    return Transition(
        position=recorded.position,
        saga=recorded.saga,
        key=recorded.key,
        version=recorded.version,
        at=moment(recorded.at),
        message_id=recorded.message_id,
        message_type=recorded.message_type,
        timer=recorded.timer,
        status=recorded.status,
        completed=recorded.completed,
        state=_plain(recorded.state),
    )


def _plain(state: bytes) -> Any:
    """A state as it is stored; the text of one that is damaged."""
    try:
        return json.loads(state)
    except ValueError:
        return state.decode(errors="replace")


def saga_name(saga: type[Saga] | str) -> str:
    """The name of a saga class, or the name itself; WrongType for anything else."""
    check_saga(saga)
    if isinstance(saga, str):
        return saga
    options: SagaOptions | None = getattr(saga, "__sagabus_saga__", None)
    if options is None:
        raise ConfigurationError(f"{saga.__qualname__} has no saga name")
    return options.name
