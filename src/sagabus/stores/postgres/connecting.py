"""How a connection is made: straight to the server, or through a transaction pooler (PgBouncer and its like).

Straight, a connection keeps its prepared statements, and settings that keep the planner from reading whole tables.
Behind a pooler neither can be: each transaction may meet another server process. A pooler refuses such settings or
leaves them out, which identifies it. Every statement is then prepared for one use, inside a transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagabus.errors import ConfigurationError, StoreError, StoreReadOnly, StoreUnavailable
from sagabus.stores.postgres.driver import asyncpg
from sagabus.stores.postgres.fragments import BORN
from sagabus.stores.postgres.link import PooledLink, PostgresLink, translated_error
from sagabus.stores.postgres.options import driver_options, lasting_options, says_how_to_encrypt
from sagabus.stores.postgres.timelines import timeline_of
from sagabus.stores.sql.address import Address
from sagabus.stores.sql.dialect import Ready
from sagabus.stores.sql.encryption import untrusted, warn_unless_safe
from sagabus.stores.sql.keepalive import notice_silence

_PLANNING = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""One plan for each statement, whatever the values: there is one good way to run each, and planning takes longer than
running. It is kept from when the tables were empty, and reading all of one, or sorting it, was cheap: never, then.
"""
_LOOK = f"""
SELECT current_setting('enable_seqscan'), pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
    (SELECT {BORN} FROM pg_stat_activity WHERE pid = pg_backend_pid())
"""
"""Whether settings got through, and whether this is the primary: after a failover it may be another server."""
_PROTOCOL_VIOLATION = "08P01"


class Connecting:
    """Makes the connections of one store; knows after the first whether a pooler is between."""

    def __init__(self, address: Address, statements: Mapping[str, Ready], deadline: float) -> None:
        lasting_options(address)  # what is wrong with it is said at once
        self._address = address
        self._statements = statements
        self._deadline = deadline
        self.pooled = address.pooler
        self._has_connected = False

    async def connect(self) -> PostgresLink:
        """A new connection; raises StoreUnavailable, or another StoreError with the way out."""
        if not self.pooled:
            link = await self._straight()
            if link is not None:
                return link
            self.pooled = True
        native = await self._open(statement_cache_size=0)
        return self._linked(PooledLink, native)

    def warn(self, link: PostgresLink) -> None:
        """Log what a connection does without, and the URL does not ask to be without."""
        if not says_how_to_encrypt(self._address):
            warn_unless_safe(
                link.native._transport,  # noqa: SLF001  # the driver shows its socket nowhere else
                self._address.place,
                verify="sslmode=verify-full",
                mean_it="sslmode=disable or prefer",
            )

    async def listener(self) -> Any:
        """A connection of the driver's own to listen on, on which nothing takes longer than the deadline."""
        return await self._open(command_timeout=self._deadline)

    async def _straight(self) -> PostgresLink | None:
        """A connection with all settings in force; None where a pooler does not let them through."""
        settings = {"application_name": "sagabus", **_PLANNING}
        try:
            native = await self._open(server_settings=settings)
        except StoreUnavailable as error:
            if getattr(error.__cause__, "sqlstate", None) == _PROTOCOL_VIOLATION:
                return None
            raise
        try:
            planning, standby, read_only, born = await native.fetchrow(_LOOK)
            timeline = 0 if standby else await timeline_of(native)
        except BaseException as error:
            native.terminate()
            if (ours := translated_error(error, self._address.place)) is not None:
                raise ours from error
            raise
        if planning == "off":
            native = self._writable(native, standby=standby, read_only=read_only)
            return self._linked(PostgresLink, native, born=born or "", timeline=timeline)
        native.terminate()
        return None

    def _linked(self, kind: type[PostgresLink], native: Any, **known: Any) -> PostgresLink:
        try:
            return kind(native, self._statements, self._address.place, **known)
        except asyncpg.InterfaceError as error:  # it has ended since it last answered
            raise StoreUnavailable(f"{self._address.place}: {error}", store=self._address.place) from error

    def _writable(self, native: Any, *, standby: bool, read_only: bool) -> Any:
        if not standby and not read_only:
            return native
        native.terminate()
        kind, place = "a standby" if standby else "read-only", self._address.place
        raise StoreReadOnly(f"{place} is {kind}: point the bus at the primary", store=place)

    async def _open(self, **options: Any) -> Any:
        place = self._address.place
        given = await driver_options(self._address)
        try:
            native = await asyncpg.connect(**given, timeout=self._deadline, **options)
        except asyncpg.ClientConfigurationError as error:
            if self._has_connected:  # a file that it names is missing, or half written: it was not before
                raise StoreUnavailable(f"{place}: {error}", store=place) from error
            raise ConfigurationError(f"{place}: {error}") from error
        except KeyError as error:  # the driver asks the system, whose list of users does not know this process's
            raise ConfigurationError(
                f"{place} names no user, and the user of this process has no name: write postgresql://user@host/database"
            ) from error
        except Exception as error:
            ours = untrusted(error, place) or translated_error(error, place)
            raise ours or StoreError(f"{place}: {error}", store=place) from error
        self._has_connected = True
        notice_silence(native._transport, self._deadline)  # noqa: SLF001  # the driver shows its socket nowhere else
        return native
