"""Which errors waiting alone may cure: by class, name and code."""

import asyncio
import errno
import smtplib
import socket
import sqlite3
import ssl
import urllib.error
from typing import Any

import apsw
import asyncmy.errors
import asyncpg
import django.db.utils
import psycopg
import pymysql.err
import pytest
import sqlalchemy.exc

from sagabus.errors import StoreBusy, StoreCorrupt
from sagabus.policies.transience import is_transient


def named(module: str, *names: str, base: type[BaseException] = Exception) -> Any:
    """A class that a library would define, below those that it is derived from there, the base first."""
    for name in names:
        base = type(name, (base,), {"__module__": module})
    return base


def locked(more: int = 0) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY | more
    return error


def of_grpc(code: str) -> BaseException:
    status = type("StatusCode", (), {"name": code})
    made = type("AioRpcError", (Exception,), {"__module__": "grpc.aio._call", "code": lambda self: status})
    return made()


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


CONNECT = named("httpx", "TransportError", "NetworkError", "ConnectError")
REFUSED = ssl.SSLCertVerificationError("certificate verify failed")


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        TimeoutError(),
        BlockingIOError(),
        StoreBusy(),
        OSError(errno.EHOSTUNREACH, "no route"),
        OSError(errno.ENETUNREACH, "no network"),
        socket.gaierror(socket.EAI_AGAIN, "no answer"),
        asyncio.IncompleteReadError(b"", 4),
        ssl.SSLEOFError("cut"),
        smtplib.SMTPServerDisconnected("cut"),
        urllib.error.URLError(TimeoutError()),
        CONNECT("no"),
        named("httpx", "TransportError", "TimeoutException", "ReadTimeout")(),
        named("httpx._exceptions", "TimeoutException", "PoolTimeout")(),
        named("requests.exceptions", "RequestException", "ConnectionError", "ProxyError", base=OSError)(),
        named("requests.exceptions", "RequestException", "Timeout", "ReadTimeout", base=OSError)(),
        named("aiohttp.client_exceptions", "ClientError", "ClientConnectionError", "ServerDisconnectedError")(),
        named("botocore.exceptions", "BotoCoreError", "HTTPClientError", "ReadTimeoutError")(),
        named("botocore.exceptions", "BotoCoreError", "ConnectionError", "EndpointConnectionError")(),
        named("redis.exceptions", "RedisError", "ConnectionError")(),
        named("pymongo.errors", "PyMongoError", "ConnectionFailure", "AutoReconnect")(),
        of_grpc("UNAVAILABLE"),
        of_grpc("DEADLINE_EXCEEDED"),
        locked(),
        locked(2 << 8),
        apsw.BusyError("locked"),
        asyncpg.ConnectionDoesNotExistError("cut"),
        asyncpg.DeadlockDetectedError("deadlock"),
        asyncpg.CannotConnectNowError("starts"),
        psycopg.OperationalError("connection refused"),
        psycopg.errors.SerializationFailure("conflict"),
        psycopg.errors.ConnectionTimeout("slow"),
        pymysql.err.OperationalError(2013, "lost"),
        pymysql.err.InterfaceError(0, ""),
        asyncmy.errors.OperationalError(1213, "deadlock"),
        sqlalchemy.exc.TimeoutError("no connection left"),
        sqlalchemy.exc.OperationalError("SELECT 1", {}, pymysql.err.OperationalError(2006, "gone")),
        caused(django.db.utils.OperationalError("gone"), psycopg.OperationalError("gone")),
    ],
    ids=lambda error: f"{type(error).__module__}.{type(error).__qualname__}",
)
def test_connections_timeouts_locks_and_conflicts_are_transient(error: BaseException) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("timeout"),
        OSError("disk"),
        OSError(errno.ENOSPC, "full"),
        FileNotFoundError("gone"),
        StoreCorrupt(),
        REFUSED,
        caused(CONNECT("no"), REFUSED),
        urllib.error.URLError(REFUSED),
        urllib.error.HTTPError("http://x", 503, "no", None, None),  # type: ignore[arg-type]  # headers may be missing
        named("httpx", "HTTPStatusError")(),
        named("httpx", "TransportError", "UnsupportedProtocol")(),
        named("redis.exceptions", "RedisError", "ConnectionError", "AuthenticationError")(),
        named("myshop.httpx", "ReadTimeout")(),
        of_grpc("INVALID_ARGUMENT"),
        sqlite3.OperationalError("made by hand"),
        sqlite3.IntegrityError("unique"),
        asyncpg.UniqueViolationError("unique"),
        asyncpg.QueryCanceledError("too slow"),
        psycopg.errors.QueryCanceled("too slow"),
        psycopg.errors.UniqueViolation("unique"),
        pymysql.err.IntegrityError(1062, "unique"),
        pymysql.err.OperationalError(1045, "no such user"),
        sqlalchemy.exc.OperationalError("SELECT 1", {}, pymysql.err.OperationalError(1054, "no column")),
        caused(django.db.utils.IntegrityError("unique"), psycopg.errors.UniqueViolation("unique")),
    ],
    ids=lambda error: f"{type(error).__module__}.{type(error).__qualname__}",
)
def test_what_is_the_same_tomorrow_is_not(error: BaseException) -> None:
    assert not is_transient(error)


@pytest.mark.parametrize(
    "more", [(LookupError,), (KeyError,), ("builtins.KeyError",), ("myshop.Busy", "builtins.LookupError")]
)
def test_a_policy_can_name_more_by_class_or_by_name(more: tuple[type[BaseException] | str, ...]) -> None:
    assert is_transient(KeyError(), more)
    assert not is_transient(ValueError(), more)


def test_a_name_may_be_that_of_the_package_or_of_the_module() -> None:
    declined = named("stripe._error", "StripeError", "RateLimitError")()

    assert is_transient(declined, ("stripe.RateLimitError",))
    assert is_transient(declined, ("stripe._error.StripeError",))
    assert not is_transient(declined, ("RateLimitError",))


def test_an_error_whose_attributes_raise_is_not_transient() -> None:
    def broken(self: object) -> str:
        raise RuntimeError

    error = type("Odd", (Exception,), {"__module__": "psycopg.odd", "sqlstate": property(broken)})()

    assert not is_transient(error)
