"""The URL of a store on a server: the driver's part, and the bus's own options."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from sagabus.errors import ConfigurationError
from sagabus.stores.sql.dialect import quoted

_OWN = ("schema", "prefix", "pool", "deadline", "pooler", "notify")


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address, taken apart; ConfigurationError for one that cannot be."""

    dsn: str
    """What the driver is given."""
    place: str
    """The same without user and password, for messages."""
    schema: str | None
    prefix: str
    pool: int
    deadline: float
    pooler: bool
    """A transaction pooler is between."""
    notify: bool
    """Processes give each other hints."""

    @classmethod
    def of(cls, url: str) -> Address:
        """Take a URL apart."""
        parts = urlsplit(url)
        given = parse_qsl(parts.query, keep_blank_values=True)
        own = {name: value for name, value in given if name in _OWN}
        theirs = urlencode([(name, value) for name, value in given if name not in _OWN])
        hosts = ",".join(_host(f"{parts.scheme}://{host}") for host in parts.netloc.rpartition("@")[2].split(","))
        prefix = own.get("prefix", "sagabus_")
        quoted(prefix + "dead_letter_closed", '"')
        if "schema" in own:
            quoted(own["schema"], '"')
        return cls(
            dsn=urlunsplit(parts._replace(query=theirs)),
            place=f"{parts.scheme}://{hosts}{parts.path}",
            schema=own.get("schema"),
            prefix=prefix,
            pool=int(_number(own, "pool", 8, least=2)),
            deadline=_number(own, "deadline", 30.0, least=0.1),
            pooler=_number(own, "pooler", 0, least=0) > 0,
            notify=_number(own, "notify", 0, least=0) > 0,
        )


def _host(url: str) -> str:
    """One of the hosts, of which PostgreSQL's addresses may have several, with its port."""
    parts = urlsplit(url)
    try:
        return (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
    except ValueError as error:
        raise ConfigurationError(f"the store's URL has a port that is none: {error}") from None


def _number(own: dict[str, str], name: str, default: float, *, least: float) -> float:
    try:
        value = float(own.get(name, default))
    except ValueError:
        value = -1.0
    if value < least:
        raise ConfigurationError(
            f"the option {name}={own.get(name)} of the store's URL must be a number from {least:g}"
        )
    return value
