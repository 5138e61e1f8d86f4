"""What a URL says of a NATS system: hosts, who we are, and what our streams are called."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import msgspec

from sagabus.errors import ConfigurationError
from sagabus.transports.encryption import OPTIONS, Encryption, encryption_of
from sagabus.url.login import OPTION, Ask, Password
from sagabus.url.parsing import StoreUrl
from sagabus.url.transport import parsed_transport

_PORT = 4222
_OWN = ("prefix", "replicas", "sync", "token", "creds", "nkey", "inbox", "lease", OPTION)
_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,32}")
_INBOX = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_REPLICAS = ("1", "3", "5")
FILES = {"creds": "user_credentials", "nkey": "nkeys_seed"}
"""Options that name files of a login, in the words of nats-py, which reads them for each connection."""
_LEASE = "10"
_LEASES = tuple(map(str, range(1, 61)))
"""Seconds."""


class Address(msgspec.Struct, frozen=True):
    """Where and as whom to connect. Its `repr` shows the place only."""

    place: str
    hosts: tuple[tuple[str, int], ...]
    login: Mapping[str, Any]
    """Who we are, in the words of nats-py, without a secret."""
    password: Password
    """Of the user; without one it is a token."""
    tls: Encryption | None
    prefix: str
    replicas: int
    is_synced: bool
    """The URL says that the server writes before it confirms: it does not tell us itself."""
    inbox: str
    lease: float
    """Seconds for which a link that is connected may be silent before another one of its service receives."""

    def __repr__(self) -> str:
        return f"Address({self.place!r})"

    def with_secret(self, secret: str | None) -> Mapping[str, Any]:
        """Who we are now, in the words of nats-py."""
        if secret is None:
            return self.login
        return {**self.login, "password" if "user" in self.login else "token": secret}


def address(url: str, ask: Ask | None = None) -> Address:
    """What a URL says; ConfigurationError with all that is wrong with it. `ask` gives the password of each
    connection.
    """
    parsed = parsed_transport(url)
    options = dict(parsed.options)
    problems = [f"{parsed.place}: {problem}" for problem in _problems(parsed, options, has_ask=ask is not None)]
    # In a URL of NATS a user without a password is a token.
    is_token = parsed.user is not None and parsed.password is None and ask is None and OPTION not in options
    password = Password.of(parsed, ask, problems, fixed=parsed.user if is_token else options.get("token"))
    tls = None
    try:
        tls = encryption_of(parsed, encrypted=parsed.scheme == "tls", secure_scheme="tls")
    except ConfigurationError as error:
        problems += error.problems
    if problems:
        raise ConfigurationError(*problems)
    has_user = parsed.user is not None or parsed.password is not None
    login = {"user": parsed.user or ""} if has_user and not is_token else {}
    return Address(
        place=parsed.place,
        hosts=tuple((host or "127.0.0.1", port or _PORT) for host, port in parsed.hosts or (("", None),)),
        login={**login, **{FILES[name]: options[name] for name in FILES if name in options}},
        password=password,
        tls=tls,
        prefix=options.get("prefix", "sagabus"),
        replicas=int(options.get("replicas", "1")),
        is_synced="sync" in options,
        inbox=options.get("inbox", "_INBOX"),
        lease=float(options.get("lease", _LEASE)),
    )


def _problems(url: StoreUrl, options: Mapping[str, str], *, has_ask: bool) -> Iterator[str]:
    known = (*_OWN, *OPTIONS)
    if unknown := sorted(set(options) - set(known)):
        yield f"has the options {', '.join(unknown)}, which do not exist: the options are {', '.join(known)}"
    if url.path:
        yield "has a path: NATS has none, so remove it. What the streams are called is the option prefix"
    if not _PREFIX.fullmatch(options.get("prefix", "sagabus")):
        yield "the option prefix has 1 to 32 letters, digits, '_' or '-', and nothing else"
    if options.get("replicas", "1") not in _REPLICAS:
        yield f"the option replicas is one of {', '.join(_REPLICAS)}"
    if options.get("sync", "always") != "always":
        yield "the option sync has one value, always: it says that the server has sync_interval: always"
    if not _INBOX.fullmatch(options.get("inbox", "_INBOX")):
        yield "the option inbox is the first part of a subject, such as _INBOX"
    if options.get("lease", _LEASE) not in _LEASES:
        yield f"the option lease takes whole seconds from {_LEASES[0]} to {_LEASES[-1]}"
    yield from _of_login(url, options, has_ask=has_ask)


def _of_login(url: StoreUrl, options: Mapping[str, str], *, has_ask: bool) -> Iterator[str]:
    ways = [name for name in ("token", *FILES) if name in options]
    if url.user is not None or url.password is not None:
        ways.insert(0, "user")
    elif ways != ["token"] and (has_ask or OPTION in options):
        ways.insert(0, OPTION if OPTION in options else "password")
    if len(ways) > 1:
        yield f"says in {len(ways)} ways who connects ({', '.join(ways)}): keep one"
    for name in FILES:
        if name in options and not os.access(options[name], os.R_OK):
            yield f"the file of the option {name} cannot be read: correct its path or its permissions"
        if name in options and find_spec("nkeys") is None:
            yield f"the option {name} needs the package nkeys: pip install 'nats-py[nkeys]'"
