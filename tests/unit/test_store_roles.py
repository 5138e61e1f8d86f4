"""The store port is in roles: small ones, that make up the whole, and each part of the engine asks for its own."""

import inspect
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import pytest
from tests.conftest import Take
from tests.support.databases import MYSQL, POSTGRES

from sagabus.clock import SystemClock
from sagabus.store import Store, operating
from sagabus.store import roles as port
from sagabus.store_urls import store_from_url

ROOT = Path(__file__).resolve().parents[2]
ROLES: list[type[Any]] = [
    each
    for each in reversed(Store.__mro__)
    if each.__module__ in {port.__name__, operating.__name__} and any(not name.startswith("_") for name in vars(each))
]


def members(role: type[Any]) -> list[str]:
    return [name for name in vars(role) if not name.startswith("_")]


def test_the_roles_share_the_calls_of_a_store_among_them_each_in_one() -> None:
    every = [name for role in ROLES for name in members(role)]

    assert len(every) == len(set(every))
    assert members(Store) == []
    assert all(issubclass(role, Protocol) for role in ROLES)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.__name__)
def test_a_role_is_read_in_a_sitting(role: type[Any]) -> None:
    assert len(members(role)) <= 7
    assert len(inspect.getsource(role).splitlines()) <= 70


def test_the_page_on_adapters_lists_the_roles_with_their_calls() -> None:
    page = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z]\w+)` \| (.+?) \|", page, flags=re.MULTILINE)

    assert {name: re.findall(r"`(\w+)`", calls) for name, calls in rows} == {
        role.__name__: members(role) for role in ROLES
    }


def test_no_part_of_the_engine_asks_for_the_whole_store() -> None:
    modules = (ROOT / "src" / "sagabus" / "engine").glob("*.py")

    found = [
        path.name
        for path in modules
        if re.search(r"^from sagabus\.store import .*\bStore\b", path.read_text(), re.MULTILINE)
    ]

    assert found == []


async def test_a_file_that_is_not_there_or_of_others_is_said_to_be_and_left_alone(tmp_path: Path) -> None:
    missing = store_from_url(f"sqlite:///{tmp_path}/typo.db", SystemClock())
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as connection:
        connection.execute("CREATE TABLE customer (id INTEGER)")
    theirs = store_from_url(f"sqlite:///{tmp_path}/theirs.db", SystemClock())

    assert (await missing.versions(), await theirs.versions()) == ([], [])
    assert await missing.absence() == f"{tmp_path}/typo.db: no such file"
    assert await theirs.absence() == f"{tmp_path}/theirs.db has no tables of sagabus"
    assert not (tmp_path / "typo.db").exists()


@pytest.mark.parametrize(("kind", "url"), [("postgres", POSTGRES), ("mysql", MYSQL)])
async def test_a_database_without_tables_is_said_to_have_none(kind: str, url: str, take: Take) -> None:
    take(kind)
    store = store_from_url(f"{url}?prefix=nowhere_", SystemClock())

    assert await store.versions() == []
    assert "has no tables of sagabus with this schema and prefix" in (await store.absence() or "")


async def test_memory_has_no_schema() -> None:
    store = store_from_url("memory:", SystemClock())

    assert (await store.versions(), await store.absence(), store.script()) == (None, None, None)
