"""The password of a new connection: the one place that decides what it is, for every adapter.

It stands in the URL, or in a file that the URL names, or a function of the user's gives it. A file and a function are
asked for each new connection, and nothing is kept: a password that changes needs no restart. No text of this module
has a password in it, nor what a function raised, for that may repeat one.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass, field
from inspect import isawaitable, iscoroutinefunction
from pathlib import Path
from threading import Thread
from typing import NamedTuple, TypeAlias

from sagabus.introspection import callables
from sagabus.url.parsing import StoreUrl

OPTION = "password_file"
"""The option of a URL that names a file with the password."""
Ask: TypeAlias = Callable[[], str | Awaitable[str]]
"""A function that gives the password of a new connection. A plain one runs in a thread of its own."""
_LARGEST = 64 * 1024
"""Bytes: tokens have a few thousand."""


class PasswordProblem(Exception):
    """Why there is no password now. Adapters raise an error of their own with its text, which is safe to show."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class _Late(NamedTuple):
    """A question that was given up."""

    work: Future[object] | asyncio.Task[object]
    since: float
    """When, by the clock of event loops: all of them have the same."""


@dataclass(frozen=True, slots=True)
class Password:
    """Gives the password of each new connection. Its `repr` shows nothing of it."""

    is_given: bool = False
    """Whether there is one at all."""
    _fixed: str | None = field(default=None, repr=False)
    _ask: Callable[[], object] | None = field(default=None, repr=False)
    _what: str = field(default="", repr=False)
    _late: list[_Late] = field(default_factory=list["_Late"], repr=False, compare=False)
    """Questions that were given up, and had not ended."""

    @classmethod
    def fixed(cls, password: str) -> Password:
        """One that never changes."""
        return cls(is_given=True, _fixed=password)

    @classmethod
    def of(
        cls,
        url: StoreUrl,
        ask: Ask | None,
        problems: list[str],
        *,
        fixed: str | None = None,
        option: str = OPTION,
        options: StoreUrl | None = None,
    ) -> Password:
        """What a URL and a function say of it. `fixed` is one that stands in the URL; by default that of its login.
        `options`: another URL whose options count.

        Notes in `problems` what is wrong, such as a file that cannot be read. No problem has a value in it.
        """
        fixed = url.password if fixed is None else fixed
        paths = [value for name, value in (options or url).options if name == option]
        ways = ["in the login of the URL"] * (fixed is not None) + [f"by the option {option}"] * len(paths)
        ways += ["by a function"] * (ask is not None)
        if len(ways) > 1:
            problems.append(f"{url.place}: the password is given {' and '.join(ways)}: keep one")
        given: object = ask
        if given is not None and not callable(given):
            problems.append(
                f"{url.place}: the password is no function: give one that returns it, or write it into the URL"
            )
        if not paths:
            return cls(bool(ways), fixed, ask, "the function that gives the password")
        # Absolute, for a process may change its folder. Not resolved: Kubernetes changes what a link points to.
        path, what = Path(paths[0]).absolute(), f"the file of the option {option}"
        try:
            _checked(_content(path, what), what)
        except PasswordProblem as problem:
            problems.append(f"{url.place}: {problem.text}")
        return cls(is_given=True, _ask=lambda: _content(path, what), _what=what)

    async def current(self, within: float) -> str | None:
        """What the password is now; None without one. PasswordProblem where nothing says it within so many seconds.

        A question that is not answered in time is given up. Until it ends, others are seldom: the pauses between them
        double. So a function that hangs for ever is asked again, and leaves few threads.
        """
        if self._ask is None:
            return self._fixed
        self._late[:] = [late for late in self._late if not late.work.done()]
        if self._late and asyncio.get_running_loop().time() - self._late[-1].since < within * 2 ** len(self._late):
            raise PasswordProblem(f"{self._what} is still being asked, and has not answered: let it end in time")
        found = await self._answered(self._ask, within)
        if isinstance(found, PasswordProblem):
            raise PasswordProblem(found.text)
        return _checked(found, self._what)

    async def _answered(self, ask: Callable[[], object], within: float) -> object:
        thread = None if iscoroutinefunction(callables.called(ask)) else self._in_a_thread(ask)
        work: asyncio.Task[object] = asyncio.get_running_loop().create_task(self._awaited(ask, thread))
        try:
            await asyncio.wait([work], timeout=within)
        finally:
            if not work.done():
                work.cancel()
                left = work if thread is None or thread.done() else thread
                self._late.append(_Late(left, asyncio.get_running_loop().time()))
        if not work.done():
            return PasswordProblem(f"{self._what} has not answered within {within:g} s: let it end in time")
        return self._raised(asyncio.CancelledError()) if work.cancelled() else work.result()

    async def _awaited(self, ask: Callable[[], object], thread: Future[object] | None) -> object:
        try:
            found = ask() if thread is None else await asyncio.wrap_future(thread)
            return await found if isawaitable(found) else found
        except Exception as error:  # noqa: BLE001  # it is the user's code
            return self._raised(error)

    def _in_a_thread(self, ask: Callable[[], object]) -> Future[object]:
        """The answer, asked in a thread that keeps no process alive: asyncio's own threads would, while it hangs."""
        answer: Future[object] = Future()
        answer.set_running_or_notify_cancel()  # so that a caller that gives it up sees when it ends

        def run() -> None:
            try:
                found = ask()
            except PasswordProblem as problem:
                found = problem
            except BaseException as error:  # noqa: BLE001  # it is the user's code
                found = self._raised(error)
            answer.set_result(found)

        Thread(target=copy_context().run, args=(run,), name="sagabus-password", daemon=True).start()
        return answer

    def _raised(self, error: BaseException) -> PasswordProblem:
        """Its type only: its text may repeat a password, and so may those that are chained to it."""
        return PasswordProblem(f"{self._what} raised {type(error).__name__}: see what it asks, and log there why")


def _content(path: Path, what: str) -> str:
    """What a file says, without the one line break at its end."""
    problem, content = f"{what} cannot be read: correct its path or its permissions", b""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                problem = ""
                content = file.read(_LARGEST + 3)
    except OSError as error:
        problem = f"{what} cannot be read ({error.strerror}): correct its path or its permissions"
    if problem:
        raise PasswordProblem(problem)
    return _text(content, what)


def _text(content: bytes, what: str) -> str:
    try:
        text = content.decode()
    except ValueError:
        text = None
    if text is None:
        raise PasswordProblem(f"{what} is no UTF-8: write the password into it, and nothing else")
    return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")


def _without_waiting(path: str, flags: int) -> int:
    """A pipe that nothing writes to is no file either, and is not waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _checked(found: object, what: str) -> str:
    if not isinstance(found, str):
        raise PasswordProblem(f"{what} gave a value of the type {type(found).__name__}: it is to give a str")
    fault = ""
    if not found:
        fault = "is empty: write the password into it" if what.startswith("the file") else "gave an empty text"
    elif "\0" in found:
        fault = "gave a text with a NUL in it, which no password may hold"
    elif not _is_encodable(found):
        fault = "gave a text that has no form in UTF-8"
    elif len(found.encode()) > _LARGEST:
        fault = f"gave more than {_LARGEST // 1024} KiB, which is no password"
    if fault:
        raise PasswordProblem(f"{what} {fault}")
    return found


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
