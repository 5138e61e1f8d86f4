"""Instants and durations: what has one meaning in every store, and what is refused."""

import pickle
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from sagabus.clock import LONGEST, instant, moment, span, span_problems
from sagabus.errors import InvalidTime

FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
NAIVE = datetime(2030, 1, 1, tzinfo=UTC).replace(tzinfo=None)
WEST, EAST = timezone(timedelta(hours=-12)), timezone(timedelta(hours=12))


@pytest.mark.parametrize("given", [FIRST, FIRST.replace(year=1969), LAST.replace(year=2030), LAST])
def test_an_aware_datetime_comes_back_from_its_instant(given: datetime) -> None:
    assert moment(instant(given)) == given


def test_a_fold_says_which_of_two_instants_is_meant() -> None:
    first = datetime(2087, 10, 26, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))

    assert instant(first.replace(fold=1)) - instant(first) == 3600 * 1_000_000


@pytest.mark.parametrize(
    "given",
    [date(2030, 1, 1), 5, 1.5, "2030-01-01", None, NAIVE, LAST.replace(tzinfo=WEST), FIRST.replace(tzinfo=EAST)],
)
def test_what_is_no_instant_is_refused_by_name(given: object) -> None:
    with pytest.raises(InvalidTime, match=r"^sent_at: ") as caught:
        instant(given, "sent_at")

    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    "given", [5, 1.5, "1h", None, timedelta(-1), timedelta.max, LONGEST + timedelta(microseconds=1)]
)
def test_what_is_no_duration_is_refused_by_name(given: object) -> None:
    with pytest.raises(InvalidTime, match=r"^delay: "):
        span(given, "delay")


def test_every_wrong_setting_is_listed() -> None:
    assert span_problems("Linear", first=timedelta(1), step=5, cap=timedelta.max) == [
        "Linear.step must be a timedelta, not an int",
        "Linear.cap must be at most 365250 days (1000 years), not 999999999",
    ]
