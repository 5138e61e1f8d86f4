"""PostgreSQL as the store: many workers on many machines, and the user's own transactions."""

from __future__ import annotations

from collections.abc import Sequence

from sagabus.clock import Clock
from sagabus.envelope import LANES, Envelope
from sagabus.errors import ConfigurationError, StoreError, StoreReadOnly, StoreUnavailable, UnsupportedCapability
from sagabus.failpoint import hit
from sagabus.outcome import Admission, Settled
from sagabus.store import Batch
from sagabus.stores.postgres import schema, timelines
from sagabus.stores.postgres.connecting import Connecting
from sagabus.stores.postgres.flushing import HotStatements, taken
from sagabus.stores.postgres.fragments import recordset
from sagabus.stores.postgres.joining import PostgresJoining
from sagabus.stores.postgres.lending import lender
from sagabus.stores.postgres.link import PostgresLink
from sagabus.stores.postgres.notify import Announcing
from sagabus.stores.postgres.statements import STATEMENTS
from sagabus.stores.postgres.timelines import begin_timeline
from sagabus.stores.sql.address import Address
from sagabus.stores.sql.connections import POSTGRES
from sagabus.stores.sql.dialect import DOLLARS, ready, table_names
from sagabus.stores.sql.handover import findings_of
from sagabus.stores.sql.home import ServerHome
from sagabus.stores.sql.link import Link
from sagabus.stores.sql.migrating import Migration
from sagabus.stores.sql.server import ServerStore
from sagabus.stores.sql.settling import COMMITTED
from sagabus.stores.sql.steps import Query
from sagabus.url.login import Ask

_SCHEMA = "SELECT 1 FROM pg_namespace WHERE nspname = $1"
_PRIMARY = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'"


_DURABILITY = """SELECT current_setting('synchronous_commit'), current_setting('fsync'),
    current_setting('full_page_writes')"""


_PLACE = """SELECT (SELECT system_identifier FROM pg_control_system()),
    (SELECT oid::bigint FROM pg_database WHERE datname = current_database())"""


class PostgresStore(ServerStore):
    """See `sagabus.store.Store`. `url` is a libpq address. Its further options are `schema`, `prefix`, `pool`
    (connections) and `deadline` (seconds that one call may take). `pooler=1` says that a transaction pooler stands
    between, if the store cannot see it. `notify=1` reports other processes' messages to workers at once.

    `password_file=…` names a file with the password, and `password` is a function that gives it. Either is asked for
    each new connection.
    """

    _fetches_instances = True
    _transactions_command = """psql -c 'SELECT pid, usename, state, now() - xact_start AS age, query
FROM pg_stat_activity WHERE xact_start IS NOT NULL ORDER BY xact_start'""".replace("\n", " ")

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
        self._tables = table_names(options.prefix, '"', options.schema)
        self._lender = lender(self._check, options.prefix)
        self._hot = HotStatements(self._tables)
        self._statements = ready(
            {**STATEMENTS, **schema.VERSIONS, **timelines.STATEMENTS}, schema.names(self._tables), rows_of, DOLLARS
        )
        self._timeline = 0
        """Of the server, as far as it is known that its lanes began with it."""
        self._connecting = Connecting(options, self._statements, options.deadline)
        self._announcing: Announcing | None = None

    async def open(self) -> None:
        """Connect and bring the schema up to date."""
        await super().open()
        if self._address.notify and self._announcing is None:
            if self._connecting.pooled:
                await super().close()
                raise UnsupportedCapability("notify=1 (LISTEN)", f"{self.place} behind a transaction pooler")
            self._announcing = Announcing(
                self._connecting.listener, self.place, self._tables["envelope"], self._hear_of_others
            )
            self._announcing.start()
            self._waiting.tell = self._announcing.tell

    async def close(self) -> None:
        """Disconnect."""
        announcing, self._announcing = self._announcing, None
        try:
            if announcing is not None:
                await announcing.stop()
        finally:
            await super().close()

    def _hear_of_others(self) -> None:
        self._fetching.news_anywhere()
        self._waiting.hear()

    async def durability_risks(self) -> Sequence[str]:
        """What the server, the database, the role or the URL has turned off."""
        ((commit, fsync, pages),) = await self._alone(lambda link: link.query(_DURABILITY, ()))
        settings = {"synchronous_commit": commit, "fsync": fsync, "full_page_writes": pages}
        return [f"{self.place} has {name}=off: turn it on" for name, value in settings.items() if value == "off"]

    @property
    def _is_pooled(self) -> bool:
        return self._connecting.pooled

    async def _not_in_a_copy(self) -> str:
        """The cluster and the database in it: a dump that is restored elsewhere has others, a standby has the same."""
        ((system, database),) = await self._alone(lambda link: link.query(_PLACE, ()))
        return f"-{system}-{database}"

    async def commit(self, batch: Batch) -> Sequence[Settled]:
        """The transaction: one statement where it can be."""
        if await self._alone(lambda link: self._flush(_ours(link), batch)):
            self._fetching.news_of(batch.outcomes)
            self._waiting.wake()
            hit("commit.after_commit")
            return [COMMITTED] * len(batch.outcomes)
        return await super().commit(batch)

    async def append(self, envelopes: Sequence[Envelope], routing: int) -> Sequence[Admission] | None:
        """Accept addressed envelopes durably: one statement for what is new, the shared logic for the rest."""
        lanes = self._fetching.drained(envelopes)
        found = await self._alone(lambda link: self._append(_ours(link), envelopes, routing, lanes))
        if found is None:
            return await super().append(envelopes, routing)
        current, places, extra = found
        if current != routing:
            return None
        fresh = taken(places)
        hit("append.after_commit")
        self._fetching.stored(envelopes, lanes, findings_of(extra) if extra and fresh is None else None)
        self._waiting.wake()
        if fresh is None:
            return [Admission.ACCEPTED] * len(envelopes)
        rest = [e for e in envelopes if e.guarded and (e.channel, e.message_id) not in fresh]
        answers = await super().append(rest, routing)
        if answers is None:
            return None  # all of them are addressed again; what was accepted already is known then
        of_rest = iter(answers)
        refused = set(map(id, rest))
        return [next(of_rest) if id(e) in refused else Admission.ACCEPTED for e in envelopes]

    async def _flush(self, link: PostgresLink, batch: Batch) -> bool:
        # Not before there is a connection, which may have been waited for: delays count from here.
        written = self._hot.flush(batch, self._clock.now())
        if written is None:
            return False
        hit("commit.begun")
        hit("commit.before_commit")
        return bool(await link.run_hot(written.sql, written.parameters))

    async def _append(
        self, link: PostgresLink, envelopes: Sequence[Envelope], routing: int, lanes: Sequence[tuple[str, int, int]]
    ) -> tuple[int, str | None, str | None] | None:
        written = self._hot.append(envelopes, routing, self._clock.now(), lanes)
        if written is None:
            return None
        hit("append.begun")
        hit("append.before_commit")
        ((current, now, places, *extra),) = await link.run_hot(written.sql, written.parameters)
        if self._database_clock is not None:
            self._database_clock.set(now)
        return current, places, extra[0] if extra else None

    def _twin(self) -> PostgresStore:
        return PostgresStore(self._url, password=self._ask, clock=self._test_clock, lanes=self._lanes)

    def _make_home(self, clock: Clock | None) -> ServerHome:
        options = self._address
        joining = PostgresJoining(self._tables, rows_of, schema=options.schema, prefix=options.prefix, place=self.place)
        return ServerHome(
            POSTGRES, self.place, clock=clock, find=joining.find, words=joining.words, translate=joining.translate
        )

    def _migrations(self) -> Sequence[Migration]:
        return schema.migrations(self._tables, self._address.prefix)

    def script(self) -> str:
        """The whole schema as text."""
        return schema.script(self._tables, self._address.prefix, self._address.schema)

    async def _begin_life(self, link: Link) -> None:
        ((standby, read_only),) = await link.query(_PRIMARY, ())
        if standby or read_only:
            kind = "a standby" if standby else "read-only"
            raise StoreReadOnly(f"{self.place} is {kind}: point the bus at the primary", store=self.place)
        self._connecting.warn(_ours(link))
        place = self._address.schema
        if place is None and not (await link.query("SELECT current_schema()", ()))[0][0]:
            raise ConfigurationError(
                f"{self.place}: the search_path of the role names no schema that is there: add ?schema=… to the URL"
            )
        # One that is there takes no right to make schemas.
        if place is not None and not await link.query(_SCHEMA, (place,)):
            try:
                await link.run_script(schema.make_schema(place))
            except StoreError:  # as with tables: another process may have made it in the same moment
                if not await link.query(_SCHEMA, (place,)):
                    raise
        await super()._begin_life(link)
        await self._begin_timeline(_ours(link))

    async def _connect(self) -> Link:
        link = await self._connecting.connect()
        if 0 < link.timeline < self._timeline:
            link.terminate()
            text = "a former primary is there again, or an older copy: connect to the primary, or restart this process"
            raise StoreUnavailable(f"{self.place}: {text}", store=self.place)
        if self._timeline and link.timeline > self._timeline:
            try:
                await self._within(self._begin_timeline(link), link)
            except BaseException:
                link.terminate()
                raise
        return link

    async def _begin_timeline(self, link: PostgresLink) -> None:
        if not link.timeline:
            return
        known = {row[0]: row[1] for row in (await link.answer(Query("meta"))).rows}
        if known.get("timeline") != link.timeline:
            await self._transact(link, lambda: begin_timeline(link.timeline))
        self._timeline = link.timeline


def _ours(link: Link) -> PostgresLink:
    if not isinstance(link, PostgresLink):
        raise TypeError(link)
    return link


def rows_of(columns: str) -> str:
    """A set of rows out of one text parameter."""
    return f"{recordset('?1', columns)} AS r" if ", " in columns else ""
