"""From a URL to what asyncpg is given: the password never stands in an address that the driver could repeat.

Password and certificates are read for each connection, so that they may change while a bus runs.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Any
from urllib.parse import quote, urlencode

from sagabus.errors import ConfigurationError, StoreUnavailable
from sagabus.stores.sql.address import Address
from sagabus.stores.sql.encryption import check_files

_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_PLAIN = ("disable", "allow", "prefer")
_SYSTEM = "system"


async def driver_options(address: Address) -> dict[str, Any]:
    """The arguments of `asyncpg.connect` for one connection. StoreUnavailable where a password or a file cannot be had
    now: what was read when the store was made may be there again.
    """
    problem = ""
    try:
        options = await asyncio.to_thread(lasting_options, address)
    except ConfigurationError as error:
        problem, options = str(error), {}
    if problem:
        raise StoreUnavailable(problem, store=address.place)
    password = await address.password_now()
    return options if password is None else {**options, "password": password}


def lasting_options(address: Address) -> dict[str, Any]:
    """The same without a password. ConfigurationError for all that is wrong with the address, and for certificates that
    cannot be read, or would not be used.
    """
    options = dict(address.options)
    given: dict[str, Any] = {}
    problems = list(address.problems)
    try:
        _encrypt(options, address.place)
    except ConfigurationError as error:
        problems += error.problems
    if problems:
        raise ConfigurationError(*problems)
    if options.get("sslrootcert") == _SYSTEM:
        given["ssl"] = _of_system(options, address.place)
    # Of several hosts, the one that can be written to, unless the address says otherwise.
    if len(address.url.hosts) > 1:
        options.setdefault("target_session_attrs", "read-write")
    return {"dsn": _dsn(address, options), **given}


def says_how_to_encrypt(address: Address) -> bool:
    """Whether the URL or the environment chooses between plain text and TLS."""
    return bool({"sslmode", "service"} & address.options.keys() or os.environ.get("PGSSLMODE"))


def _encrypt(options: dict[str, str], place: str) -> None:
    """Who names certificates wants them used: without a mode, the driver would not verify a thing by them."""
    named = [name for name in _FILES if name in options]
    check_files({**options, "sslrootcert": _file(options)}, named, place)
    if not named:
        return
    mode = options.get("sslmode") or os.environ.get("PGSSLMODE")
    if mode in _PLAIN:
        raise ConfigurationError(
            f"{place}: {named[0]} is of no effect with sslmode={mode}: write sslmode=verify-full, or leave it out"
        )
    if mode is None:
        options["sslmode"] = "verify-full"


def _file(options: dict[str, str]) -> str:
    found = options.get("sslrootcert", os.devnull)
    return os.devnull if found == _SYSTEM else found


def _of_system(options: dict[str, str], place: str) -> ssl.SSLContext:
    """Verified by the certificates that the system trusts, as libpq has it since PostgreSQL 16."""
    if options.get("sslmode", "verify-full") != "verify-full":
        raise ConfigurationError(f"{place}: sslrootcert=system goes with sslmode=verify-full alone")
    context = ssl.create_default_context()
    if "sslcert" in options:
        try:
            context.load_cert_chain(options["sslcert"], options.get("sslkey"), options.get("sslpassword"))
        except (OSError, ValueError):
            raise ConfigurationError(f"{place}: the files of sslcert and sslkey hold no certificate and key") from None
    for name in ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword"):
        options.pop(name, None)
    return context


def _dsn(address: Address, options: dict[str, str]) -> str:
    url = address.url
    login = f"{quote(url.user, safe='')}@" if url.user else ""
    path = f"/{quote(url.path, safe='')}" if url.path else ""
    hosts = ",".join(_host(*each) for each in url.hosts)
    return f"postgresql://{login}{hosts}{path}" + (f"?{urlencode(options)}" if options else "")


def _host(name: str, port: int | None) -> str:
    return (f"[{name}]" if ":" in name else name) + (f":{port}" if port else "")
