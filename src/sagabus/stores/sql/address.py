"""The URL of a store on a server: the driver's part, and the bus's own options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sagabus.errors import StoreUnavailable
from sagabus.stores.sql.dialect import quoted
from sagabus.url import POSTGRES, StoreUrl, parsed, without
from sagabus.url.login import OPTION, Ask, Password, PasswordProblem

OWN = ("schema", "prefix", "pool", "deadline", "pooler", "notify", OPTION)
"""The options that the bus reads; the driver gets the others."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address, taken apart; ConfigurationError for one that cannot be, and for names that are none."""

    url: StoreUrl
    options: Mapping[str, str] = field(repr=False)
    """What the driver is given, of the URL's options."""
    schema: str | None
    prefix: str
    pool: int
    deadline: float
    pooler: bool
    """A transaction pooler is between."""
    notify: bool
    """Processes give each other hints."""
    password: Password
    """Of new connections."""
    problems: Sequence[str]
    """What is wrong with it so far. The driver's part raises ConfigurationError for all problems at once."""

    @property
    def place(self) -> str:
        """The same without user, password and options, for messages."""
        return self.url.place

    async def password_now(self) -> str | None:
        """The password of one new connection; None without one. StoreUnavailable where nothing says it now.

        Half of the deadline is for it, so that the server has the other half.
        """
        try:
            return await self.password.current(self.deadline / 2)
        except PasswordProblem as problem:
            text = problem.text
        raise StoreUnavailable(f"{self.place}: {text}", store=self.place)

    @classmethod
    def of(cls, url: str, password: Ask | None = None) -> Address:
        """Take a URL apart. `password` is asked for that of each new connection."""
        found = parsed(url)
        own = {name: value for name, value in found.options if name in OWN}
        prefix = own.get("prefix", "sagabus_")
        quoted(prefix + "dead_letter_closed", '"')
        if "schema" in own:
            quoted(own["schema"], '"')
        options = dict(without(found, OWN))
        # Of libpq; the login of the URL goes first.
        fixed = options.pop("password", None) if found.scheme in POSTGRES else None
        problems: list[str] = []
        return cls(
            url=found,
            options=options,
            schema=own.get("schema"),
            prefix=prefix,
            pool=int(_number(own, "pool", 8, problems, least=2)),
            deadline=_number(own, "deadline", 30.0, problems, least=0.1),
            pooler=_number(own, "pooler", 0, problems, least=0) > 0,
            notify=_number(own, "notify", 0, problems, least=0) > 0,
            password=Password.of(found, password, problems, fixed=fixed if found.password is None else None),
            problems=problems,
        )


def _number(own: dict[str, str], name: str, default: float, problems: list[str], *, least: float) -> float:
    # The value is not shown: after a mistake in the URL it may be the rest of a password.
    try:
        value = float(own.get(name, default))
    except ValueError:
        value = -1.0
    if least <= value < float("inf"):
        return value
    problems.append(f"the option {name} of the store's URL must be a number from {least:g}")
    return default
