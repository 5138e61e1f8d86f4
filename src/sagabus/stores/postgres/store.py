"""PostgreSQL as the store: many workers on many machines, and the user's own transactions."""

from __future__ import annotations

from collections.abc import Sequence

from sagabus.clock import Clock
from sagabus.errors import StoreError, StoreReadOnly
from sagabus.stores.postgres import schema
from sagabus.stores.postgres.driver import asyncpg
from sagabus.stores.postgres.link import PostgresLink, translated_error
from sagabus.stores.postgres.statements import STATEMENTS
from sagabus.stores.sql.address import Address
from sagabus.stores.sql.dialect import DOLLARS, quoted, ready, table_names
from sagabus.stores.sql.link import Link
from sagabus.stores.sql.server import ServerStore

_PRIMARY = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'"


class PostgresStore(ServerStore):
    """See `sagabus.store.Store`. `url` is a libpq address; besides, it takes `schema`, `prefix`, `pool` (connections)
    and `deadline` (seconds that one call may take).
    """

    def __init__(self, url: str, *, clock: Clock | None = None, lanes: int = 16) -> None:
        options = Address.of(url)
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
        self._statements = ready({**STATEMENTS, **schema.VERSIONS}, self._tables, rows_of, DOLLARS)

    def _migrations(self) -> Sequence[tuple[int, str]]:
        return schema.migrations(self._tables, self._address.prefix)

    async def _begin_life(self, link: Link) -> None:
        ((standby, read_only),) = await link.query(_PRIMARY, ())
        if standby or read_only:
            kind = "a standby" if standby else "read-only"
            raise StoreReadOnly(f"{self.place} is {kind}: point the bus at the primary", store=self.place)
        if self._address.schema is not None:
            await link.run_script(f"CREATE SCHEMA IF NOT EXISTS {quoted(self._address.schema, chr(34))}")
        await super()._begin_life(link)

    async def _connect(self) -> Link:
        try:
            native = await asyncpg.connect(
                self._address.dsn, timeout=self._deadline, server_settings={"application_name": "sagabus"}
            )
        except Exception as error:
            ours = translated_error(error, self.place)
            raise ours or StoreError(f"{self.place}: {error}", store=self.place) from error
        return PostgresLink(native, self._statements, self.place)


def rows_of(columns: str) -> str:
    """A set of rows out of one text parameter."""
    return f"json_to_recordset(?1::json) AS r({columns})" if ", " in columns else ""
