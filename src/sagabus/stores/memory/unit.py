"""A unit of work without a database: what it appends is tried at once, undone, and done again when it commits."""

from __future__ import annotations

from collections.abc import Sequence

from sagabus.clock import Clock
from sagabus.envelope import Envelope
from sagabus.errors import NoOpenTransaction, StoreBusy, UnsupportedCapability
from sagabus.outcome import Admission, Settled, Verdict
from sagabus.store import Batch, Capability
from sagabus.store.connection import Lent
from sagabus.stores.memory.admission import admit
from sagabus.stores.memory.committing import ADAPTER, settle
from sagabus.stores.memory.tables import Tables
from sagabus.stores.texts import storable

_NAME = "memory"


class MemoryUnit:
    """Others do not see it before it commits, and do not wait for it. If others committed in between, commit raises
    StoreBusy.
    """

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock
        self._envelopes: list[Envelope] = []
        self._answers: list[Admission] = []
        self._routing: int | None = None
        self._is_open = True
        self.has_committed = False

    @property
    def connection(self) -> object:
        raise UnsupportedCapability(Capability.CONNECTION.value, ADAPTER)

    async def lend(self, kind: type | None) -> Lent:
        raise UnsupportedCapability(Capability.CONNECTION.value, ADAPTER)

    async def append(self, envelopes: Sequence[Envelope], routing: int) -> Sequence[Admission] | None:
        self._check_open()
        if routing != self._tables.version:
            return None
        known = len(self._envelopes)
        self._envelopes.extend(envelopes)
        try:
            with storable(_NAME):
                self._answers = self._admit()
        finally:
            self._tables.journal.rollback()
        self._routing = routing
        return self._answers[known:]

    async def commit(self, batch: Batch | None = None) -> Sequence[Settled]:
        self._check_open()
        self._is_open = False
        try:
            self._append_again()
            nothing: Sequence[Settled] = ()
            with storable(_NAME):
                answers = settle(self._tables, batch, self._clock.now()) if batch is not None else nothing
            if all(answer.verdict is Verdict.COMMITTED for answer in answers):
                self._tables.journal.commit()
                self.has_committed = True
            return answers
        finally:
            self._tables.journal.rollback()

    def close(self) -> None:
        """What was not committed is gone."""
        self._is_open = False

    def _admit(self) -> list[Admission]:
        now = self._clock.now()
        return [admit(self._tables, envelope, now) for envelope in self._envelopes]

    def _append_again(self) -> None:
        is_stale = self._routing not in {None, self._tables.version}
        if is_stale or self._admit() != self._answers:
            raise StoreBusy("another call changed what this transaction relied on; run it again", store=_NAME)

    def _check_open(self) -> None:
        if not self._is_open:
            raise NoOpenTransaction("this unit has been committed or left", store=_NAME)
