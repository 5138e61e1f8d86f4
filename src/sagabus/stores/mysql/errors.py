"""What the errors of MySQL, MariaDB and asyncmy mean: by their numbers only, since texts change with the language."""

from __future__ import annotations

import struct

from sagabus.errors import StoreBusy, StoreCorrupt, StoreError, StoreFull, StoreReadOnly, StoreUnavailable
from sagabus.stores.mysql.driver import asyncmy_errors

DUPLICATE = 1062
DONE_ALREADY = (1050, 1060, 1061)
"""A table, a column or an index that a change of the schema would add is there."""

_BUSY = (
    1205,  # lock wait timeout: one statement is undone, the transaction is not
    1213,  # deadlock: the whole transaction is undone
    1020,  # the row changed after it was read
    1206,  # too many locks
    1613,
    1614,
    1615,  # a prepared statement must be prepared again
    1637,
    1969,  # the time limit of statements, of MariaDB and MySQL
    3024,
    3058,
    3572,
)
_FULL = (3, 1021, 1037, 1038, 1041, 1114)
_READ_ONLY = (1290, 1792, 1836, 1874)
_CORRUPT = (1034, 1035, 1194, 1195, 1712)
_UNAVAILABLE = (
    *range(2000, 2060),  # the client's own: no connection, connection lost, handshake failed
    1040,  # too many connections
    1042,
    1043,
    1044,  # no rights in the database
    1045,  # wrong user or password
    1046,
    1047,  # a cluster's node is not ready
    1049,  # no such database
    1053,  # shutdown
    1077,
    1079,
    1080,
    1129,
    1130,
    1142,  # no rights on the table
    *range(1152, 1162),  # the network, as the server sees it
    1180,  # an error during COMMIT
    1181,
    1184,
    1203,
    1223,  # a global read lock
    1226,
    1317,  # the statement was interrupted
    1461,  # too many prepared statements
    1698,
    1820,  # the password has expired
    1862,
    3118,  # the account is locked
    3955,
    4151,
    1927,  # the connection was killed
    3169,
    4031,
)
_TOO_LARGE = (1153, 2020)
"""A row larger than a packet of the server's or the client's: to send it again would not help."""
_OUR_TABLES = (1051, 1054, 1072, 1091, 1146, 1932)
"""A table, a column or an index of ours is not there."""

_KINDS: dict[int, type[StoreError]] = {
    **dict.fromkeys(_BUSY, StoreBusy),
    **dict.fromkeys(_FULL, StoreFull),
    **dict.fromkeys(_READ_ONLY, StoreReadOnly),
    **dict.fromkeys(_CORRUPT, StoreCorrupt),
    **dict.fromkeys(_UNAVAILABLE, StoreUnavailable),
    **dict.fromkeys(_TOO_LARGE, StoreError),
}

_WAYS_OUT = {
    1040: "raise max_connections, or let fewer processes or smaller pools connect",
    1044: "grant the user its rights in this database",
    1045: "check the user and the password of the URL",
    1049: "create the database first: CREATE DATABASE …",
    1130: "let the server accept connections from this host",
    1142: "grant the user its rights on the bus's tables",
    1153: "send less in one message, or raise max_allowed_packet",
    2020: "send less in one message, or raise max_allowed_packet",
    1461: "raise max_prepared_stmt_count",
    1698: "check the user and the password of the URL",
    1820: "set a new password for the user",
    1862: "set a new password for the user",
    3118: "unlock the user's account",
    3955: "unlock the user's account",
    4151: "unlock the user's account",
    2002: "check that the server runs and listens there",
    2003: "check that the server runs and listens there",
    2005: "check the host of the URL",
}

BROKEN = (OSError, EOFError, struct.error, IndexError, AssertionError, RuntimeError)
"""What comes out of the driver when the connection ended, or talks something else than the protocol."""


def code_of(error: BaseException) -> int | None:
    """The error's number; None for an error that has none."""
    if isinstance(error, asyncmy_errors.MySQLError) and error.args and isinstance(error.args[0], int):
        return error.args[0]
    return None


def kind_of(code: int) -> type[StoreError] | None:
    """What an error of the database as a whole is called here; None for any other."""
    return _KINDS.get(code)


def translated(error: BaseException, place: str) -> StoreError | None:
    """The store's error for a driver's error that is of the database as a whole; None for any other."""
    if isinstance(error, StoreError):
        return error
    code = code_of(error)
    if code:
        kind = _KINDS.get(code)
        return kind(_text_of(error, code, place), store=place) if kind is not None else None
    if isinstance(error, (asyncmy_errors.MySQLError, *BROKEN)):  # without a number: the connection is of no use
        return StoreUnavailable(f"{place}: {error or type(error).__name__}", store=place)
    return None


def of_our_own(error: BaseException, place: str) -> StoreError:
    """The store's error for whatever a statement of ours ended in."""
    ours = translated(error, place)
    if ours is None and code_of(error) in _OUR_TABLES:
        ours = StoreUnavailable(f"{place}: the bus's tables are not as they were left: {error}", store=place)
    return ours or StoreError(f"{place}: {type(error).__name__}: {error}", store=place)


def _text_of(error: BaseException, code: int, place: str) -> str:
    text = f"{place}: {error.args[1] if len(error.args) > 1 else error} ({code})"
    return f"{text}; {_WAYS_OUT[code]}" if code in _WAYS_OUT else text
