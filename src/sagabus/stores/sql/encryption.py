"""Whether what goes to a server can be read on its way, and what an error of TLS means."""

from __future__ import annotations

import ipaddress
import logging
import os
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sagabus.errors import ConfigurationError, StoreUntrusted

log = logging.getLogger("sagabus")

# Where the connection itself has ended: it is made again, and may succeed.
_CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def untrusted(error: BaseException, place: str) -> StoreUntrusted | None:
    """The store's error for one of TLS that no later attempt gets past: raised while a connection is made.

    Drivers wrap it, as its cause or not at all.
    """
    seen: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in seen:
        if (found := _of_tls(each, place)) is not None:
            return found
        seen.append(each)
        each = each.__cause__ or each.__context__
    return None


def _of_tls(error: BaseException, place: str) -> StoreUntrusted | None:
    if isinstance(error, ssl.SSLError) and not isinstance(error, _CUT):
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        return StoreUntrusted(
            f"{place}: no trusted connection: {reason}; check the certificates, the name of the host, "
            "and that the server speaks TLS",
            store=place,
        )
    if isinstance(error, OSError) and error.filename:
        return StoreUntrusted(f"{place}: {error.filename}: {error.strerror}", store=place)
    return None


def check_files(options: Mapping[str, str], names: Sequence[str], place: str) -> None:
    """ConfigurationError, with all of them, for files of certificates and keys that cannot be read."""
    problems = [
        f"{place}: the file of the option {name} cannot be read: correct its path or its permissions"
        for name in names
        if name in options and not os.access(options[name], os.R_OK)
    ]
    if problems:
        raise ConfigurationError(*problems)


def warn_unless_safe(transport: Any, place: str, *, verify: str, mean_it: str) -> None:
    """Log a WARNING where a connection over a network is in plain text, or to a server that nothing has verified.

    `verify` and `mean_it` are the options that end it.
    """
    if not _is_remote(transport.get_extra_info("peername")):
        return
    context = transport.get_extra_info("sslcontext")
    if context is not None and context.verify_mode == ssl.CERT_REQUIRED:
        return
    state = "is not encrypted" if context is None else "is encrypted, but nothing verifies the server's certificate"
    log.warning(
        "%s: the connection %s: add %s to the URL of the store, or %s if that is meant", place, state, verify, mean_it
    )


def _is_remote(peer: object) -> bool:
    """Whether the other end is on another machine. A socket of this machine has a path, or nothing, for an address."""
    if not isinstance(peer, tuple) or not peer:
        return False
    host = str(cast("tuple[object, ...]", peer)[0])
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return not (mapped or address).is_loopback
