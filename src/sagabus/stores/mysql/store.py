"""MySQL and MariaDB as the store: many workers on many machines, and the user's own transactions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from sagabus.clock import Clock
from sagabus.envelope import LANES, Envelope
from sagabus.errors import StoreCorrupt, StoreError
from sagabus.failpoint import hit
from sagabus.outcome import Admission, Parameters, Settled, Verdict
from sagabus.store import Batch
from sagabus.stores.mysql import connecting, schema
from sagabus.stores.mysql.append_lookup import LOOK, Heard, at_one_look
from sagabus.stores.mysql.errors import of_our_own
from sagabus.stores.mysql.fetch_query import LaneQueries
from sagabus.stores.mysql.fragments import NOW
from sagabus.stores.mysql.joining import FIND, MysqlHome, MysqlWords, translate
from sagabus.stores.mysql.lending import lender
from sagabus.stores.mysql.link import MysqlLink
from sagabus.stores.mysql.prepared import forms
from sagabus.stores.mysql.statements import STATEMENTS
from sagabus.stores.mysql.survey_query import SurveyQueries
from sagabus.stores.mysql.vetting import vet
from sagabus.stores.sql import appending, settling
from sagabus.stores.sql.address import Address
from sagabus.stores.sql.connections import MYSQL
from sagabus.stores.sql.dialect import table_names
from sagabus.stores.sql.encryption import untrusted
from sagabus.stores.sql.home import ServerHome
from sagabus.stores.sql.link import Link
from sagabus.stores.sql.migrating import Migration
from sagabus.stores.sql.server import Bound, ServerStore
from sagabus.stores.sql.steps import Query, Steps
from sagabus.url.login import Ask

T = TypeVar("T")


_DURABILITY = "SELECT @@innodb_flush_log_at_trx_commit, @@innodb_doublewrite"
_DURABLE = (1, 3)
"""Values with which the log is flushed before a commit is answered; 3, of MariaDB, flushes once more."""


class MysqlStore(ServerStore):
    """See `sagabus.store.Store`. `url` is `mysql://user:password@host:port/database`. Its options are `unix_socket`,
    `ssl` (off, unverified or verify), `ssl_ca`, `ssl_cert` and `ssl_key`. Further ones are `schema` (another database
    of the server), `prefix`, `pool` (connections) and `deadline` (seconds that one call may take).

    `password_file=…` names a file with the password, and `password` is a function that gives it. Either is asked for
    each new connection.

    The user's statements run in its session: strict, READ COMMITTED, their parameters written `%s`.
    """

    _transactions_command = """mysql -e 'SELECT trx_mysql_thread_id, trx_started, trx_query
FROM information_schema.innodb_trx ORDER BY trx_started'""".replace("\n", " ")

    def __init__(
        self, url: str, *, password: Ask | None = None, clock: Clock | None = None, lanes: int = LANES
    ) -> None:
        options = Address.of(url, password)
        self._url, self._ask = url, password
        super().__init__(
            options.place,
            options.prefix,
            clock=clock,
            lanes=lanes,
            pool_size=options.pool,
            deadline=options.deadline,
        )
        self._address = options
        connecting.lasting_arguments(options)  # what is wrong with it is said at once
        self._lender = lender(self._check)
        self._names = schema.names(table_names(options.prefix, "`", options.schema), options.prefix)
        self._forms = forms({**STATEMENTS, **LOOK, **schema.versions(options.schema, options.prefix)}, self._names)
        self._lane_queries = LaneQueries(self._names)
        self._survey_queries = SurveyQueries(self._names)

    async def durability_risks(self) -> Sequence[str]:
        """What the server has turned off."""
        ((flush, doublewrite),) = await self._alone(lambda link: link.query(_DURABILITY, ()))
        risks = [] if flush in _DURABLE else [f"{self.place} has innodb_flush_log_at_trx_commit={flush}: set it to 1"]
        if str(doublewrite).upper() in ("0", "OFF"):
            risks.append(f"{self.place} has innodb_doublewrite=OFF: turn it on")
        return risks

    async def append(self, envelopes: Sequence[Envelope], routing: int) -> Sequence[Admission] | None:
        """Accept addressed envelopes durably."""
        # Of several rows the server is free to say nothing but the first one's position.
        lanes = self._fetching.drained(envelopes) if len(envelopes) == 1 else []
        heard = Heard()

        def begin() -> Steps[list[Admission] | None]:
            steps = appending.append_at(envelopes, routing, self._clock.now())
            return at_one_look(steps, envelopes, lanes[0] if lanes else None, heard)

        async def work(link: Link) -> tuple[list[Admission] | None, int]:
            return await self._transact(link, begin), _ours(link).written_at

        answers, position = await self._alone(work)
        hit("append.after_commit")
        is_known = bool(lanes) and answers == [Admission.ACCEPTED]
        self._fetching.stored(envelopes, lanes, heard.findings(envelopes[0], position) if is_known else None)
        self._waiting.wake()
        return answers

    async def commit(self, batch: Batch) -> Sequence[Settled]:
        """The transaction."""

        def begin() -> Steps[list[Settled]]:
            return settling.settle(batch, self._clock.now, self._check)

        answers = await self._alone(lambda link: self._transact(link, begin))
        hit("commit.after_commit")
        if all(answer.verdict is Verdict.COMMITTED for answer in answers):
            self._fetching.news_of(batch.outcomes)
        else:
            self._fetching.news_anywhere()
        self._waiting.wake()
        return answers

    async def _transact(self, link: Link, begin: Callable[[], Steps[T]], each: Bound | None = None) -> T:
        ours = _ours(link)
        ours.repeats = True
        try:
            return await super()._transact(link, begin, each)
        finally:
            ours.repeats = False

    def execute_check(self, sql: str, parameters: Parameters) -> None:
        """Raise at once for a statement that the commit would refuse."""
        vet(sql, self._prefix)

    def _twin(self) -> MysqlStore:
        return MysqlStore(self._url, password=self._ask, clock=self._test_clock, lanes=self._lanes)

    def _make_home(self, clock: Clock | None) -> ServerHome:
        options = self._address
        return MysqlHome(
            MYSQL,
            self.place,
            clock=clock,
            find=FIND,
            words=lambda style: MysqlWords(self._names, options.schema, options.prefix, style),
            translate=partial(translate, self.place),
        )

    def _migrations(self) -> Sequence[Migration]:
        return schema.migrations(self._names)

    def script(self) -> str:
        """The whole schema as text."""
        return schema.script(self._names, NOW)

    async def _begin_life(self, link: Link) -> None:
        connecting.warn(link.native, self._address)
        await connecting.look_over(link, self.place)
        await super()._begin_life(link)
        others = (await link.answer(Query("engines"))).rows
        if others:
            found = ", ".join(f"{table} is {engine}" for table, engine in others)
            raise StoreError(f"{self.place}: only InnoDB has transactions, but {found}", store=self.place)

    async def _vet(self, link: Link, to_come: Sequence[Migration]) -> None:
        # What a migration that was cut short has made is there with all its columns.
        there: dict[str, set[str]] = {}
        for table, column in (await link.answer(Query("columns"))).rows:
            there.setdefault(table, set()).add(column)
        made = schema.columns_made(to_come).items()
        strangers = sorted(table for table, columns in made if not columns <= there.get(table, columns))
        if strangers:
            names = ", ".join(self._names[table] for table in strangers)
            way_out = "choose another prefix (?prefix=…) or database (?schema=…)"
            raise StoreCorrupt(f"{self.place}: {names} is there, and is not the bus's: {way_out}", store=self.place)

    async def _connect(self) -> Link:
        try:
            native, room, server = await connecting.connected(self._address)
        except StoreError:
            raise
        except Exception as error:
            raise untrusted(error, self.place) or of_our_own(error, self.place) from error
        return MysqlLink(
            native,
            self._forms,
            self._lane_queries,
            self.place,
            survey_queries=self._survey_queries,
            largest_text=room,
            server=server,
        )


def _ours(link: Link) -> MysqlLink:
    if not isinstance(link, MysqlLink):
        raise TypeError(link)
    return link
