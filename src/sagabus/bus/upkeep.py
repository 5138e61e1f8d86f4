"""What housekeeping forgets of each channel, and when; and who looks for stuck instances."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from sagabus.clock import Clock, micros
from sagabus.definitions.reading import Definitions
from sagabus.definitions.saga import SagaDefinition
from sagabus.engine.housekeeping import Housekeeping
from sagabus.engine.store_watch import StoreWatch
from sagabus.engine.stuck_watch import StuckWatch
from sagabus.settings import Settings
from sagabus.store import Retention, Store


def make_housekeeping(
    store: Store, clock: Clock, defined: Definitions, settings: Settings, bridged: Iterable[str]
) -> Housekeeping:
    """The housekeeping of a bus. `bridged`: the channels of its bridge, which keep their records by default."""
    rules, default = defined.rules, settings.retention
    history, journal = _micros(settings.history_retention), _micros(settings.journal_retention)
    audit = micros(settings.audit_retention)
    retention = [
        Retention(name, micros(rules.window(name, definition.reactions, default)), history, journal, audit)
        for name, definition in defined.by_name.items()
    ]
    retention += [Retention(name, micros(default), None, journal, audit) for name in bridged]
    # What concerns no single subscription: the entries of the audit log about erasures.
    retention.append(Retention("", micros(default), None, journal, audit))
    return Housekeeping(
        store,
        clock,
        retention,
        watch=StoreWatch(store, [each.name for each in _sagas(defined)]),
        every=settings.purge_every.total_seconds(),
        limit=settings.purge_limit,
    )


def stuck_watches(store: Store, clock: Clock, defined: Definitions, settings: Settings) -> list[StuckWatch]:
    """What looks for stuck instances, if a saga of the bus says when one is stuck."""
    sagas = [each for each in _sagas(defined) if each.stuck_after]
    return [StuckWatch(store, clock, sagas, every=settings.stuck_every.total_seconds())] if sagas else []


def _sagas(defined: Definitions) -> list[SagaDefinition]:
    return [each for each in defined.by_name.values() if isinstance(each, SagaDefinition)]


def _micros(kept: timedelta | None) -> int | None:
    return None if kept is None else micros(kept)
