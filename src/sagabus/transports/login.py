"""The password of a new connection to a broker, and what a transport raises where there is none."""

from __future__ import annotations

from sagabus.errors import ConfigurationError
from sagabus.url.login import Password, PasswordProblem


async def password_now(password: Password, place: str, within: float) -> str | None:
    """What it is now; None without one. ConfigurationError where nothing says it within so many seconds: a bus that
    opens is refused, and one that runs tries again.
    """
    try:
        return await password.current(within)
    except PasswordProblem as problem:
        text = problem.text
    raise ConfigurationError(f"{place}: {text}")
