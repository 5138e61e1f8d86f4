"""What differs for statements that run on a user's connection: settings and codecs there are the user's."""

from __future__ import annotations

from collections.abc import Mapping

from sagabus.errors import StoreError, TransactionLost
from sagabus.stores.postgres.fragments import NOW
from sagabus.stores.postgres.link import kind_of
from sagabus.stores.postgres.statements import STATEMENTS
from sagabus.stores.sql.dialect import RowsOf, Statement, Style, ready
from sagabus.stores.sql.home import ReadyWords
from sagabus.stores.sql.steps import Query, causes

_FAILED_BEFORE = "25P02"

_SHARED = ("savepoint", "rollback_to_savepoint", "release_savepoint", "subscriptions", "known", "horizons", "remember")
_USED = (*_SHARED, "insert_envelopes", "cancel_timers", "let_loose", "bury")

_JOINING = {
    # Asks the catalogue, which never fails: naming a table or a schema that is not there, or not ours to use, would.
    "is_home": Statement(
        """
SELECT count(*) FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relname = ?1 AND CASE WHEN ?2::text IS NULL THEN pg_catalog.pg_table_is_visible(c.oid)
    ELSE n.nspname = ?2::text END
AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
AND pg_catalog.has_table_privilege(c.oid, 'UPDATE')
""",
        gives=True,
    ),
    # The lock makes registrations wait for who has routed by what they change, and the other way round.
    "look": Statement(
        f"SELECT name, value, {NOW} FROM {{meta}} WHERE name IN ('routing', 'lanes', 'identity') FOR SHARE", gives=True
    ),
}

_JSON = "?1::json"


class PostgresJoining:
    """The words of joining, for drivers of any style, and what their errors mean."""

    def __init__(
        self, tables: Mapping[str, str], rows_of: RowsOf, *, schema: str | None, prefix: str, place: str
    ) -> None:
        self.find = Query("is_home", (f"{prefix}meta", schema))
        self._tables = tables
        self._rows_of = rows_of
        self._place = place

    def words(self, style: Style) -> ReadyWords:
        """The statements for drivers of a style. A JSON parameter goes as text: users have JSON codecs of their own."""
        asked = {name: STATEMENTS[name] for name in _USED} | _JOINING
        as_text = {name: statement._replace(sql=_as_text(statement.sql)) for name, statement in asked.items()}
        return ReadyWords(ready(as_text, self._tables, lambda columns: _as_text(self._rows_of(columns)), style))

    def translate(self, ask: Query, error: Exception) -> Exception:
        """The store's error for a driver's, by SQLSTATE."""
        states = [str(state) for each in causes(error) if (state := getattr(each, "sqlstate", None))]
        kind = next((kind for state in states if (kind := kind_of(state)) is not None), StoreError)
        if _FAILED_BEFORE in states:
            return TransactionLost(
                "the joined transaction has failed before; roll it back, nothing of it can commit", store=self._place
            )
        return kind(f"in the joined transaction ({ask.name}): {type(error).__name__}: {error}", store=self._place)


def _as_text(sql: str) -> str:
    return sql.replace(_JSON, "?1::text::json")
