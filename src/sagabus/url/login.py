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
from time import monotonic
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


_Work: TypeAlias = "Future[_Answer | PasswordProblem] | asyncio.Task[_Answer | PasswordProblem]"


class _Left(NamedTuple):
    """A question that no one waits for any more."""

    work: _Work
    begun: float


@dataclass(slots=True)
class _Pauses:
    """Says whether one more question may begin, while others hang."""

    _left: list[_Left] = field(default_factory=list["_Left"])
    """Those that have not ended. It takes longer than it may before one counts: its caller may just have gone away."""
    _rounds: int = 0
    """How often questions have hung since the last answer; those that do so together count once."""
    _again: float = 0.0

    def may_ask(self, within: float) -> bool:
        """Whether a question that has so many seconds may begin now. While others hang, it is one after each pause."""
        self._left = [left for left in self._left if not left.work.done()]
        now = monotonic()
        late = [left.begun for left in self._left if now - left.begun >= within]
        if not late:
            return True
        if not self._rounds:
            self._pause(max(late), within)
        if now < self._again:
            return False
        self._pause(now, within)
        return True

    def leave(self, work: _Work, begun: float) -> None:
        """No one waits for this question any more."""
        self._left.append(_Left(work, begun))

    def end(self, begun: float) -> None:
        """A question was answered: those that hang since before it tell nothing of the next one."""
        self._left = [left for left in self._left if left.begun > begun]
        self._rounds, self._again = 0, 0.0

    def _pause(self, begun: float, within: float) -> None:
        self._rounds += 1
        self._again = begun + within + within * 2**self._rounds


@dataclass(frozen=True, slots=True, repr=False)
class _Answer:
    """What was given. Its `repr` shows nothing of it: in debug mode asyncio logs the results of tasks."""

    value: object


@dataclass(frozen=True, slots=True)
class Password:
    """Gives the password of each new connection. Its `repr` shows nothing of it."""

    is_given: bool = False
    """Whether there is one at all."""
    _fixed: str | None = field(default=None, repr=False)
    _ask: Callable[[], object] | None = field(default=None, repr=False)
    _what: str = field(default="", repr=False)
    _pauses: _Pauses = field(default_factory=_Pauses, repr=False, compare=False)

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
        if not self._pauses.may_ask(within):
            raise PasswordProblem(f"{self._what} is still being asked, and has not answered: let it end in time")
        found = await self._answered(self._ask, within)
        if isinstance(found, PasswordProblem):
            raise PasswordProblem(found.text)
        return _checked(found.value, self._what)

    async def _answered(self, ask: Callable[[], object], within: float) -> _Answer | PasswordProblem:
        begun = monotonic()
        thread = None if iscoroutinefunction(callables.called(ask)) else self._in_a_thread(ask)
        work = asyncio.get_running_loop().create_task(self._awaited(ask, thread))
        try:
            await asyncio.wait([work], timeout=within)
        finally:
            if not work.done():
                work.cancel()
                left = work if thread is None or thread.done() else thread
                self._pauses.leave(left, begun)
        if not work.done():
            return PasswordProblem(f"{self._what} has not answered within {within:g} s: let it end in time")
        self._pauses.end(begun)
        return self._raised(asyncio.CancelledError()) if work.cancelled() else work.result()

    async def _awaited(
        self, ask: Callable[[], object], thread: Future[_Answer | PasswordProblem] | None
    ) -> _Answer | PasswordProblem:
        try:
            found = _Answer(ask()) if thread is None else await asyncio.wrap_future(thread)
            if isinstance(found, _Answer) and isawaitable(found.value):
                found = _Answer(await found.value)
        except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001  # it is the user's code
            return self._raised(error)
        return found

    def _in_a_thread(self, ask: Callable[[], object]) -> Future[_Answer | PasswordProblem]:
        """The answer, asked in a thread that keeps no process alive: asyncio's own threads would, while it hangs."""
        answer: Future[_Answer | PasswordProblem] = Future()
        answer.set_running_or_notify_cancel()  # so that a caller that gives it up sees when it ends

        def run() -> None:
            found: _Answer | PasswordProblem
            try:
                found = _Answer(ask())
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
    if text.startswith("\ufeff"):  # editors add it unseen; PostgreSQL strips it, and other servers refuse the login
        raise PasswordProblem(f"{what} begins with a byte order mark: write the password without it")
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
