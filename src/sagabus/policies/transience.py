"""Which errors waiting alone may cure: connections, time-outs, locks, conflicts.

Decided by the class of the error and by its code, never by its text. Classes of other libraries go by their names, so
none is imported here.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import sqlite3
import ssl
from collections.abc import Callable, Collection
from typing import TypeAlias

from sagabus.errors import SagaBusError

Named: TypeAlias = "type[BaseException] | str"
"""An exception class, or its name with that of its package: "stripe.APIConnectionError"."""

_ALWAYS = (
    ConnectionError,
    TimeoutError,
    BlockingIOError,
    InterruptedError,
    asyncio.IncompleteReadError,
    socket.gaierror,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)
_ERRNOS = frozenset(
    (errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT)
)

_BY_NAME = {
    "aiohttp": ("ClientConnectionError", "ClientPayloadError"),
    "asyncpg": ("PostgresConnectionError",),
    "botocore": (
        "ConnectionClosedError",
        "ConnectionError",
        "ConnectTimeoutError",
        "EndpointConnectionError",
        "IncompleteReadError",
        "ProxyConnectionError",
        "ReadTimeoutError",
        "ResponseStreamingError",
    ),
    "elastic_transport": ("ConnectionError", "ConnectionTimeout"),
    "httpcore": ("NetworkError", "ProxyError", "RemoteProtocolError", "TimeoutException"),
    "httpx": ("NetworkError", "ProxyError", "RemoteProtocolError", "TimeoutException"),
    "pika": ("AMQPConnectionError",),
    "psycopg_pool": ("PoolTimeout", "TooManyRequests"),
    "pymongo": ("ConnectionFailure",),
    "redis": ("BusyLoadingError", "ConnectionError", "TimeoutError"),
    "requests": ("ChunkedEncodingError", "ConnectionError", "Timeout"),
    "smtplib": ("SMTPConnectError", "SMTPServerDisconnected"),
    "sqlalchemy": ("TimeoutError",),
    "stripe": ("APIConnectionError",),
    "urllib3": (
        "IncompleteRead",
        "MaxRetryError",
        "NewConnectionError",
        "ProtocolError",
        "ProxyError",
        "TimeoutError",
    ),
    "websockets": ("ConnectionClosed",),
}
_TRANSIENT = frozenset((package, name) for package, names in _BY_NAME.items() for name in names)

# Derived from connection errors, and yet the same tomorrow.
_FINAL = frozenset(
    (("aiohttp", "ServerFingerprintMismatch"), ("redis", "AuthenticationError"), ("redis", "AuthorizationError"))
)
_LONGEST_CHAIN = 20

_SQLSTATES = ("08", "40", "55P03", "57P01", "57P02", "57P03", "53300")
"""Connections, conflicts and deadlocks, locks, a server that stops or starts, too many connections."""
_OF_THE_PROTOCOL = "08P01"
_MYSQL_CODES = frozenset(
    (
        *(2002, 2003, 2005, 2006, 2012, 2013, 2024, 2055),  # the client's own: no connection, connection lost
        *(1040, 1203, 1226),  # too many connections
        *(1042, 1043, 1047, 1053, 1077, 1079, 1080),  # a server that starts or stops
        *(1158, 1159, 1160, 1161, 1184, 1927, 4031),  # the network, as the server sees it
        *(1020, 1205, 1206, 1213, 3058, 3572),  # locks and conflicts
    )
)
_GRPC_CODES = frozenset(("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED"))


def is_transient(error: BaseException, more: Collection[Named] = ()) -> bool:
    """Whether waiting alone may cure it. `more`: further classes of which the caller says so."""
    try:
        return _is_named(error, more) or _is_transient(error)
    except Exception:  # noqa: BLE001  # a property of an error of the user's may raise, and that must not hide the error
        return False


def _is_named(error: BaseException, more: Collection[Named]) -> bool:
    if not more:
        return False
    classes = type(error).__mro__
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in classes} | {".".join(_name(cls)) for cls in classes}
    return any(one in (names if isinstance(one, str) else classes) for one in more)


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, SagaBusError):
        return error.is_transient
    names = [_name(cls) for cls in type(error).__mro__]
    if not _FINAL.isdisjoint(names) or _refuses_a_certificate(error):
        return False
    if isinstance(error, _ALWAYS) or not _TRANSIENT.isdisjoint(names):
        return True
    if isinstance(error, OSError) and error.errno in _ERRNOS:
        return True
    return any(_BY_CODE[package](error) for package in {package for package, _ in names} if package in _BY_CODE)


def _name(cls: type) -> tuple[str, str]:
    return cls.__module__.partition(".")[0], cls.__qualname__


def _refuses_a_certificate(error: BaseException) -> bool:
    """Clients call it an error of the connection; the reason stands in the chain."""
    at: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if at is None:
            return False
        if isinstance(at, ssl.SSLCertVerificationError):
            return True
        at = at.__cause__ or at.__context__
    return False


def _sqlite(error: BaseException) -> bool:
    # Missing on one that was raised by hand; the low byte is the kind, the rest says more about it.
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _apsw(error: BaseException) -> bool:
    return type(error).__qualname__ in ("BusyError", "LockedError")


def _postgres(error: BaseException) -> bool:
    state: object = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if isinstance(state, str):
        return state.startswith(_SQLSTATES) and state != _OF_THE_PROTOCOL
    # Without a state no server has answered: the connection was not made, or was lost.
    return any(cls.__qualname__ == "OperationalError" for cls in type(error).__mro__)


def _mysql(error: BaseException) -> bool:
    code: object = getattr(error, "errno", None) or (error.args[0] if error.args else None)
    if type(error).__qualname__ == "InterfaceError" and code == 0:
        return True  # its connection has been closed under it
    return isinstance(code, int) and code in _MYSQL_CODES


def _grpc(error: BaseException) -> bool:
    ask: object = getattr(error, "code", None)
    code: object = ask() if callable(ask) else None
    return getattr(code, "name", None) in _GRPC_CODES


def _urllib(error: BaseException) -> bool:
    reason: object = getattr(error, "reason", None)
    return isinstance(reason, BaseException) and is_transient(reason)


def _wrapped(error: BaseException) -> bool:
    """By the driver's own error that it stands for."""
    if getattr(error, "connection_invalidated", False):
        return True
    inner: object = getattr(error, "orig", None) or error.__cause__
    return isinstance(inner, BaseException) and is_transient(inner)


_BY_CODE: dict[str, Callable[[BaseException], bool]] = {
    "MySQLdb": _mysql,
    "apsw": _apsw,
    "asyncmy": _mysql,
    "asyncpg": _postgres,
    "django": _wrapped,
    "grpc": _grpc,
    "mysql": _mysql,
    "psycopg": _postgres,
    "psycopg2": _postgres,
    "pymysql": _mysql,
    "sqlalchemy": _wrapped,
    "sqlite3": _sqlite,
    "urllib": _urllib,
}
