"""Campaigns of which a share runs every time."""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from zlib import crc32

import pytest

_SERVER = re.compile(r"postgres(?:ql)?|mysql|mariadb", re.IGNORECASE)
_KIND = re.compile(r"sqlite|postgres|mysql|memory|\w+Lab\b|Private\w+")


def some(cases: list[Any], **one_in: int) -> list[Any]:
    """All cases on each kind of database, of which one in so many is quick and the others are `slow`; spread so that
    every name is among them.
    """
    return [
        pytest.param(
            kind, *case, id="-".join(map(str, (*case, kind))), marks=[] if number % share == 0 else pytest.mark.slow
        )
        for kind, share in one_in.items()
        for number, case in enumerate(cases)
    ]


def sweeps(**one_in: int) -> list[Any]:
    """One sweep of each kind of database in so large steps, and one in steps of one that is `slow`."""
    whole = [pytest.mark.slow, pytest.mark.timeout(900)]
    return [
        pytest.param(kind, step, id=f"{kind}-{step}", marks=whole if step < share else [])
        for kind, share in one_in.items()
        for step in sorted({share, 1}, reverse=True)
    ]


def mark_shares(tests: Iterable[pytest.Item]) -> None:
    """Make `slow` what is outside of the shares that `@pytest.mark.share(one_in)` names: of the cases of a function, of
    those of each function in a module, or of the tests of a class.
    """
    campaigns: dict[tuple[str, int], list[pytest.Item]] = defaultdict(list)
    for test in tests:
        for node, mark in test.iter_markers_with_node("share"):
            name = node.nodeid if isinstance(node, pytest.Class) else test.nodeid.partition("[")[0]
            campaigns[name, mark.args[0]].append(test)
    for (_, one_in), members in campaigns.items():
        quick = share([member.nodeid for member in members], one_in)
        for member in members:
            if member.nodeid not in quick:
                member.add_marker(pytest.mark.slow)


def mark_other_server(tests: Iterable[pytest.Item]) -> None:
    """Make `slow` the half of the tests on both servers: each runs on one of them every time. Those of the suites of
    conformance run on both.
    """
    same: dict[str, list[pytest.Item]] = defaultdict(list)
    for test in tests:
        if re.match("tests/(scenarios|faults)/", test.nodeid) and _SERVER.search(test.nodeid):
            same[_SERVER.sub("server", test.nodeid)].append(test)
    for name, members in same.items():
        if len(members) == 2 and not any(member.get_closest_marker("slow") for member in members):
            members.sort(key=lambda member: member.nodeid)
            members[crc32(name.encode()) % 2].add_marker(pytest.mark.slow)


def share(names: list[str], one_in: int) -> set[str]:
    """One in so many, by their names alone: the same in each process. Every kind of database or broker is among them
    before one comes twice.
    """
    kinds: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names, key=lambda name: crc32(name.encode())):
        found = _KIND.search(name.partition("[")[2])
        kinds[found[0] if found else ""].append(name)
    turns = sorted((turn, crc32(name.encode()), name) for kind in kinds.values() for turn, name in enumerate(kind))
    return {name for _, _, name in turns[: -(-len(names) // one_in)]}
