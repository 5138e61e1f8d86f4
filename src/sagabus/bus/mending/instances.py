"""Instances of sagas: ended, completed or patched on top of the version that was seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from sagabus.bus.inspection.masking import Masks
from sagabus.bus.mending.desk import Desk, Mended, Order
from sagabus.bus.mending.values import discreetly, filled, json_of
from sagabus.bus.views import check_saga_name, saga_name
from sagabus.definitions.saga import Saga, SagaDefinition
from sagabus.definitions.status import status_of
from sagabus.envelope import Instance
from sagabus.errors import MendRefused
from sagabus.outcome import Save
from sagabus.store.mending import ChangeInstance
from sagabus.text import known_names


class Patched(NamedTuple):
    """A state with other fields, as it is stored."""

    state: bytes
    status: str | None
    shape: str | None
    before: Mapping[str, object]
    """What the fields were."""
    after: Mapping[str, object]
    """What they are now."""


class Instances:
    """Changes of instances."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def change(
        self,
        saga: type[Saga] | str,
        key: str,
        fields: Mapping[str, object],
        *,
        verb: str,
        version: int,
        reason: str,
        by: str | None,
        ends: bool,
    ) -> Mended:
        """Make the next version of an instance; `ends`: as its last."""
        name = saga_name(saga)
        order = Order(verb=f"saga.{verb}", channel=name, target=key, reason=reason, by=by)
        instance = await self.find(name, key, version)
        patched = self._patched(name, instance, fields)
        before: dict[str, object] = {
            "version": version,
            "status": instance.status,
            "completed": False,
            **({"fields": patched.before} if fields else {}),
        }
        after: dict[str, object] = {
            "version": version + 1,
            "status": patched.status,
            "completed": ends,
            **({"fields": patched.after} if fields else {}),
        }
        save = await self._save(instance, patched, ends=ends)
        made = await self._desk.make(ChangeInstance(save), order, before, after)
        return made if made is not None else await self._moved(name, key, version)

    async def find(self, name: str, key: str, version: int | None = None) -> Instance:
        """The live instance at the version; MendRefused for a finished or another one, UnknownName for no saga."""
        (loaded,) = await self._desk.store.load(name, [key])
        found = loaded.instance
        if found is None:
            if name not in self._desk.definitions:
                await check_saga_name(self._desk.store, name, self._desk.definitions)
            raise MendRefused(f"{name} has no instance {key!r}: list those that there are with `sagabus sagas list`")
        if found.damage is not None:
            raise MendRefused(
                f"the stored row of {name} {key} cannot be read ({found.damage}): repair the database, or its backup"
            )
        if found.completed:
            raise MendRefused(f"{name} {key} has finished: nothing of it can change any more")
        if version is not None and found.version != version:
            raise MendRefused(
                f"{name} {key} has version {found.version} now, not {version}: "
                f"look again with `sagabus sagas show`, and repeat it with that version"
            )
        return found

    async def _moved(self, name: str, key: str, version: int) -> Mended:
        await self.find(name, key, version)
        raise MendRefused(f"{name} {key} changed while it was to be mended: look again, and repeat it")

    def _patched(self, name: str, instance: Instance, fields: Mapping[str, object]) -> Patched:
        if not fields:
            return Patched(instance.state, instance.status, instance.shape, {}, {})
        definition = self._desk.definitions.get(name)
        if not isinstance(definition, SagaDefinition):
            raise MendRefused(
                f"the class of {name} is not known here, so its fields cannot be checked: "
                "give the MODULE:BUS that declares it"
            )
        return patched(self._desk, definition, instance, fields)

    async def _save(self, instance: Instance, patched: Patched, *, ends: bool) -> Save:
        definition = self._desk.definitions.get(instance.saga)
        waits_by_status = isinstance(definition, SagaDefinition) and definition.waits_by_status
        return Save(
            saga=instance.saga,
            key=instance.key,
            base=instance.version,
            state=patched.state,
            status=patched.status,
            timers={} if ends else instance.timers,
            completed=ends,
            wakes=ends or not waits_by_status or patched.status != instance.status,
            shape=patched.shape,
            recorded=await self.is_recorded(instance),
        )

    async def without_timer(self, instance: Instance, timer: str) -> ChangeInstance:
        """The instance as it is, but for one timer."""
        save = await self._save(instance, Patched(instance.state, instance.status, instance.shape, {}, {}), ends=False)
        timers = {name: each for name, each in instance.timers.items() if name != timer}
        return ChangeInstance(replace(save, timers=timers, wakes=False), (timer,))

    async def is_recorded(self, instance: Instance) -> bool:
        """Whether the saga keeps a history. Where its class is not known, what is stored says it."""
        definition = self._desk.definitions.get(instance.saga)
        if isinstance(definition, SagaDefinition):
            return definition.options.history
        return bool(await self._desk.store.inspect.history(instance.saga, instance.key, limit=1))


def patched(desk: Desk, definition: SagaDefinition, instance: Instance, fields: Mapping[str, object]) -> Patched:
    """The state with other fields, read by the types of the class and written again.

    MendRefused for a field that the class does not have, and StateInvalid for a value that its type does not take.
    In a hidden field, "(hidden)" keeps the value; anywhere else it is refused, with MendRefused.
    """
    states, mask = desk.states, Masks([definition]).of_state(definition.name)
    with discreetly(mask, instance.state):
        read = states.read(definition.cls, instance.state, instance.shape)
    body, _, shape = states.write(read.state)
    stored: dict[str, object] = json.loads(body)
    unknown = sorted(set(fields) - set(stored))
    if unknown:
        raise MendRefused(f"{definition.name} has no field {unknown[0]!r}{known_names(unknown[0], stored)}")
    fields = filled("fields", fields, mask, lambda: stored, "sagabus sagas show")
    key_field = definition.options.key
    if isinstance(key_field, str) and key_field in fields and fields[key_field] != stored.get(key_field):
        raise MendRefused(f"{key_field!r} is the key of {definition.name}, which an instance keeps")
    text = json_of("fields", {**stored, **fields})
    with discreetly(mask, text):
        changed = states.read(definition.cls, text, shape)
        state, _, new_shape = states.write(changed.state, read.carried)
    status = status_of(changed.state) if definition.has_status else None
    return Patched(state, status, new_shape, {name: stored[name] for name in fields}, dict(fields))
