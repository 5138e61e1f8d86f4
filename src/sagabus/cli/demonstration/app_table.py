"""Where a demonstration plays: the application's own tables next to the bus's, and what they hold in the end.

A plain connection makes and reads them, as any application does with its own. How to connect, and what each database
says differently, is in `app_tables`; all else is here, once.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any, Protocol, Self

from sagabus.cli.demonstration.patience import persistently
from sagabus.cli.output import Refused
from sagabus.testing.campaign.oracle import PRODUCTS, Row
from sagabus.testing.campaign.orders import STOCK_UP
from sagabus.url import parsed

_TABLE = re.compile(r"\b(?:campaign|demo)_[a-z]+\b")
_RUNS = "CREATE TABLE IF NOT EXISTS demo_run (number {number}, seed TEXT)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What one database says differently. All else is written as for SQLite, with `?` for each parameter."""

    placeholder: Callable[[int], str]
    number: str
    """The type of a column that counts by itself."""
    count_run: tuple[str, ...]
    """Statements of which the first takes the seed, and the last gives the number of the run."""
    place: str = ""
    """What stands in front of the name of each of the application's tables."""
    table_options: str = ""
    lock: str = ""
    """Behind a SELECT: the row will be changed, let no other transaction read it for that purpose meanwhile."""

    def say(self, sql: str, /) -> str:
        """A statement in the words of this database."""
        numbers = count(1)
        placed = _TABLE.sub(lambda found: self.place + found[0], sql)
        return re.sub(r"\?", lambda _: self.placeholder(next(numbers)), placed)


class Database(Protocol):
    """A plain connection of the application's, made when it is first used."""

    @property
    def words(self) -> Words:
        """How it is spoken to."""
        ...

    async def query(self, sql: str, parameters: Sequence[object] = ()) -> Sequence[Sequence[Any]]:
        """Run one statement in its own words, committed by itself; its rows.

        StoreUnavailable when the connection was lost: the next call makes another.
        """
        ...

    async def close(self) -> None:
        """Disconnect; harmless when repeated."""
        ...


class Room(Protocol):
    """A part of a user's database that belongs to one demonstration."""

    url: str
    """A store in it."""

    async def clear(self) -> None:
        """Remove it, and all that is in it."""
        ...


class Stage:
    """The application's own tables: `async with Stage(database, tables) as stage`."""

    def __init__(self, database: Database, tables: Iterable[str]) -> None:
        self._database = database
        self._tables = tuple(tables)
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        words = self._database.words
        try:
            for sql in (_RUNS.format(number=words.number), *self._tables):
                await self._query(sql + words.table_options)
        except BaseException:
            await self._database.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._database.close()

    async def begin_run(self, seed: int) -> int:
        """The number of this run in this place, from 1: it is in every id, so runs do not meet."""
        words = self._database.words
        answers = [
            await self._database.query(words.say(sql), (str(seed),) if "?" in sql else ()) for sql in words.count_run
        ]
        return int(answers[-1][0][0])

    async def stock_up(self, run: int) -> None:
        """A row for each product, of which nothing has been shipped."""
        for product in PRODUCTS:
            await self._query(STOCK_UP, str(run), product)

    async def count(self, table: str, where: str, value: str) -> int:
        """How many rows of a table have the value (a LIKE pattern)."""
        rows = await persistently(lambda: self._query(f"SELECT count(*) FROM {table} WHERE {where} LIKE ?", value))  # noqa: S608  # names are ours
        return int(rows[0][0])

    async def rows(self, sql: str, value: str) -> Counter[Row]:
        """Rows as a multiset."""
        return Counter(tuple(row) for row in await persistently(lambda: self._query(sql, value)))

    async def _query(self, sql: str, *parameters: object) -> Sequence[Sequence[Any]]:
        """One at a time, for drivers let a connection answer one call. A cancelled call ends the connection."""
        async with self._turn:
            try:
                return await self._database.query(self._database.words.say(sql), parameters)
            except asyncio.CancelledError:
                await self._database.close()
                raise


def file_of(url: str) -> str:
    """The path in a store's URL; refused where it is not a SQLite file."""
    found = parsed(url)
    if found.scheme != "sqlite":
        raise Refused("--store: name a SQLite file, such as sqlite:///demo.db or sqlite:////tmp/demo.db")
    return found.path
