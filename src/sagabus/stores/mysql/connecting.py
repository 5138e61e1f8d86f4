"""From a URL to a connection whose session is as the statements need it, and a look at the server behind it."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from sagabus.errors import ConfigurationError, StoreError, StoreReadOnly, StoreUnavailable
from sagabus.stores.mysql.driver import asyncmy, asyncmy_flags
from sagabus.stores.sql.address import OWN, Address
from sagabus.stores.sql.encryption import check_files, warn_unless_safe
from sagabus.stores.sql.keepalive import notice_silence
from sagabus.stores.sql.link import Link

_STRICT = "STRICT_TRANS_TABLES,STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
"""Values that do not fit are errors, whatever the server's default is; and quotes and backslashes mean one thing."""
# MySQL warns where strictness leaves its dates out. Only MariaDB runs what is in the last comment: remembering what a
# subquery gave costs more than to ask it again.
_SESSION = f"""
SET SESSION sql_mode = CONCAT('{_STRICT}' /*!80000 , ',NO_ZERO_DATE,NO_ZERO_IN_DATE' */),
    innodb_lock_wait_timeout = %d, completion_type = 'NO_CHAIN', sql_notes = 0, sql_safe_updates = 0
    /*M! , optimizer_switch = 'subquery_cache=off' */
"""
# What another transaction has committed meanwhile is seen, and gaps between keys are not locked.
_ISOLATION = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE"
_LOOK = "SELECT @@sql_mode, @@max_allowed_packet, @@global.read_only, CONCAT_WS(':', @@hostname, @@port, @@server_id)"
_READ_ONLY = ("read_only", "super_read_only", "innodb_read_only", "transaction_read_only", "tx_read_only")
_VARIABLES = (
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN ("
    + ", ".join(f"'{name}'" for name in (*_READ_ONLY, "binlog_format", "log_bin"))
    + ")"
)
_FILES = ("ssl_ca", "ssl_cert", "ssl_key")
_OPTIONS = ("ssl", *_FILES, "unix_socket")
_OWN = tuple(name for name in OWN if name not in ("pooler", "notify"))
_ELSEWHERE = frozenset(
    [
        "autocommit",
        "charset",
        "connect_timeout",
        "database",
        "host",
        "init_command",
        "local_infile",
        "password",
        "port",
        "read_timeout",
        "ssl_capath",
        "ssl_check_hostname",
        "ssl_cipher",
        "ssl_disabled",
        "ssl_mode",
        "ssl_verify_cert",
        "ssl_verify_identity",
        "sslca",
        "sslcert",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "tls",
        "use_unicode",
        "user",
        "write_timeout",
    ]
)
"""What these options are called by other libraries."""
_OLDEST = {"MariaDB": (10, 6), "MySQL": (8, 0)}
_BYTES_OF_A_CHARACTER = 4


async def arguments(address: Address) -> dict[str, Any]:
    """The arguments of asyncmy for one connection. StoreUnavailable where a password or a file cannot be had now: what
    was read when the store was made may be there again.
    """
    problem = ""
    try:
        given = await asyncio.to_thread(lasting_arguments, address)
    except ConfigurationError as error:
        problem, given = str(error), {}
    if problem:
        raise StoreUnavailable(problem, store=address.place)
    return {**given, "password": (await address.password_now() or "").encode()}


def lasting_arguments(address: Address) -> dict[str, Any]:
    """The same without a password. ConfigurationError for all that is wrong with a URL, such as unknown options and
    certificates that cannot be used.
    """
    url, options = address.url, address.options
    problems = [*address.problems]
    problems += [
        f"{address.place}: the option {_named(name, number)} is not known; there are {', '.join((*_OPTIONS, *_OWN))}"
        for number, name in enumerate(options, 1)
        if name not in _OPTIONS
    ]
    if len(url.hosts) > 1:
        problems.append(f"{address.place}: one host, which is always the primary's")
    if not url.path:
        problems.append(f"{address.place} names no database: mysql://user@host/database")
    context = None
    try:
        context = _encrypted(options, address.place)
    except ConfigurationError as error:
        problems += error.problems
    if problems:
        raise ConfigurationError(*problems)
    host, port = url.hosts[0] if url.hosts else ("", None)
    return {
        "host": unquote(host) or "localhost",
        "port": port or 3306,
        "user": url.user,
        "database": url.path,
        "unix_socket": options.get("unix_socket"),
        "ssl": context,
        "charset": "utf8mb4",
        "autocommit": True,
        "client_flag": asyncmy_flags.FOUND_ROWS,
        "program_name": "sagabus",
    }


def _named(name: str, number: int) -> str:
    """Only a name that other libraries know is shown: any other text behind a `?` may be the rest of a password."""
    return repr(name) if name in _ELSEWHERE else f"number {number} of the URL"


def _encrypted(options: Mapping[str, str], place: str) -> ssl.SSLContext | None:
    named = [name for name in _FILES if name in options]
    wish = options.get("ssl", "verify" if named else "off")
    if wish not in ("off", "unverified", "verify"):
        raise ConfigurationError(f"{place}: the option ssl must be off, unverified or verify")
    if wish == "off":
        if named:
            raise ConfigurationError(f"{place}: {named[0]} is of no effect with ssl=off: leave one of them out")
        return None
    if "ssl_key" in options and "ssl_cert" not in options:
        raise ConfigurationError(f"{place}: ssl_key needs ssl_cert, the certificate of that key")
    check_files(options, named, place)
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca"))
        if "ssl_cert" in options:
            # Without a password, OpenSSL would ask for that of an encrypted key on the terminal.
            context.load_cert_chain(options["ssl_cert"], options.get("ssl_key"), password="")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{place}: the certificates cannot be read: {error}") from error
    if wish == "unverified":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def connect(address: Address) -> Any:
    """A connection, and what its session and its server say of themselves. The driver's errors come through; cancelled
    in whatever greeting, it leaves no socket open.
    """
    patience = address.deadline
    native = asyncmy.Connection(**await arguments(address), connect_timeout=max(patience, 1))
    # The server takes one statement at a time, whatever is hidden in it.
    native._client_flag &= ~asyncmy_flags.MULTI_STATEMENTS  # noqa: SLF001  # the driver always asks for it
    try:
        await _obediently(native.connect())
        notice_silence(native._transport, patience)  # noqa: SLF001  # the driver shows its socket nowhere else
        cursor = native.cursor()
        await cursor.execute(_SESSION % max(1, int(patience / 6)))  # several waits, before a call is out of time
        await cursor.execute(_ISOLATION)
        await cursor.execute(_LOOK)
        mode, packet, read_only, server = await cursor.fetchone()
    except BaseException:
        native.close()
        raise
    return native, mode, packet, _is_on(read_only), str(server)


async def _obediently(connecting: Awaitable[object]) -> None:
    """Raise CancelledError for a cancellation that came as the server answered. The driver waits for the socket by
    `asyncio.wait_for`, which loses such a cancellation until Python 3.12. The end of a `timeout` or of a whole task
    would be lost with it.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    await connecting
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError


class Connected(NamedTuple):
    """A connection in a strict session."""

    native: Any
    room: int
    """So many characters fit into a packet."""
    server: str
    """Host, port and number of the server that has answered."""


def warn(native: Any, address: Address) -> None:
    """Log what a connection does without, and the URL does not ask to be without."""
    if "ssl" not in address.options:
        warn_unless_safe(
            native._transport,  # noqa: SLF001  # the driver shows its socket nowhere else
            address.place,
            verify="ssl=verify",
            mean_it="ssl=off",
        )


async def connected(address: Address) -> Connected:
    """A connection to a server that can be written to."""
    native, mode, packet, read_only, server = await connect(address)
    if read_only:  # each time, since what answers at an address may be another server after a failover
        native.close()
        raise StoreReadOnly(f"{address.place} is read-only: point the bus at the primary", store=address.place)
    if "STRICT_TRANS_TABLES" not in mode.split(","):
        native.close()
        raise StoreError(f"{address.place}: the session cannot be made strict, it is {mode!r}", store=address.place)
    return Connected(native, packet // _BYTES_OF_A_CHARACTER // 2, server)


async def look_over(link: Link, place: str) -> None:
    """Refuse a server that cannot keep a store, or not now."""
    flavour, version = _version(link.native.get_server_info())
    if version < _OLDEST[flavour]:
        oldest = ".".join(map(str, _OLDEST[flavour]))
        raise StoreError(
            f"{place} is {flavour} {'.'.join(map(str, version))}: the bus needs {flavour} {oldest} or later",
            store=place,
        )
    found = {str(name).lower(): str(value).upper() for name, value in await link.query(_VARIABLES, ())}
    on = [name for name in _READ_ONLY if _is_on(found.get(name, "OFF"))]
    if on:
        raise StoreReadOnly(f"{place} is read-only ({', '.join(on)}): point the bus at the primary", store=place)
    if found.get("log_bin") in ("ON", "1") and found.get("binlog_format") == "STATEMENT":
        raise StoreError(f"{place} has binlog_format=STATEMENT: the bus needs ROW or MIXED", store=place)


def _is_on(value: object) -> bool:
    return str(value).upper() not in ("OFF", "0", "")


def _version(text: str) -> tuple[str, tuple[int, int]]:
    """Whose server it is, and its version. MariaDB says 5.5.5- in front, for old replicas."""
    found = re.search(r"(\d+)\.(\d+)", text.removeprefix("5.5.5-"))
    flavour = "MariaDB" if "mariadb" in text.lower() else "MySQL"
    return flavour, (int(found[1]), int(found[2])) if found else (0, 0)
