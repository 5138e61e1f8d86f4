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
from sagabus.url.parsing import StoreUrl
from sagabus.url.transport import parsed_transport

Host: TypeAlias = tuple[str, int]
"""Its name, and the port."""
PORT = 6379
_PREFIX = "sagabus"
_LEASE = 5.0
_ENCRYPTED = {"rediss": True, "valkeys": True, "redis": False, "valkey": False}
_OWN = ("lease", "prefix")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HIGHEST_DATABASE = 1 << 31
_LEASES = (1.0, 60.0)
"""Seconds, the shortest and the longest."""


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
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    is_encrypted: bool = False
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of certificates, by the options that name them."""


def read(url: str) -> Options:
    """The options of a URL; ConfigurationError with all problems of one that cannot be used."""
    parsed = parsed_transport(url)
    given = dict(parsed.options)
    is_encrypted = _ENCRYPTED[parsed.scheme]
    problems = list(_problems(parsed, given))
    try:
        secure = parsed.scheme if is_encrypted else f"{parsed.scheme}s"
        encryption.tls_context(parsed, encrypted=is_encrypted, secure_scheme=secure)
    except ConfigurationError as error:
        problems += error.problems
    if problems:
        raise ConfigurationError(*problems)
    prefix = given.get("prefix", _PREFIX)
    return Options(
        place=parsed.place,
        hosts=tuple((host or "127.0.0.1", port or PORT) for host, port in parsed.hosts or (("", None),)),
        database=int(parsed.path or 0),
        names=Names(prefix),
        prefix=prefix,
        lease=float(given.get("lease", _LEASE)),
        user=parsed.user,
        password=parsed.password,
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
    if not _NAME.fullmatch(given.get("prefix", _PREFIX)):
        yield f"{url.place}: the option prefix has at most 64 letters, digits, '.', '_' and '-': correct it"
    shortest, longest = _LEASES
    if not _is_number(given.get("lease", "5"), int(longest)) or float(given.get("lease", _LEASE)) < shortest:
        yield f"{url.place}: the option lease takes whole seconds from {shortest:g} to {longest:g}"
    if url.user is not None and url.password is None:
        yield f"{url.place}: a user needs a password: write user:password@, or leave the user out"


def _is_number(text: str, highest: int) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 11 and int(text) <= highest
