"""From a URL to what a connection is made with. Nothing secret in it is ever shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from sagabus.errors import ConfigurationError
from sagabus.text import known_names
from sagabus.transports import encryption
from sagabus.transports.redis.names import Names
from sagabus.url.login import OPTION, Ask, Password
from sagabus.url.parsing import StoreUrl
from sagabus.url.transport import parsed_transport

Host: TypeAlias = tuple[str, int]
"""Its name, and the port."""
PORT = 6379
SENTINEL_PORT = 26379
_PREFIX = "sagabus"
_LEASE = 5.0
_ENCRYPTED = {"rediss": True, "valkeys": True, "redis": False, "valkey": False}
_OWN = ("lease", OPTION, "prefix", "sentinel", "wait")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HIGHEST_DATABASE = 1 << 31
_DIGITS = 11
_LEASES = (1, 60)
"""Seconds, the shortest and the longest."""
_MOST_REPLICAS = 100


@dataclass(frozen=True, slots=True)
class Options:
    """What the URL says. Its `repr` shows no user and no password."""

    place: str
    hosts: tuple[Host, ...]
    database: int
    names: Names
    prefix: str
    lease: float
    """Seconds for which a link may be silent before another one of its service receives."""
    wait: int
    """How many replicas must have what is sent before it counts as confirmed."""
    sentinel: str | None
    """What the Sentinels at the hosts call the server; None where the hosts are servers."""
    user: str | None = field(default=None, repr=False)
    password: Password = field(default_factory=Password)
    is_encrypted: bool = False
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of certificates, by the options that name them."""


def read(url: str, ask: Ask | None = None) -> Options:
    """The options of a URL; ConfigurationError with all problems of one that cannot be used. `ask` gives the password
    of each connection.
    """
    parsed = parsed_transport(url)
    given = dict(parsed.options)
    is_encrypted = _ENCRYPTED[parsed.scheme]
    problems = list(_problems(parsed, given))
    password = Password.of(parsed, ask, problems)
    if parsed.user is not None and not password.is_given:
        problems.append(f"{parsed.place}: a user needs a password: write user:password@, or leave the user out")
    try:
        secure = parsed.scheme if is_encrypted else f"{parsed.scheme}s"
        encryption.encryption_of(parsed, encrypted=is_encrypted, secure_scheme=secure)
    except ConfigurationError as error:
        problems += error.problems
    if problems:
        raise ConfigurationError(*problems)
    prefix, sentinel = given.get("prefix", _PREFIX), given.get("sentinel")
    usual = PORT if sentinel is None else SENTINEL_PORT
    return Options(
        place=parsed.place,
        hosts=tuple((host or "127.0.0.1", port or usual) for host, port in parsed.hosts or (("", None),)),
        database=int(parsed.path or 0),
        names=Names(prefix),
        prefix=prefix,
        lease=float(given.get("lease", _LEASE)),
        wait=int(given.get("wait", 0)),
        sentinel=sentinel,
        user=parsed.user,
        password=password,
        is_encrypted=is_encrypted,
        files={name: given[name] for name in ("ca", "cert", "key") if name in given},
    )


def _problems(url: StoreUrl, given: Mapping[str, str]) -> Iterator[str]:
    known = (*_OWN, *encryption.OPTIONS)
    for name in given:
        if name not in known:
            yield f"{url.place}: the option {name!r} is unknown{known_names(name, known)}"
    if not _is_number(url.path or "0", _HIGHEST_DATABASE):
        yield f"{url.place}: the path is the number of a database: write /0, or nothing"
    for problem in _values(given):
        yield f"{url.place}: the option {problem}"


def _values(given: Mapping[str, str]) -> Iterator[str]:
    for name in ("prefix", "sentinel"):
        if name in given and not _NAME.fullmatch(given[name]):
            yield f"{name} has at most 64 letters, digits, '.', '_' and '-': correct it"
    shortest, longest = _LEASES
    if not _is_number(given.get("lease", "5"), longest, lowest=shortest):
        yield f"lease takes whole seconds from {shortest} to {longest}"
    if not _is_number(given.get("wait", "0"), _MOST_REPLICAS):
        yield f"wait takes a number of replicas, at most {_MOST_REPLICAS}"


def _is_number(text: str, highest: int, *, lowest: int = 0) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < _DIGITS and lowest <= int(text) <= highest
