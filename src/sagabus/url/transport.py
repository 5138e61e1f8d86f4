"""The URL of a transport, taken apart as carefully as that of a store: nothing secret in it is ever shown."""

from __future__ import annotations

import re

from sagabus.errors import ConfigurationError
from sagabus.text import nearest
from sagabus.url.adapters import TRANSPORTS, schemes
from sagabus.url.parsing import StoreUrl, UrlProblem, server_parts

OURS = ("memory", "amqp", "amqps", "nats", "tls", "redis", "rediss", "valkey", "valkeys")
"""Schemes of our own transports; installed packages may bring more."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def parsed_transport(url: object) -> StoreUrl:
    """Take the URL of a transport apart; ConfigurationError, without a part of it, for a text that cannot be one.

    What is raised has no cause and no context: Python's own words about a URL repeat it.
    """
    problem = ""
    try:
        found = _read(url)
    except UrlProblem as error:
        problem, found = error.text, None
    if found is None:
        raise ConfigurationError(problem)
    return found


def parsed_web(url: object) -> StoreUrl:
    """Take the URL of a web server apart: `http` or `https`, and one host. Promises as for `parsed_transport`."""
    problem = "write http://host:port or https://host:port, with user:password@ before the host if need be"
    text = url if isinstance(url, str) and url.isprintable() and not set(url) & set(" ?#") else ""
    match = _SCHEME.match(text)
    if match is not None and match[1].lower() in ("http", "https"):
        try:
            found = server_parts(match[1].lower(), text[match.end() :])
        except UrlProblem as error:
            problem = error.text
        else:
            if len(found.hosts) == 1 and found.hosts[0][0]:
                return found
    raise ConfigurationError(problem)


def _read(url: object) -> StoreUrl:
    if not isinstance(url, str):
        raise UrlProblem(f"a transport's URL is a text, not {type(url).__name__}: use {_forms()}")
    if not url.isprintable() or url != url.strip() or not url:
        raise UrlProblem("the transport's URL is empty, or has a blank at an end or an unprintable character")
    match = _SCHEME.match(url)
    scheme = match[1].lower() if match else ""
    known = (*OURS, *schemes(TRANSPORTS))
    if match is None or scheme not in known:
        near = nearest(scheme, known)
        hint = f"did you mean {near}:? It is not shown, since it may hold a password. Use" if near else "use"
        raise UrlProblem(f"what was given begins with no scheme of a transport that is installed: {hint} {_forms()}")
    rest = url[match.end() :]
    if scheme != "memory":
        return server_parts(scheme, rest)
    name = rest.removeprefix("//")
    if name == rest or not _NAME.fullmatch(name):
        raise UrlProblem("the URL of a broker in memory has a name and nothing else: write memory://name")
    return StoreUrl("memory", f"memory://{name}", path=name)


def _forms() -> str:
    others = [f"{scheme}://…" for scheme in schemes(TRANSPORTS) if scheme not in OURS]
    return ", ".join(
        ["memory://name", "amqp://user:password@host/virtual-host", "nats://host", "redis://host", *others]
    )
