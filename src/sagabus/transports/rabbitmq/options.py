"""What the URL of a RabbitMQ says: `amqp://user:password@host:port,host2/virtual-host?options`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sagabus.errors import ConfigurationError
from sagabus.text import nearest
from sagabus.transports import encryption
from sagabus.transports.encryption import Encryption
from sagabus.transports.rabbitmq.management import MANAGEMENT_OPTION, Management, management_at
from sagabus.url.login import OPTION, Ask, Password
from sagabus.url.parsing import StoreUrl

PLAIN, SECURE = "amqp", "amqps"
_PORTS = {PLAIN: 5672, SECURE: 5671}
_OWN = ("heartbeat", "management", MANAGEMENT_OPTION, "prefix", OPTION)
_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_LONGEST_HEARTBEAT = 600


@dataclass(frozen=True, slots=True)
class Options:
    """Where to connect to, and how. Its `repr` shows nothing secret."""

    place: str
    hosts: tuple[tuple[str, int], ...]
    virtual_host: str
    user: str = field(repr=False)
    password: Password
    tls: Encryption | None
    heartbeat: int = 15
    """Seconds. After two of them without a sign of life the broker passes the queue to another process."""
    prefix: str = "sagabus"
    """The first part of all names at the broker."""
    management: Management | None = None


def options(url: StoreUrl, management: str | None = None, ask: Ask | None = None) -> Options:
    """Read a URL; ConfigurationError with all that is wrong with it. `management` is one besides, of its API. `ask`
    gives the password of each connection.
    """
    given = dict(url.options)
    problems = list(_unknown(url))
    heartbeat = given.get("heartbeat", "15")
    if not (heartbeat.isascii() and heartbeat.isdecimal() and 0 < int(heartbeat[:9]) <= _LONGEST_HEARTBEAT):
        problems.append(f"{url.place}: heartbeat is a number of seconds from 1 to {_LONGEST_HEARTBEAT}")
    prefix = given.get("prefix", "sagabus")
    if not _PREFIX.fullmatch(prefix):
        problems.append(f"{url.place}: prefix has 1 to 32 letters, digits, _ and -, and begins with a letter")
    if not url.hosts or not all(host for host, _ in url.hosts):
        problems.append(f"{url.place}: names no host: write {url.scheme}://user:password@host/virtual-host")
    tls = None
    try:
        tls = encryption.encryption_of(url, encrypted=url.scheme == SECURE, secure_scheme=SECURE)
    except ConfigurationError as error:
        problems += error.problems
    user, password = url.user or "guest", Password.of(url, ask, problems)
    password = password if password.is_given else Password.fixed("guest")
    api = None
    try:
        api = _management(url, management, user, password, tls)
    except ConfigurationError as error:
        problems += [f"{url.place}: management: {problem}" for problem in error.problems]
    if problems:
        raise ConfigurationError(*problems)
    return Options(
        url.place,
        tuple((host, port or _PORTS[url.scheme]) for host, port in url.hosts),
        url.path or "/",
        user,
        password,
        tls,
        int(heartbeat),
        prefix,
        api,
    )


def _management(
    url: StoreUrl, given: str | None, user: str, password: Password, tls: Encryption | None
) -> Management | None:
    named = dict(url.options)
    if given is not None and "management" in named:
        raise ConfigurationError("it is given twice: leave it out of the URL, or out of the call")
    address = named.get("management") if given is None else given
    if address is None:
        if MANAGEMENT_OPTION in named:
            raise ConfigurationError(f"{MANAGEMENT_OPTION} needs the address of the API: add management=")
        return None
    return management_at(address, user, password, tls=tls, trusted=named.get("tls") == "off", broker=url)


def _unknown(url: StoreUrl) -> list[str]:
    known = (*_OWN, *encryption.OPTIONS)
    problems: list[str] = []
    for name in dict.fromkeys(name for name, _ in url.options):
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near}? " if near else ""
            problems.append(f"{url.place}: has an option that is not known: {hint}known are {', '.join(sorted(known))}")
    return problems
