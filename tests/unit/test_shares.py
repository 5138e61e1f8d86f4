"""Which part of a flush is tried next: a table, since nothing of it needs a database."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from sagabus.engine.shares import LONGEST_PAUSE, SHORTEST_PAUSE, SMALL, Loss, Shares

ITEMS = "abcdefghijklmnop"


class Step(NamedTuple):
    """What became of the last part, and which part has to come next."""

    what: str
    next: str


def lost(shares: Shares[str], part: Sequence[str], **said: Any) -> Loss:
    chosen = {"takes_others": False, "costs_connection": False, "tries": 3, **said}
    return shares.lost(part, **chosen)


def report(shares: Shares[str], part: Sequence[str], what: str) -> None:
    if what == "committed":
        shares.answered(part, is_refused=False)
    elif what == "its last refused":
        shares.answered(part, is_refused=True)
    elif what == "cannot go together":
        shares.taken_apart()
    elif what == "lost with all others":
        lost(shares, part)
    elif what == "lost by its own doing":
        lost(shares, part, takes_others=True)
    elif what == "lost with the connection":
        lost(shares, part, takes_others=True, costs_connection=True)


@pytest.mark.parametrize(
    "steps",
    [
        [Step("committed", ITEMS)],
        [
            Step("lost with all others", ITEMS[:8]),
            Step("lost with all others", ITEMS[:4]),
            Step("committed", ITEMS[:8]),
        ],
        [Step("cannot go together", "a"), Step("committed", "ab"), Step("committed", "abcd")],
        [Step("cannot go together", "a"), Step("its last refused", "a"), Step("committed", "ab")],
        [Step("lost with the connection", "a"), *[Step("committed", ITEMS[: 2**n]) for n in (1, 2, 3)]],
        [Step("lost with the connection", "a"), *[Step("committed", ITEMS[: min(2**n, SMALL)]) for n in (1, 2, 3, 4)]],
    ],
)
def test_the_next_part_follows_from_what_became_of_the_last(steps: Sequence[Step]) -> None:
    shares = Shares[str](len(ITEMS))

    part = shares.next(ITEMS)
    assert part == ITEMS
    for what, following in steps:
        report(shares, part, what)
        part = shares.next(ITEMS)
        assert part == following


def test_an_item_that_was_lost_alone_is_tried_alone_again_and_its_neighbours_without_it() -> None:
    shares = Shares[str](4)
    assert lost(shares, "c", takes_others=True) is Loss.ASIDE
    shares.answered("ab", is_refused=False)
    shares.answered("ab", is_refused=False)

    assert shares.next("abdc") == "abd"
    assert shares.next("c") == "c"


def test_what_is_lost_alone_too_often_while_the_store_takes_others_is_hopeless() -> None:
    shares = Shares[str](1)

    found = [lost(shares, "a", takes_others=True) for _ in range(3)]

    assert found == [Loss.ASIDE, Loss.ASIDE, Loss.HOPELESS]
    assert shares.times("a") == 3


def test_a_database_that_is_lost_for_all_is_nobodys_fault() -> None:
    shares = Shares[str](1)

    found = [lost(shares, "a", takes_others=number != 2) for number in range(5)]

    assert found == [Loss.ASIDE, Loss.ASIDE, Loss.AGAIN, Loss.ASIDE, Loss.ASIDE]


def test_several_that_are_lost_together_accuse_none_of_them() -> None:
    shares = Shares[str](8)

    assert {lost(shares, "abcd", takes_others=True) for _ in range(9)} == {Loss.AGAIN}


def test_pauses_grow_to_a_limit_and_begin_again_after_a_commit() -> None:
    shares = Shares[str](2)
    seen: list[float] = []
    for _ in range(9):
        lost(shares, "ab")
        seen.append(shares.pause)
        shares.paused()

    assert seen[:3] == [SHORTEST_PAUSE, 2 * SHORTEST_PAUSE, 4 * SHORTEST_PAUSE]
    assert seen[-1] == LONGEST_PAUSE
    shares.answered("a", is_refused=False)
    assert shares.pause == SHORTEST_PAUSE
