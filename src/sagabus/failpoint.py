"""Named places where a test can make this process die, fail, wait or be cancelled: at every stop of a message's way.

Switched by the environment variable `SAGABUS_FAILPOINTS`, so that child processes inherit it; without it a failpoint
costs one test for None. Entries are separated by `;`:

    commit.before_commit=kill9          at its first hit
    append.begun=raise:StoreFull@3      at its third hit only (`@3+`: from the third on)
    fetch.loaded=sleep:0.2%25;seed=7    at about a quarter of its hits, the same ones for the same seed

Actions that end or stop the process: `kill9` (SIGKILL to itself), `abort` (as a fault in native code), `stop` (SIGSTOP:
frozen until SIGCONT). Other actions: `cancel` (the current task; in a thread, a CancelledError), `sleep:<seconds>` and
`raise:<error>`, an error of `sagabus.errors` or a built-in one. At points named `after_…` the thing is done: raising
there is "done, then reported as failed".
"""

from __future__ import annotations

import asyncio
import builtins
import os
import signal
import threading
import time
from collections import Counter
from hashlib import blake2b
from typing import NamedTuple, NoReturn

from sagabus import errors

VARIABLE = "SAGABUS_FAILPOINTS"

NAMES = (
    "migrate.begun",
    "migrate.before_commit",
    "migrate.after_commit",
    "register.before_commit",
    "register.after_commit",
    "lease.taken",
    "append.received",
    "append.addressed",
    "append.begun",
    "append.inbox_written",
    "append.envelopes_written",
    "append.before_commit",
    "append.after_commit",
    "append.answered",
    "fetch.before_fetch",
    "fetch.fetched",
    "fetch.loaded",
    "fetch.dispatched",
    "handle.suspect_counted",
    "handle.entered",
    "handle.returned",
    "commit.gathered",
    "commit.begun",
    "commit.removed",
    "commit.saved",
    "commit.recorded",
    "commit.statements_run",
    "commit.sent_written",
    "commit.marked",
    "commit.before_commit",
    "commit.after_commit",
    "commit.settled",
    "unit.begun",
    "unit.handler_returned",
    "unit.before_commit",
    "unit.after_commit",
    "unit.ended",
    "dead_letter.written",
    "replay.closed",
    "replay.put_back",
    "replay.after_commit",
    "discard.closed",
    "discard.after_commit",
    "mend.begun",
    "mend.before_commit",
    "mend.after_commit",
    "erase.begun",
    "erase.before_commit",
    "erase.after_commit",
    "divide.begun",
    "divide.moved",
    "divide.before_commit",
    "divide.after_commit",
    "purge.selected",
    "purge.horizon_risen",
    "purge.deleted",
    "purge.before_commit",
    "purge.after_commit",
    "release.before",
    "release.after",
)
"""Every failpoint there is."""


class _Order(NamedTuple):
    """What is to happen at one name."""

    action: str
    argument: str
    first: int
    onwards: bool
    percent: int


class _Armed:
    """The failpoints that are switched on, and how often each has been hit."""

    def __init__(self, specification: str) -> None:
        self._orders: dict[str, _Order] = {}
        self._seed = ""
        self._hits: Counter[str] = Counter()
        self._lock = threading.Lock()
        for entry in filter(None, map(str.strip, specification.split(";"))):
            name, _, order = (part.strip() for part in entry.partition("="))
            if name == "seed":
                self._seed = order
            elif name in NAMES:
                self._orders[name] = _order(entry, order)
            else:
                raise _refusal(entry, f"there is no failpoint {name!r}; known are {', '.join(NAMES)}")

    def hit(self, name: str) -> None:
        order = self._orders.get(name)
        if order is None:
            return
        with self._lock:
            self._hits[name] += 1
            count = self._hits[name]
        due = count >= order.first if order.onwards else count == order.first
        if due and self._lucky(name, count, order.percent):
            _act(order)

    def _lucky(self, name: str, count: int, percent: int) -> bool:
        drawn = blake2b(f"{self._seed}:{name}:{count}".encode(), digest_size=4).digest()
        return int.from_bytes(drawn, "big") % 100 < percent


def hit(name: str) -> None:
    """Pass the named place; whatever was ordered for it happens here."""
    if _armed is not None:
        _armed.hit(name)


def arm(specification: str | None) -> None:
    """Switch failpoints on as the environment variable would, with all counts at 0. None or an empty text switches all
    off.

    Raises ConfigurationError for a name, action or error that does not exist.
    """
    global _armed  # noqa: PLW0603  # the one switch, so that a disabled failpoint costs one test for None
    _armed = _Armed(specification) if specification else None


def _order(entry: str, text: str) -> _Order:
    text, _, percent = text.partition("%")
    text, _, count = text.partition("@")
    action, _, argument = text.partition(":")
    onwards = count.endswith("+") or (not count and bool(percent))
    try:
        order = _Order(action, argument, int(count.rstrip("+") or 1), onwards, int(percent or 100))
    except ValueError:
        raise _refusal(entry, "a hit count is @<number> or @<number>+, a share of hits is %<number>") from None
    _check(entry, order)
    return order


def _check(entry: str, order: _Order) -> None:
    if order.action == "raise":
        _error(entry, order.argument)
    elif order.action == "sleep":
        try:
            float(order.argument)
        except ValueError:
            raise _refusal(entry, "sleep wants seconds, as in sleep:0.2") from None
    elif order.action not in _ACTIONS or order.argument:
        raise _refusal(
            entry, f"there is no action {order.action!r}; known are {', '.join(_ACTIONS)}, sleep:<s>, raise:<error>"
        )


def _error(entry: str, name: str) -> BaseException:
    found: object = getattr(errors, name, None) or getattr(builtins, name, None)
    if isinstance(found, type) and issubclass(found, BaseException):
        try:
            return found(f"failpoint {entry}")
        except TypeError:
            raise _refusal(entry, f"{name} is made from more than a text") from None
    raise _refusal(entry, f"there is no error {name!r} in sagabus.errors or among the built-in ones")


def _refusal(entry: str, why: str) -> errors.ConfigurationError:
    return errors.ConfigurationError(f"{VARIABLE}: {entry!r}: {why}")


def _act(order: _Order) -> None:
    if order.action == "raise":
        raise _error(order.argument, order.argument)
    if order.action == "sleep":
        time.sleep(float(order.argument))
    else:
        _ACTIONS[order.action]()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _abort() -> NoReturn:
    os.abort()


def _cancel() -> None:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # in the thread of a database connection
        task = None
    if task is None:
        raise asyncio.CancelledError("failpoint")
    task.cancel("failpoint")


_ACTIONS = {"kill9": _kill, "abort": _abort, "stop": _stop, "cancel": _cancel}
_armed: _Armed | None = None
arm(os.environ.get(VARIABLE))
