"""Whatever workers live, and whatever they know: every lane is due to one of them, and all work that out alike."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from sagabus.stores.lane_shares import Crew, declared_types, knowledge, share_of

types = st.none() | st.lists(st.sampled_from("abc"), max_size=3).map(knowledge)
workers = st.lists(types, min_size=1, max_size=6)


def shares(known: Sequence[str | None], lanes: int) -> list[int]:
    """By worker, whose name is its number."""
    found: list[int] = []
    for number, knows in enumerate(known):
        crews: list[Crew] = []
        for each in dict.fromkeys(known):
            of = [other for other, theirs in enumerate(known) if theirs == each]
            crews.append(Crew(each, len(of), sum(other < number for other in of), str(of[0])))
        found.append(share_of("orders", lanes, knows, crews))
    return found


@given(known=workers, lanes=st.integers(1, 20))
def test_every_lane_is_due_to_exactly_one_worker(known: list[str | None], lanes: int) -> None:
    assert sum(shares(known, lanes)) == lanes


@given(known=workers)
def test_those_that_work_know_the_same_and_no_other_knows_that_and_more(known: list[str | None]) -> None:
    at_work = {knows for knows, share in zip(known, shares(known, 99), strict=True) if share}

    if None in known:
        assert at_work == set(known)
    else:
        (ruling,) = (declared_types(knows) or frozenset() for knows in at_work)
        assert not any(ruling < (declared_types(other) or frozenset()) for other in known)
