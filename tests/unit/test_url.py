"""URLs of stores: what reads as one, what a mistake is answered with, and that no secret in one is ever shown."""

import contextlib
import logging
import traceback
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagabus import Bus, ConfigurationError
from sagabus.clock import SystemClock
from sagabus.store_urls import store_from_url
from sagabus.stores.mysql import MysqlStore
from sagabus.stores.postgres import PostgresStore
from sagabus.stores.postgres.options import driver_options
from sagabus.stores.sql.address import Address
from sagabus.stores.sqlite import SqliteStore
from sagabus.text import hidden
from sagabus.url import FORMS, parsed, shown

SECRET = "S3cr3tW0rd"
PASSWORDS = [SECRET, *(f"a{mark}{SECRET}{mark}b" for mark in "/#?@:[]%&=,;+ \n\t\0\x1b\\'\"é\ud800"), f"12/{SECRET}"]
SCHEMES = [
    "", "//", "postgresql", "postgres", "mysql", "mariadb", "sqlite", "memory", "postgressql", "psql", "POSTGRESQL",
    "postgresql+asyncpg", "postgresql+psycopg", "mysql+pymysql", "mysql+aiomysql", "sqlite+aiosqlite", "oracle", "http",
]  # fmt: skip
BEHIND = ["/shop", "", "/", "/shop?pool=x", "/shop?sslmode=bad", "/shop?ssl=bad", "/shop?schema=", "/shop?a", "/shop#f"]
HOSTS = ["host", "host:5432", "host:99999", "host:x", "[::1", "[::1]", "::1", "a,b:1", "", "ho st", "\u2100.example"]


@st.composite
def mistyped(draw: st.DrawFn) -> str:
    """A URL with a password, with one or several of the mistakes that people make."""
    scheme = draw(st.sampled_from(SCHEMES))
    slashes = (
        draw(st.sampled_from(["://", ":/", ":", ":///", "//", ""])) if scheme else draw(st.sampled_from(["", "//"]))
    )
    user = draw(st.sampled_from(["user", "", "us@er", "us:er", "us/er", "us%zz", "us%ff", "us%00"]))
    password = draw(st.sampled_from(PASSWORDS) | st.text(max_size=4).map(lambda text: text + SECRET))
    host, behind = draw(st.sampled_from(HOSTS)), draw(st.sampled_from(BEHIND))
    if draw(st.booleans()):
        option = draw(st.sampled_from(["password", "password_file", "passwordfile"]))
        return f"{scheme}{slashes}{user}@{host}{behind}{'&' if '?' in behind else '?'}{option}={password}"
    return f"{scheme}{slashes}{user}:{password}@{host}{behind}"


def everything_of(error: BaseException) -> str:
    """All that any tool could print of an error and of whatever is chained to it, raised on purpose or not."""
    found, each = "", [error]
    while each:
        one = each.pop()
        found += "".join(traceback.format_exception(one)) + repr(one) + str(one) + repr(one.args) + repr(vars(one))
        each += [other for other in (one.__cause__, one.__context__) if other is not None]
    return found


WAYS_IN: list[Callable[[str], object]] = [
    Bus,
    lambda url: store_from_url(url, SystemClock()),
    PostgresStore,
    MysqlStore,
    parsed,
    Address.of,
]


@pytest.mark.parametrize("way", WAYS_IN)
@given(url=mistyped())
def test_no_part_of_a_password_is_shown_whatever_is_mistyped(way: Callable[[str], object], url: str) -> None:
    try:
        found = way(url)
    except ConfigurationError as error:
        said = everything_of(error)
    else:
        place = getattr(found, "place", "") or getattr(getattr(found, "store", None), "place", "")
        said = f"{found} {found!r} {place}"

    assert SECRET not in said
    assert SECRET not in shown(url)


@given(url=st.text() | st.binary().map(lambda some: some.decode("utf-8", "surrogateescape")))
def test_any_text_at_all_is_a_store_or_a_configuration_error(url: str) -> None:
    for begin in ("", "postgresql://", "mysql://u@", "sqlite:///"):
        with contextlib.suppress(ConfigurationError):
            parsed(begin + url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql+asyncpg://u:p@h/d", "write postgresql:// instead"),
        ("postgresql+psycopg://h/d", "write postgresql:// instead"),
        ("mysql+pymysql://u:p@h/d", "write mysql:// instead"),
        ("mariadb+mariadbconnector://h/d", "write mariadb:// instead"),
        ("sqlite+aiosqlite:///shop.db", "write sqlite:// instead"),
        ("postgre://u:p@h/d", "did you mean postgres"),
        ("sqllite:///shop.db", "did you mean sqlite:"),
        ("orders.db", "is no store URL"),
        ("", "is empty"),
        ("u:p@h/d", "no scheme of a store"),
        ("oracle://h/d", "no store is known for 'oracle:'"),
        ("postgresql:/h/d", "lacks its slashes: write postgresql://user:password@host/database"),
        ("mysql:h/d", "lacks its slashes"),
        ("postgresql://u:a/b@h/d", "write %2F for '/'"),
        ("postgresql://u:a?b@h/d", "%3F for '?'"),
        ("mysql://u:a#b@h/d", "%23 for '#'"),
        ("postgresql://[::1/d", "an IPv6 address in brackets"),
        ("postgresql://h:port/d", "a port from 1 to 65535"),
        ("postgresql://h:0/d", "a port from 1 to 65535"),
        ("postgresql://h/d\n", "a line break"),
        (" postgresql://h/d", "a blank at an end"),
        ("sqlite://h/shop.db", "has a host"),
        ("sqlite:///u:p@h/d", "a user and a password"),
        ("sqlite:///a%00b", "a NUL"),
        ("sqlite:///a\udc80", "unprintable"),
        ("sqlite:///a%ff", "no UTF-8"),
        ("postgresql://u:%ff@h/d", "no UTF-8"),
        ("postgresql://u:a%00@h/d", "a NUL"),
        ("sqlite:///:memory:", "write memory:"),
        ("sqlite:///", "names no file"),
        ("sqlite:///shop.db?mode=ro", "takes no options"),
        ("memory://", "write memory: alone"),
        ("mysql://h/d?pol=2", "number 1 of the URL is not known"),
    ],
)
def test_a_mistake_is_answered_with_what_to_write(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Bus(url)

    assert said in str(caught.value)


def test_what_is_no_text_is_refused_in_words() -> None:
    with pytest.raises(ConfigurationError, match="is a text, not an int"):
        parsed(5)


@pytest.mark.parametrize(
    ("url", "user", "password", "hosts", "path"),
    [
        ("postgresql://u:a%2Fb%40%23@h:1/d", "u", "a/b@#", (("h", 1),), "d"),
        ("postgres://u:p@ss:w@h/d", "u", "p@ss:w", (("h", None),), "d"),
        ("POSTGRESQL://u:[x@one,[::1]:5/d%20e", "u", "[x", (("one", None), ("::1", 5)), "d e"),
        ("mysql:///d", None, None, (), "d"),
        ("mysql://u@/d", "u", None, (), "d"),
        ("sqlite:////tmp/a%3Fb@c.db", None, None, (), "/tmp/a?b@c.db"),
    ],
)
def test_what_a_url_says_is_what_is_meant(
    url: str, user: str | None, password: str | None, hosts: tuple[tuple[str, int | None], ...], path: str
) -> None:
    found = parsed(url)

    assert (found.user, found.password, found.hosts, found.path) == (user, password, hosts, path)


async def test_the_driver_gets_the_password_apart_from_its_address_and_never_in_it() -> None:
    for url in (f"postgresql://u:{SECRET}@h/d", f"postgresql://u@h/d?password={SECRET}"):
        given_ = await driver_options(Address.of(url))

        assert given_ == {"dsn": "postgresql://u@h/d", "password": SECRET}


def test_texts_of_others_lose_the_logins_of_their_urls() -> None:
    assert hidden(f"no answer from postgresql://u:{SECRET}@h/d, x@y") == "no answer from postgresql://…@h/d, x@y"


def test_examples_stay_as_they_are() -> None:
    assert hidden(FORMS) == FORMS
    assert hidden("mysql://user:password@host/database") == "mysql://user:password@host/database"


def test_a_log_line_shows_no_login(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("sagabus").warning("failed: %s", ValueError(f"amqp://u:{SECRET}@h"))

    assert SECRET not in caplog.text


@pytest.mark.parametrize("path", ["", "a\0b", "a\udc80b", "\ud83d.db"])
def test_a_path_that_no_file_can_have_is_a_configuration_error(path: str) -> None:
    with pytest.raises(ConfigurationError, match="path of a SQLite store"):
        SqliteStore(path)


@pytest.mark.parametrize("user", ["user", "us@er", "@", "a@b@c", ""])
def test_a_login_in_a_sqlite_url_is_not_shown_however_it_is_written(user: str) -> None:
    assert SECRET not in shown(f"sqlite:///{user}:{SECRET}@host/shop")
