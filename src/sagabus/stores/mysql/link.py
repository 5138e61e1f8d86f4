"""One asyncmy connection: the statements of the shared logic prepared on it, and its transaction watched."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sagabus.errors import StoreBusy, StoreError, StoreUnavailable, TransactionLost
from sagabus.outcome import Parameters
from sagabus.stores.mysql.driver import asyncmy_errors
from sagabus.stores.mysql.errors import BROKEN, DONE_ALREADY, DUPLICATE, code_of, of_our_own, translated
from sagabus.stores.mysql.fetch_query import LaneQueries
from sagabus.stores.mysql.fragments import NOW
from sagabus.stores.mysql.prepared import Form, Rows, portions
from sagabus.stores.mysql.schema import MIGRATION_LOCK, statements_of
from sagabus.stores.mysql.survey_query import SURVEYING_LANES, SurveyQueries
from sagabus.stores.sql.appending import Raced
from sagabus.stores.sql.damage import row_of
from sagabus.stores.sql.link import Link
from sagabus.stores.sql.steps import Answer, Query, Row, StatementFailed, UserQuery, causes

_SIFTS = frozenset(["sift", "sift_key"])
_SAVEPOINTS = frozenset(["savepoint", "rollback_to_savepoint", "release_savepoint"])
_OFTEN_TAKEN = frozenset(["create_instances", "remember"])
"""Statements that another transaction may have been quicker with: they count what they wrote, all or nothing."""
_OLDEST_TRANSACTION = """
SELECT coalesce(max(timestampdiff(MICROSECOND, trx_started, convert_tz(utc_timestamp(6), '+00:00', 'SYSTEM'))), 0)
FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> connection_id()
"""
"""The server says when a transaction began by the time zone of its machine, whatever the session has."""


class MysqlLink:
    """See `sagabus.stores.sql.link.Link`."""

    def __init__(
        self,
        native: Any,
        forms: Mapping[str, Form],
        lane_queries: LaneQueries,
        place: str,
        *,
        survey_queries: SurveyQueries,
        largest_text: int,
        server: str,
    ) -> None:
        self.native = native
        self.number = int(native.thread_id())
        """By which its server knows it."""
        self.server = server
        """Tells it from others that answer at the same address."""
        self.began = asyncio.get_running_loop().time()
        self._largest_text = largest_text
        self._transport = native._transport  # noqa: SLF001  # the driver has no way to cut a connection at once
        self._forms = forms
        self._lane_queries = lane_queries
        self._survey_queries = survey_queries
        self._place = place
        self._prepared: dict[str, Any] = {}
        self._turn = asyncio.Lock()
        self._failed = False
        """An error has undone the open transaction, or a part of it: what followed would be half of one, or alone."""
        self.repeats = False
        """A transaction that begins now begins again after Raced."""
        self._cautious = False
        """A savepoint was needed: the next transaction is to have them. Without any it is two round trips less."""
        self._undid = False
        self.written_at = 0
        """The number that the server has given to the row written last, or to the first one of several."""

    @property
    def usable(self) -> bool:
        """Connected, and in no transaction."""
        return self._connected and not self.native.get_transaction_status()

    @property
    def _connected(self) -> bool:
        return bool(self.native.connected) and not self._transport.is_closing()

    async def answer(self, ask: Query | UserQuery) -> Answer:
        """Run one statement."""
        with self._watched():
            return await (self._user(ask) if isinstance(ask, UserQuery) else self._named(ask))

    async def _named(self, ask: Query) -> Answer:
        if ask.name in _SAVEPOINTS:
            return await self._savepoint(ask)
        if ask.name == "fetch":
            return await self._lane_queries.fetch(ask, self.rows)
        if ask.name in _SIFTS:
            return await self._lane_queries.sift(ask, self.rows)
        if ask.name in SURVEYING_LANES:
            return await self._survey_queries.answer(ask, self.rows)
        form = self._forms[ask.name]
        if form.row:
            return Answer((), await self._write(ask.name, form, ask.rows or ()))
        answer = await self._ask(form, ask)
        if ask.name == MIGRATION_LOCK and answer.value != 1:
            raise StoreBusy(f"{self._place}: another process is changing the schema", store=self._place)
        return answer

    async def rows(self, sql: str, parameters: Sequence[object]) -> list[Row]:
        """Run a statement of our own that is written out already; its rows."""
        with self._translated():
            return _texts((await self._run(sql, parameters)).rows or ())

    async def query(self, sql: str, parameters: Parameters) -> Sequence[tuple[Any, ...]]:
        """Run one statement of the user's on the open transaction; its rows."""
        with self._watched():
            try:
                return await self._execute(sql, parameters)
            except Exception as error:
                if (ours := translated(error, self._place)) is not None:
                    raise ours from error
                raise

    def store_error(self, error: BaseException) -> StoreError | None:
        """The store's error for one of the driver's that is of the database as a whole."""
        mine = (each for each in causes(error) if not self._connected or code_of(each))
        found = next((found for each in mine if (found := translated(each, self._place))), None)
        if found is None and not self._connected:
            # Whatever came of it, such as what a library says of a transaction that it knows to have failed before.
            return StoreUnavailable(f"{self._place}: the connection has ended: {error}", store=self._place)
        return found

    async def run_script(self, script: str) -> None:
        """Run several statements. Those that change the schema end the transaction; what follows is in a new one. Skips
        what an interrupted migration has done: only MariaDB has IF NOT EXISTS for columns and indexes.
        """
        with self._translated():
            for statement in statements_of(script):
                try:
                    await self._execute(statement, ())
                except asyncmy_errors.MySQLError as error:
                    if code_of(error) not in DONE_ALREADY:
                        raise
            await self.begin()

    async def begin(self) -> None:
        """Begin, at the level that the session has been set to."""
        self._failed = False
        with self._translated():
            async with self._turn:
                await self.native.begin()

    async def commit(self) -> None:
        """Commit. The server says in each reply whether a transaction is open: what has ended cannot be committed."""
        if not self.native.get_transaction_status():
            raise TransactionLost(f"{self._place}: the transaction had ended before its commit", store=self._place)
        with self._watched(), self._translated():
            async with self._turn:
                await self.native.commit()
        self._cautious, self._undid = self._undid, False

    async def rollback(self) -> None:
        """Roll back."""
        self._failed = False
        with self._translated():
            async with self._turn:
                await self.native.rollback()

    async def now(self) -> int:
        """The database's clock."""
        ((instant,),) = await self.rows(f"SELECT {NOW}", ())
        return int(instant)

    async def oldest_transaction(self) -> int | None:
        """Of the whole server; the user needs the right PROCESS for it."""
        try:
            ((age,),) = await self.rows(_OLDEST_TRANSACTION, ())
        except StoreError as error:
            if error.is_transient:
                raise
            return None
        return int(age)

    def terminate(self) -> None:
        """Cut the connection."""
        self._transport.abort()
        self.native.close()

    async def end(self, cut: Link) -> None:
        """Have the server end a connection that was cut. Its number is another's on another server, and after a
        restart.
        """
        if not isinstance(cut, MysqlLink) or cut.server != self.server:
            return
        age = asyncio.get_running_loop().time() - cut.began
        ((_, uptime),) = await self.query("SHOW GLOBAL STATUS LIKE 'Uptime'", ())
        found = await self.query(f"SELECT state FROM information_schema.processlist WHERE id = {cut.number}", ())
        # A COMMIT that waits for its replica would be left half done: on this server, and not on that.
        if int(uptime) >= int(age) and found and "semi" not in str(found[0][0]).lower():
            await self.run_script(f"KILL {cut.number}")

    async def close(self) -> None:
        """Say goodbye."""
        await self.native.ensure_closed()

    async def _savepoint(self, ask: Query) -> Answer:
        undoes = ask.name == "rollback_to_savepoint"
        if self.repeats and not self._cautious:
            if not undoes:
                return Answer()
            self._cautious = True
            raise Raced  # once more, with a savepoint to go back to
        self._undid = self._undid or undoes
        return await self._ask(self._forms[ask.name], ask)

    async def _ask(self, form: Form, ask: Query) -> Answer:
        found: list[Row] = []
        changed = 0
        with self._translated():
            if not form.ready.gives and not form.ready.order:
                await self._execute(form.ready.sql, ())  # savepoints cannot be prepared everywhere
                return Answer()
            for parameters in form.parameters(ask):
                result = await self._run(form.ready.sql, parameters)
                changed += result.affected_rows
                found += _texts(result.rows or ())
        return Answer(found) if form.ready.gives else Answer((), changed)

    async def _write(self, name: str, form: Form, rows: Rows) -> int:
        written = 0
        with self._translated():
            for portion in portions(rows, self._largest_text):
                parameters = [value for row in portion for value in row]
                try:
                    result = await self._run(form.with_values(len(portion)), parameters)
                    written += result.affected_rows
                    self.written_at = result.insert_id
                except asyncmy_errors.IntegrityError as error:
                    if code_of(error) != DUPLICATE:
                        raise
                    if name not in _OFTEN_TAKEN:
                        # A timer, set by another transaction at the same time.
                        raise StoreBusy(f"{self._place}: another one was quicker", store=self._place) from error
                    return 0
        # If a statement changes existing rows, a changed row counts 2, an unchanged row 1, and a new row 1.
        return written - len(rows) if name == "change_instances" else written

    async def _run(self, sql: str, parameters: Sequence[object]) -> Any:
        async with self._turn:  # two at once on one connection would take each other's replies
            statement = self._prepared.get(sql)
            if statement is None:
                statement = self._prepared[sql] = await self.native.prepare(sql)
            return await statement.execute(parameters)

    async def _execute(self, sql: str, parameters: Parameters) -> Sequence[tuple[Any, ...]]:
        async with self._turn:
            cursor = self.native.cursor()
            await cursor.execute(sql, parameters or None)  # without parameters a % is a %
            found: Sequence[tuple[Any, ...]] = await cursor.fetchall() if cursor.description else ()
            return found

    async def _user(self, ask: UserQuery) -> Answer:
        try:
            await self._execute(ask.sql, ask.parameters)
        except Exception as error:
            if (ours := translated(error, self._place)) is not None:
                raise ours from error
            raise StatementFailed(error) from error
        if not self.native.get_transaction_status():
            raise TransactionLost(f"{self._place}: a statement has ended the transaction", store=self._place)
        return Answer()

    @contextmanager
    def _watched(self) -> Generator[None, None, None]:
        """The server goes on after an error: in what is left of the transaction, or in none, each statement alone."""
        if self._failed:
            raise TransactionLost(
                f"{self._place}: an error has ended this transaction; only a rollback is left", store=self._place
            )
        try:
            yield
        except StoreError:
            self._failed = self.native.get_transaction_status()
            raise

    @contextmanager
    def _translated(self) -> Generator[None, None, None]:
        try:
            yield
        except BROKEN as error:
            self.terminate()  # its next answer would be undefined
            raise of_our_own(error, self._place) from error
        except asyncmy_errors.MySQLError as error:
            raise of_our_own(error, self._place) from error


def _texts(rows: Sequence[Row]) -> list[Row]:
    """Rows as they were written: ids and keys are kept as bytes, so that they are compared by them."""
    try:
        return [[value.decode() if type(value) is bytes else value for value in row] for row in rows]
    except UnicodeDecodeError:
        return [row_of(row) for row in rows]
