"""Runs the shared logic of SQL stores on a database in memory, and counts what it asks."""

from __future__ import annotations

from collections import Counter
from typing import TypeVar

import apsw

from sagabus.stores.sql.steps import Answer, Query, Steps, UserQuery, drive
from sagabus.stores.sqlite import schema
from sagabus.stores.sqlite.sets import Executor
from sagabus.stores.sqlite.statements import STATEMENTS

T = TypeVar("T")


class StatementCounter:
    """A fresh database; `asked` counts statements by name."""

    def __init__(self) -> None:
        self._connection = apsw.Connection(":memory:")
        schema.migrate(self._connection, "memory", 1)
        self._execute = Executor(self._connection, STATEMENTS)
        self.asked: Counter[str] = Counter()

    def run(self, steps: Steps[T]) -> T:
        """In a transaction of its own."""
        with self._connection:
            return drive(steps, self.answer)

    def answer(self, ask: Query | UserQuery) -> Answer:
        """One statement."""
        self.asked[ask.name if isinstance(ask, Query) else "user"] += 1
        return self._execute(ask)
