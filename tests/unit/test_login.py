"""The password of a new connection: where it comes from, what cannot be one, and that nothing of it is shown."""

import asyncio
import functools
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.waiting import until
from tests.unit.test_url import everything_of

from sagabus.errors import ConfigurationError
from sagabus.stores.mysql import MysqlStore
from sagabus.stores.postgres import PostgresStore
from sagabus.url import parsed
from sagabus.url.login import Password, PasswordProblem

SECRET = "S3cr3tW0rd"
PATIENCE = 20.0
LARGEST = 64 * 1024


def password_at(url: str, ask: Any = None) -> Password:
    """The password of a URL that has no problem."""
    problems: list[str] = []
    found = Password.of(parsed(url), ask, problems)
    assert problems == []
    return found


def asking(ask: Any) -> Password:
    return password_at("mysql://u@h/d", ask)


def in_file(file: Path) -> Password:
    return password_at(f"mysql://u@h/d?password_file={file}")


def now(password: Password) -> str | None:
    return asyncio.run(password.current(PATIENCE))


def problem_of(password: Password, within: float = PATIENCE) -> str:
    """Why there is no password now, said without anything that is chained to it."""
    with pytest.raises(PasswordProblem) as caught:
        asyncio.run(password.current(within))
    assert SECRET not in everything_of(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
    return caught.value.text


def test_it_is_that_of_the_url_or_none() -> None:
    assert now(password_at(f"mysql://u:{SECRET}@h/d")) == SECRET
    assert now(password_at("mysql://u@h/d")) is None
    assert not password_at("mysql://u@h/d").is_given


def test_a_function_is_asked_for_each_connection() -> None:
    words = iter(["one", "two", "three"])

    async def later() -> str:
        return next(words)

    class Called:
        async def __call__(self) -> str:
            return next(words)

    asks = (functools.partial(next, words), later, Called())
    assert [now(asking(each)) for each in asks] == ["one", "two", "three"]


def test_a_plain_function_runs_in_a_thread_that_keeps_no_process() -> None:
    threads: list[threading.Thread] = []

    def ask() -> str:
        threads.append(threading.current_thread())
        return SECRET

    assert now(asking(ask)) == SECRET
    assert threads[0] is not threading.main_thread()
    assert threads[0].daemon


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_one_line_break_at_the_end_of_a_file_is_none_of_the_password(end: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(f" {SECRET}\n{end}".encode() if end else SECRET.encode())

    assert now(in_file(file)) == (f" {SECRET}\n" if end else SECRET)


def test_a_file_is_read_for_each_connection_and_through_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "password").write_text(name)
    (tmp_path / "data").symlink_to("old")
    monkeypatch.chdir(tmp_path)
    password = password_at("mysql://u@h/d?password_file=data/password")

    assert now(password) == "old"
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").replace(tmp_path / "data")  # as Kubernetes changes a mounted secret
    monkeypatch.chdir("/")

    assert now(password) == "new"


@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=50))
def test_any_text_may_be_a_password_and_comes_as_it_is(text: str) -> None:
    assert now(asking(lambda: text)) == text


@given(content=st.binary(max_size=20), end=st.sampled_from([b"", b"\n", b"\r\n", b"\n\n"]))
def test_a_file_gives_what_is_in_it_or_says_why_not(content: bytes, end: bytes, tmp_path_factory: Any) -> None:
    file = tmp_path_factory.getbasetemp() / "any-content"
    file.write_text("first")
    password = in_file(file)
    file.write_bytes(content + end)

    try:
        found = now(password)
    except PasswordProblem:
        return
    assert found
    assert found.encode() in (content + end, (content + end)[:-1], (content + end)[:-2])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\r\n", "is empty"),
        (SECRET.encode() + b"\xff", "no UTF-8"),
        (SECRET.encode() + b"\0", "a NUL"),
        (b"\xef\xbb\xbf" + SECRET.encode(), "a byte order mark"),  # one server strips it, others refuse the login
        (SECRET.encode() * 10_000, "64 KiB"),
        (b"a" * (LARGEST + 1), "64 KiB"),
    ],
)
def test_what_can_be_no_password_is_said_when_it_is_made_and_when_it_is_read(
    content: bytes, why: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("first")
    password = in_file(file)
    file.write_bytes(content)
    problems: list[str] = []
    Password.of(parsed(f"mysql://u@h/d?password_file={file}"), None, problems)

    assert why in problem_of(password)
    assert len(problems) == 1
    assert why in problems[0]
    assert SECRET not in problems[0]


def test_the_largest_file_is_a_password(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"a" * LARGEST + b"\r\n")

    assert now(in_file(file)) == "a" * LARGEST


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "missing", Path("/dev/zero"), tmp_path / ("n" * 300)):
        problems: list[str] = []
        Password.of(parsed(f"mysql://u@h/d?password_file={path}"), None, problems)

        assert "the file of the option password_file cannot be read" in problems[0]
        assert path.name not in problems[0]


def test_only_one_way_may_say_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text(SECRET)
    problems: list[str] = []

    Password.of(parsed(f"mysql://u:{SECRET}@h/d?password_file={file}"), lambda: SECRET, problems)
    Password.of(parsed(f"mysql://u@h/d?password_file={file}&password_file={file}"), None, problems)
    Password.of(parsed("mysql://u@h/d"), SECRET, problems)  # type: ignore[arg-type]  # on purpose

    ways = "in the login of the URL and by the option password_file and by a function"
    assert problems == [
        f"mysql://h/d: the password is given {ways}: keep one",
        "mysql://h/d: the password is given by the option password_file and by the option password_file: keep one",
        "mysql://h/d: the password is no function: give one that returns it, or write it into the URL",
    ]


def test_a_store_says_all_that_is_wrong_with_it_at_once() -> None:
    options = "pool=1&deadline=x&password_file=/no/such/file"
    for make, more in (
        (PostgresStore, "sslkey=/no/such/key&sslcert=/no/such/cert"),
        (MysqlStore, "ssl_ca=/no/such/authority&what=x"),
    ):
        scheme = "mysql" if make is MysqlStore else "postgresql"
        with pytest.raises(ConfigurationError) as caught:
            make(f"{scheme}://u:{SECRET}@h/d?{options}&{more}")

        assert len(caught.value.problems) == 6
        assert SECRET not in everything_of(caught.value)


class Token(ValueError):
    """Of a library of the user's."""


def raising(error: BaseException) -> Callable[[], str]:
    def ask() -> str:
        try:
            raise KeyError(SECRET)
        except KeyError:
            raise error from RuntimeError(SECRET)

    return ask


@pytest.mark.parametrize(
    "error", [Token(SECRET), StopIteration(SECRET), SystemExit(SECRET), asyncio.CancelledError(SECRET)], ids=repr
)
def test_what_a_function_raises_is_said_by_its_type_only(error: BaseException) -> None:
    assert f"raised {type(error).__name__}" in problem_of(asking(raising(error)))


class Given(BaseException):
    """As some libraries have them for time-outs."""


@pytest.mark.parametrize(
    "error", [Token(SECRET), asyncio.CancelledError(SECRET), Given(SECRET), SystemExit(SECRET)], ids=repr
)
def test_so_is_what_a_coroutine_raises(error: BaseException) -> None:
    async def ask() -> str:
        return raising(error)()

    assert f"raised {type(error).__name__}" in problem_of(asking(ask))


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, "a value of the type NoneType"),
        (SECRET.encode(), "a value of the type bytes"),
        ("", "an empty text"),
        (f"{SECRET}\0", "a NUL"),
        (f"{SECRET}\udc80", "no form in UTF-8"),
        (SECRET * 10_000, "64 KiB"),
    ],
)
def test_what_a_function_gives_must_be_a_password(found: Any, why: str) -> None:
    assert why in problem_of(asking(lambda: found))


def test_no_part_of_it_is_in_its_repr(tmp_path: Path) -> None:
    file = tmp_path / SECRET
    file.write_text(SECRET)

    for each in (password_at(f"mysql://u:{SECRET}@h/d"), in_file(file), asking(lambda: SECRET)):
        assert SECRET not in f"{each!r} {each}"


async def test_a_question_that_hangs_is_given_up_and_no_second_one_begins_meanwhile() -> None:
    may_end, asked = threading.Event(), 0

    def ask() -> str:
        nonlocal asked
        asked += 1
        may_end.wait(PATIENCE)
        return SECRET

    password = asking(ask)
    with pytest.raises(PasswordProblem, match=r"has not answered within 0\.2 s"):
        await password.current(0.2)
    with pytest.raises(PasswordProblem, match="still being asked"):
        await password.current(0.2)
    assert asked == 1
    may_end.set()

    async def answers() -> bool:
        try:
            return await password.current(PATIENCE) == SECRET
        except PasswordProblem:
            return False

    await until(answers)
    assert asked == 2


async def test_one_that_hangs_for_ever_is_asked_again_after_a_while() -> None:
    hangs, asked = threading.Event(), 0

    def ask() -> str:
        nonlocal asked
        asked += 1
        if asked < 4:
            hangs.wait()
        return SECRET

    password, within = asking(ask), 0.01
    loop = asyncio.get_running_loop()
    begun = loop.time()

    async def answers() -> bool:
        try:
            return await password.current(within) == SECRET
        except PasswordProblem:
            return False

    await until(answers)
    assert asked == 4
    assert loop.time() - begun >= within * (2 + 4 + 8)  # the pauses double, so that few threads are left
    hangs.set()


async def test_questions_that_hang_together_count_once_and_one_alone_is_asked_after_them() -> None:
    hangs, asked = threading.Event(), 0

    def ask() -> str:
        nonlocal asked
        asked += 1
        hangs.wait()
        return SECRET

    password, within = asking(ask), 0.05
    loop = asyncio.get_running_loop()

    async def texts() -> set[str]:
        async def text() -> str:
            with pytest.raises(PasswordProblem) as caught:
                await password.current(within)
            return "late" if "has not answered within" in caught.value.text else "spared"

        return {await each for each in [asyncio.create_task(text()) for _ in range(8)]}

    begun = loop.time()
    assert await texts() == {"late"}
    assert asked == 8

    async def one_is_asked() -> bool:
        return "late" in await texts()

    await until(one_is_asked)
    assert asked == 9
    assert within * 2 <= loop.time() - begun < within * 2**8
    hangs.set()


async def test_an_answer_ends_the_pauses_whatever_hangs_for_ever() -> None:
    hangs, answers = threading.Event(), False

    def ask() -> str:
        if not answers:
            hangs.wait()
        return SECRET

    password, within = asking(ask), 0.02
    loop = asyncio.get_running_loop()

    async def is_answered() -> bool:
        try:
            return await password.current(within) == SECRET
        except PasswordProblem:
            return False

    for _ in range(6):  # such as once a day
        answers, begun = False, loop.time()
        assert not await is_answered()
        answers = True
        await until(is_answered)
        assert loop.time() - begun < within * 2**5
    hangs.set()


async def test_a_caller_that_goes_away_costs_the_others_nothing() -> None:
    may_end, asked = threading.Event(), asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()

    def ask() -> str:
        loop.call_soon_threadsafe(asked.release)
        may_end.wait(PATIENCE)
        return SECRET

    password = asking(ask)
    gone, other = (asyncio.create_task(password.current(PATIENCE)) for _ in range(2))
    await asked.acquire()
    await asked.acquire()
    gone.cancel()
    await asyncio.wait([gone])
    third = asyncio.create_task(password.current(PATIENCE))
    await asked.acquire()
    may_end.set()

    assert gone.cancelled()
    assert await other == await third == SECRET


async def test_callers_that_all_go_away_leave_few_threads() -> None:
    hangs, asked = threading.Event(), 0

    def ask() -> str:
        nonlocal asked
        asked += 1
        hangs.wait(PATIENCE)
        return SECRET

    password, within = asking(ask), 0.2
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while loop.time() - begun < within * 4 and asked < 100:
        with suppress(TimeoutError, PasswordProblem):
            async with asyncio.timeout(within / 10):
                await password.current(within)
        await asyncio.sleep(0)

    assert asked <= 12  # those of the first while, and one after the pause
    hangs.set()


@pytest.mark.parametrize("is_plain", [True, False])
async def test_no_log_of_asyncio_shows_it(is_plain: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def later() -> str:
        await asyncio.sleep(0)
        return SECRET

    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0  # all steps are logged, with what they hand on
    caplog.set_level("DEBUG")
    try:
        assert await asking((lambda: SECRET) if is_plain else later).current(PATIENCE) == SECRET
    finally:
        loop.set_debug(False)

    assert "_awaited" in caplog.text
    assert SECRET not in caplog.text


async def test_a_coroutine_that_hangs_is_cancelled() -> None:
    ended = asyncio.Event()

    async def ask() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return SECRET

    password = asking(ask)
    with pytest.raises(PasswordProblem, match="has not answered"):
        await password.current(0.01)
    await ended.wait()
    with pytest.raises(PasswordProblem, match="has not answered"):
        await password.current(0.01)


async def test_several_connections_ask_at_once() -> None:
    together = threading.Barrier(3)

    def ask() -> str:
        together.wait(PATIENCE)
        return SECRET

    password = asking(ask)

    assert await asyncio.gather(*(password.current(PATIENCE) for _ in range(3))) == [SECRET] * 3
