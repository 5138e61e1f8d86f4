"""Which messages are copies of one another."""

from datetime import timedelta
from typing import Any

import pytest

from sagabus import Deduplication, event
from sagabus.envelope import Envelope
from sagabus.errors import ConfigurationError


@event("tests.charged")
class Charged:
    account: str
    amount: int = 0


def envelope(**fields: Any) -> Envelope:
    chosen = {"message_id": "m1", "message_type": "tests.charged", "body": b'{"account":"A"}'}
    return Envelope(**{**chosen, **fields})


MESSAGE = Charged(account="A", amount=5)


def test_by_message_id_the_commit_claims_nothing() -> None:
    assert Deduplication().claim(MESSAGE, envelope()) is None


@pytest.mark.parametrize(
    ("rule", "claim"),
    [
        (Deduplication(field="account"), "tests.charged:A"),
        (Deduplication(by=lambda message: (message.account, message.amount)), "tests.charged:('A', 5)"),
        (Deduplication(by="correlation"), "tests.charged:m1"),
    ],
)
def test_the_key_is_of_its_type(rule: Deduplication, claim: str) -> None:
    assert rule.claim(MESSAGE, envelope()) == claim


def test_correlation_prefers_the_conversation() -> None:
    assert Deduplication(by="correlation").claim(MESSAGE, envelope(correlation_id="c1")) == "tests.charged:c1"


def test_content_is_type_and_bytes() -> None:
    rule = Deduplication(by="content")
    same = rule.claim(MESSAGE, envelope(message_id="m2"))

    assert rule.claim(MESSAGE, envelope()) == same
    assert rule.claim(MESSAGE, envelope(body=b'{"account":"B"}')) != same
    assert rule.claim(MESSAGE, envelope(message_type="tests.other")) != same


def test_a_key_or_a_strategy_not_both() -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        Deduplication(by="content", field="account")


@pytest.mark.parametrize("hours", [24, 25, 1000])
def test_a_day_or_more_needs_no_saying(hours: int) -> None:
    assert Deduplication(window=timedelta(hours=hours)).window == timedelta(hours=hours)


def test_less_has_to_be_meant() -> None:
    with pytest.raises(ConfigurationError, match="24 hours"):
        Deduplication(window=timedelta(hours=23, minutes=59))

    assert Deduplication(window=timedelta(minutes=1), short_window=True).window == timedelta(minutes=1)
