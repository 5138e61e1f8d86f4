"""Rows in and out as sets: one SQL statement takes (VALUES, JSON) or gives (one JSON array) a whole set of them.

Every step of a SQLite statement releases and retakes the interpreter's lock. Stepping row by row beside a busy event
loop costs a thread switch (5 ms) per row; a set in one step costs one (measured: 319 against 9,600 rows a second).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, TypeAlias

import apsw
import msgspec

from sagabus.errors import TransactionLost
from sagabus.stores.sql.asking import Answer, Ask, AskUser, StatementFailed
from sagabus.stores.sqlite.driver import Driver, Statements
from sagabus.stores.sqlite.file import is_fatal

Decode: TypeAlias = Callable[[str], Sequence[Any]]
_encode = msgspec.json.Encoder().encode


class Plain:
    """A statement with single values for parameters; its rows are few, and stepped through."""

    def __init__(self, sql: str) -> None:
        self.sql = sql

    def run(self, connection: Statements, ask: Ask) -> Answer:
        """The answer to the question on this connection."""
        found = connection.execute(self.sql, ask.parameters).fetchall()
        return Answer(found, connection.changes())


class Packed(Plain):
    """A statement that takes its set of rows as one JSON array in front (a row of one value as that value), and may
    give its own as one.
    """

    def __init__(self, sql: str, decode: Decode | None = None) -> None:
        super().__init__(sql)
        self._decode = decode

    def run(self, connection: Statements, ask: Ask) -> Answer:
        """The answer to the question on this connection."""
        parameters = ask.parameters
        if ask.rows is not None:
            parameters = (_packed(ask.rows), *parameters)
        found = connection.execute(self.sql, parameters).fetchall()
        if self._decode is not None:
            return Answer(self._decode(found[0][0]))
        return Answer(found, connection.changes())


class Values:
    """A statement over a set of rows, `{rows}` standing for them: `INSERT INTO t (…) SELECT * FROM {rows} …`.

    The rows are bound to a VALUES list of one of a few lengths, filled up with NULLs that the statement leaves out, so
    that every text is prepared once. Half the work of passing JSON, and as few steps (measured: 8 against 20 µs an
    envelope). The first column of a row is never None.
    """

    _LENGTHS = (1, 4, 16, 64, 128, 256)

    def __init__(self, columns: int, sql: str) -> None:
        self._filling = (None,) * columns
        row = "(" + ",".join("?" * columns) + ")"
        self._texts = {length: sql.format(rows=f"(VALUES {','.join([row] * length)})") for length in self._LENGTHS}
        self.sql = self._texts[1]

    def run(self, connection: Statements, ask: Ask) -> Answer:
        """The answer to the question on this connection."""
        rows = ask.rows or ()
        changed = 0
        longest = self._LENGTHS[-1]
        for start in range(0, len(rows), longest):
            part = rows[start : start + longest]
            length = next(length for length in self._LENGTHS if length >= len(part))
            padding = self._filling * (length - len(part))
            connection.execute(self._texts[length], (*chain.from_iterable(part), *padding))
            changed += connection.changes()
        return Answer((), changed)


Form: TypeAlias = Plain | Packed | Values


def _packed(rows: Sequence[tuple[object, ...]]) -> str:
    if rows and len(rows[0]) == 1:
        return _encode([row[0] for row in rows]).decode()
    return _encode(rows).decode()


class Executor:
    """Answers what the shared logic asks, on one connection."""

    def __init__(self, connection: Statements, statements: dict[str, Form]) -> None:
        self._connection = connection
        self._statements = statements

    def __call__(self, ask: Ask | AskUser) -> Answer:
        """Run one statement; the driver's errors come through, but for those of the user's own statements."""
        if isinstance(ask, Ask):
            return self._statements[ask.name].run(self._connection, ask)
        raise TypeError("this connection runs no statements of the user's")


class OwnExecutor(Executor):
    """The same on a connection of our own, which also runs the user's statements."""

    def __init__(self, connection: Driver, statements: dict[str, Form]) -> None:
        super().__init__(connection, statements)
        self._driver = connection

    def __call__(self, ask: Ask | AskUser) -> Answer:
        """Run one statement."""
        return super().__call__(ask) if isinstance(ask, Ask) else self._user(ask)

    def _user(self, ask: AskUser) -> Answer:
        connection = self._driver
        try:
            connection.execute(ask.sql, ask.parameters)
        except apsw.Error as error:
            if is_fatal(error):
                raise
            if not connection.in_transaction:
                # INSERT OR ROLLBACK, or RAISE(ROLLBACK) in a trigger: the work of all is gone.
                raise TransactionLost(f"a statement ended the transaction of all: {ask.sql[:80]!r}") from error
            raise StatementFailed(error) from error
        return Answer()
