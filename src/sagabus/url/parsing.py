"""The URL of a store, taken apart in one place, so that nothing secret in it is ever shown.

A mistyped URL may have its password in any part. A `/` in a password ends the host, and without a scheme the user
becomes one. So a text that does not read as a URL is not shown at all, and of one that does only `place` is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from sagabus.errors import ConfigurationError
from sagabus.text import nearest
from sagabus.url.adapters import STORES, schemes

FORMS = (
    "sqlite:///relative/path.db, sqlite:////absolute/path.db, postgresql://user@host/database, "
    "mysql://user@host/database, mariadb://user@host/database, or memory:"
)
"""What the URL of one of our own stores may look like, for error texts."""

POSTGRES = ("postgresql", "postgres")
MYSQL = ("mysql", "mariadb")
SCHEMES = ("sqlite", *POSTGRES, *MYSQL, "memory")
"""Of our own stores; installed packages may bring more."""

# Only names that stand here are shown again: the scheme of a URL without one is the user, or the password.
_FOREIGN = frozenset(
    {"amqp", "amqps", "cockroachdb", "file", "http", "https", "kafka", "mongodb", "mssql", "nats", "oracle", "redis"}
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_PARTS = re.compile(r"//([^/?]*)(/[^?]*)?(?:\?(.*))?", re.DOTALL)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[\w.~%-]*)(?::([0-9]{1,5}))?")
_CREDENTIALS = re.compile(r"(?!//?[A-Za-z]:[/\\])[^:]*:.*@", re.DOTALL)
_BARE = re.compile(r"[\w+.-]*:/*")
"""A scheme with its slashes, and nothing that could be secret; our own texts repeat it."""
_HIGHEST_PORT = 65535
_PATHS = {"amqp": "virtual-host", "amqps": "virtual-host", "nats": "", "tls": "", "http": "", "https": ""}
"""What the path of a server's URL names, where that is no database."""
_ESCAPES = "in a user, a password or a name write %2F for '/', %3F for '?', %23 for '#', %40 for '@', %25 for '%'"


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """A URL that reads as one. Its `repr` shows no user, no password and no option."""

    scheme: str
    place: str
    """The URL without user, password and options: for errors, logs and tables."""
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    hosts: tuple[tuple[str, int | None], ...] = ()
    """Each without brackets, and with its port if the URL names one."""
    path: str = ""
    """Decoded, without the slash in front: the database, or the file."""
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return self.place


def parsed(url: object) -> StoreUrl:
    """Take a URL apart; ConfigurationError, without a part of the URL in it, for a text that cannot be one.

    What is raised has no cause and no context: Python's own words about a URL repeat it.
    """
    problem, found = _attempt(url)
    if found is None:
        raise ConfigurationError(problem)
    return found


def scheme_of(url: str) -> str:
    """The scheme of a URL that names a store, in lower case; ConfigurationError for any other."""
    return parsed(url).scheme


def shown(url: object) -> str:
    """The URL, or what was given as one, as it may be shown: its place, or not a part of it."""
    return getattr(_attempt(url)[1], "place", "the URL")


def _attempt(url: object) -> tuple[str, StoreUrl | None]:
    try:
        return "", _read(url)
    except UrlProblem as problem:
        return problem.text, None


class UrlProblem(Exception):
    """What is wrong with a URL. It never leaves this package: what is raised instead has no part of the URL in it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def _read(url: object) -> StoreUrl:
    text = _clean(url)
    if text.lower() == "memory:":
        return StoreUrl("memory", "memory:")
    scheme, rest = _scheme(text)
    if scheme == "memory":
        raise UrlProblem("the store's URL: write memory: alone, nothing follows it")
    if scheme == "sqlite":
        return _file(*_split(scheme, rest))
    return server_parts(scheme, rest)


def _clean(url: object) -> str:
    if not isinstance(url, str):
        raise UrlProblem(f"a store's URL is a text, not {_a(type(url).__name__)}: use {_forms()}")
    if not url.strip():
        raise UrlProblem(f"the store's URL is empty, which is no store URL: use {_forms()}")
    if not url.isprintable() or url != url.strip():
        raise UrlProblem(
            "the store's URL has a blank at an end, a line break, or another unprintable character: "
            "remove it, or write it as %XX"
        )
    return url


def _scheme(text: str) -> tuple[str, str]:
    found = _SCHEME.match(text)
    scheme = found[1].lower() if found else ""
    if found and (scheme in SCHEMES or scheme in schemes(STORES)):
        return scheme, text[found.end() :]
    base, plus, _ = scheme.partition("+")
    known = (*SCHEMES, *schemes(STORES))
    if plus and base in known:
        raise UrlProblem(
            f"the store's URL names a driver behind {base}+, as SQLAlchemy's URLs do: write {base}:// instead, "
            f"the bus chooses the driver; {_example(base)}"
        )
    if base in _FOREIGN:
        raise UrlProblem(f"no store is known for {base + ':'!r}: use {_forms()}")
    near = nearest(scheme, known)
    hint = f"did you mean {near}:? It is not shown, since it may hold a password. Use" if near else "use"
    raise UrlProblem(f"what was given is no store URL, for it begins with no scheme of a store: {hint} {_forms()}")


def _forms() -> str:
    """What a store's URL may look like here: with the schemes of installed packages."""
    others = [f"{scheme}://…" for scheme in schemes(STORES) if scheme not in SCHEMES]
    return f"{FORMS}; installed packages bring {', '.join(others)}" if others else FORMS


def _split(scheme: str, rest: str) -> tuple[str, str, str | None]:
    """What stands between the scheme and its slashes, the path, and what follows a question mark, if one does."""
    if "#" in rest:
        raise UrlProblem(f"the {scheme} URL holds a '#', which begins no part of it: {_ESCAPES}")
    if (parts := _PARTS.fullmatch(rest)) is None:
        raise UrlProblem(f"the {scheme} URL lacks its slashes: write {_example(scheme)}")
    return parts[1], parts[2] or "", parts[3]


def _file(authority: str, path: str, query: str | None) -> StoreUrl:
    if authority:
        raise UrlProblem(
            "the sqlite URL has a host, but a file takes three slashes (relative) or four (absolute): "
            "write sqlite:///path.db or sqlite:////path.db"
        )
    if query is not None:
        raise UrlProblem("a sqlite URL takes no options: in the name of a file write %3F for '?'")
    if _CREDENTIALS.match(path):
        raise UrlProblem(
            "the sqlite URL seems to have a user and a password. Write postgresql:// or mysql:// for a server, "
            "or %40 for an '@' in the name of a file"
        )
    name = _decoded(path.removeprefix("/"), "sqlite")
    if not name:
        raise UrlProblem(f"the sqlite URL names no file: use {_forms()}")
    if name == ":memory:":
        raise UrlProblem("the sqlite URL names no file: write memory: for a store in memory")
    return StoreUrl("sqlite", f"sqlite://{path}", path=name)


def server_parts(scheme: str, rest: str) -> StoreUrl:
    """The URL of a server, of which the scheme is known; `rest` is what follows the colon. Raises UrlProblem."""
    authority, path, query = _split(scheme, rest)
    query = query or ""
    if "@" in path or "@" in query:
        raise UrlProblem(f"the {scheme} URL has an '@' behind its host, so that its password may be cut: {_ESCAPES}")
    login, at, named = authority.rpartition("@")
    user, colon, password = login.partition(":")
    try:
        options = parse_qsl(query, keep_blank_values=True, errors="strict")
    except ValueError:
        raise UrlProblem(f"the {scheme} URL has options that are no UTF-8: {_ESCAPES}") from None
    if any("\0" in part for option in options for part in option):
        raise UrlProblem(f"the {scheme} URL has an option with a NUL in it: remove %00")
    return StoreUrl(
        scheme,
        f"{scheme}://{named}{path}",
        user=_decoded(user, scheme) if at and user else None,
        password=_decoded(password, scheme) if colon else None,
        hosts=_hosts(scheme, named),
        path=_decoded(path.removeprefix("/"), scheme),
        options=tuple(options),
    )


def _hosts(scheme: str, named: str) -> tuple[tuple[str, int | None], ...]:
    found = [_HOST.fullmatch(host) for host in named.split(",")] if named else []
    hosts = [(match[1].strip("[]"), int(match[2]) if match[2] else None) for match in found if match]
    if len(hosts) < len(found) or any(port is not None and not 0 < port <= _HIGHEST_PORT for _, port in hosts):
        raise UrlProblem(
            f"the {scheme} URL has an invalid host or port: write {_example(scheme)}, an IPv6 address in "
            f"brackets, a port from 1 to {_HIGHEST_PORT}; {_ESCAPES}"
        )
    return tuple(hosts)


def _decoded(text: str, scheme: str) -> str:
    try:
        found = unquote(text, errors="strict")
    except ValueError:
        raise UrlProblem(f"the {scheme} URL has escapes (%XX) that are no UTF-8: {_ESCAPES}") from None
    if "\0" in found:
        raise UrlProblem(f"the {scheme} URL has a NUL in it, which no name may hold: remove %00")
    return found


def _example(scheme: str) -> str:
    if scheme in {"sqlite", "memory"}:
        return "sqlite:///path.db" if scheme == "sqlite" else "memory:"
    server, path = f"{scheme}://user:password@host", _PATHS.get(scheme, "database")
    return f"{server}/{path}" if path else server


def _a(name: str) -> str:
    return f"an {name}" if name[:1].lower() in "aeio" else f"a {name}"


def may_hold_a_password(text: str) -> bool:
    """Whether a text that was typed looks like a URL, or like a part of one."""
    if _BARE.fullmatch(text):
        return False
    return ":/" in text or _CREDENTIALS.match(text) is not None


def with_option(url: str, name: str, value: str) -> str:
    """The URL with one option more."""
    return f"{url}{'&' if '?' in url else '?'}{name}={value}"


def without(url: StoreUrl, names: Sequence[str]) -> list[tuple[str, str]]:
    """The options of a URL but those."""
    return [(name, value) for name, value in url.options if name not in names]
