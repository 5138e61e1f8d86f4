"""What a SQLite store says of itself to transactions that join it: see `sagabus.stores.sql.joining.Home`.

A file has one writer at a time, so what is read here stays true until the caller's transaction ends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import apsw

from sagabus.clock import Clock
from sagabus.envelope import Envelope
from sagabus.errors import StoreError, WrongDatabase
from sagabus.outcome import Admission
from sagabus.store import Routing
from sagabus.stores.sql import appending, registering
from sagabus.stores.sql.connections import SQLITE, Native
from sagabus.stores.sql.dialect import PERCENTS, Style
from sagabus.stores.sql.joining import Part
from sagabus.stores.sql.steps import Answer, Query, Steps, causes
from sagabus.stores.sqlite.file import store_error
from sagabus.stores.sqlite.sets import Form, Plain
from sagabus.stores.sqlite.statements import STATEMENTS

_PLACEHOLDER = re.compile(r"\?(\d*)")

_JOINING: Mapping[str, Form] = {
    **STATEMENTS,
    "databases": Plain("PRAGMA database_list"),
    "is_home": Plain("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'sagabus_meta'"),
}


class SqliteWords:
    """The statements as they are, but for libraries that write their place holders `%s` whatever the driver."""

    def __init__(self, style: Style) -> None:
        self._percents = style is PERCENTS

    def parts(self, ask: Query) -> Sequence[Part]:
        """What to run for a question."""
        found = _JOINING[ask.name].parts(ask)
        if not self._percents:
            return [Part(sql, parameters, gives=True) for sql, parameters in found]
        rewritten = ((*_in_percents(sql), parameters) for sql, parameters in found)
        return [Part(sql, [given[place] for place in order], gives=True) for sql, order, given in rewritten]

    def answer(self, ask: Query, answers: Sequence[Answer]) -> Answer:
        """The answer to the question, from those of its parts."""
        rows = answers[-1].rows if answers else ()
        return _JOINING[ask.name].gathered(rows, sum(answer.changed for answer in answers))


class SqliteHome:
    """Recognised by its file."""

    database = SQLITE

    def __init__(self, path: str, clock: Clock) -> None:
        self.place = path
        self._clock = clock

    def words(self, style: Style) -> SqliteWords:
        """The statements for drivers of this style."""
        return SqliteWords(style)

    def enter(self, native: Native) -> Steps[None]:
        """Compare the files, and look for the tables."""
        databases = (yield Query("databases")).rows
        theirs: str = next((row[2] for row in databases if row[1] == "main"), "")
        if not theirs or not Path(theirs).exists() or not Path(self.place).exists():
            same = False
        else:
            same = Path(theirs).samefile(self.place)
        if not same:
            raise WrongDatabase(
                f"the connection is to {theirs or 'a database in memory'}, the bus keeps its rows in {self.place}",
                store=self.place,
            )
        if not (yield Query("is_home")).value:
            raise WrongDatabase(f"{self.place} has no tables of the bus: open a bus on it once", store=self.place)

    def look(self) -> Steps[tuple[Routing, int]]:
        """The routing, and the time of this machine, which is the database's."""
        return (yield from registering.read()), self._clock.now()

    def append(self, envelopes: Sequence[Envelope], now: int) -> Steps[list[Admission]]:
        """Accept envelopes. No other writer can be quicker, but an error must leave nothing."""
        return appending.append_inside(envelopes, now)

    def translate(self, ask: Query, error: Exception) -> Exception:
        """The store's error for a driver's, by SQLite's own number."""
        for each in causes(error):
            if isinstance(each, apsw.Error):
                return store_error(each, self.place)
            if code := getattr(each, "sqlite_errorcode", None):
                return store_error(apsw.exception_for(code), self.place, str(each))
        return StoreError(f"in the joined transaction ({ask.name}): {type(error).__name__}: {error}", store=self.place)


@lru_cache(maxsize=256)
def _in_percents(sql: str) -> tuple[str, tuple[int, ...]]:
    """The text with `%s` for place holders, and which parameter goes to each."""
    found = _PLACEHOLDER.findall(sql)
    order = tuple(int(number) - 1 if number else place for place, number in enumerate(found))
    return _PLACEHOLDER.sub("%s", sql.replace("%", "%%")), order
