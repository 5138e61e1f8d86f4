"""Settings that cannot be meant are refused when they are made, all of them at once, and never by another error."""

from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest

from sagabus import ConfigurationError, Settings

WRONG: list[Any] = ["10", b"10", 1.5, float("nan"), [], {"a": 1}, object, True, -1, timedelta(days=-1)]
DEFAULTS = {each.name: getattr(Settings(), each.name) for each in fields(Settings)}
MAY_BE_NONE = {"timeout", "history_retention", "journal_retention", "lanes", "redact"}
MEANT: dict[str, list[Any]] = {
    "short_retention": [True],
    "deduplication": [{"a": 1}],  # of what, the bus says
    "redact": [object],
}
COUNTS = [name for name, value in DEFAULTS.items() if type(value) is int]


def is_meant(name: str, value: Any) -> bool:
    return any(value is each or value == each for each in MEANT.get(name, []))


@pytest.mark.parametrize("value", WRONG, ids=repr)
@pytest.mark.parametrize("name", DEFAULTS)
def test_each_setting_says_what_it_must_be(name: str, value: Any) -> None:
    if is_meant(name, value):
        Settings(**{name: value})
        return

    with pytest.raises(ConfigurationError, match=rf"Settings\.{name} (must be|must not be|is) "):
        Settings(**{name: value})


@pytest.mark.parametrize("name", DEFAULTS)
def test_none_stands_for_no_limit_only_where_that_is_documented(name: str) -> None:
    if name in MAY_BE_NONE:
        assert getattr(Settings(**{name: None}), name) is None
        return

    with pytest.raises(ConfigurationError, match=rf"Settings\.{name} must be"):
        Settings(**{name: None})


@pytest.mark.parametrize("name", COUNTS)
def test_a_count_is_at_least_one_and_as_large_as_one_likes(name: str) -> None:
    assert getattr(Settings(**{name: 10**30}), name) == 10**30

    with pytest.raises(ConfigurationError, match=rf"Settings\.{name} must be at least 1, not 0"):
        Settings(**{name: 0})


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(max_sent="many", lease=5, journal="some")  # type: ignore[arg-type]

    assert [each.split(" must be")[0] for each in caught.value.problems] == [
        "Settings.max_sent",
        "Settings.journal",
        "Settings.lease",
    ]
