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


def claims(rule: Deduplication, **fields: Any) -> tuple[str, ...]:
    stored = envelope(**fields)
    return rule.claims(MESSAGE, stored, [stored.message_type])


def test_by_message_id_the_commit_claims_nothing() -> None:
    assert claims(Deduplication()) == ()


@pytest.mark.parametrize(
    ("rule", "claim"),
    [
        (Deduplication(field="account"), "tests.charged:A"),
        (Deduplication(by=lambda message: (message.account, message.amount)), "tests.charged:('A', 5)"),
        (Deduplication(by="correlation"), "tests.charged:m1"),
    ],
)
def test_the_key_is_of_its_type(rule: Deduplication, claim: str) -> None:
    assert claims(rule) == (claim,)


def test_correlation_prefers_the_conversation() -> None:
    assert claims(Deduplication(by="correlation"), correlation_id="c1") == ("tests.charged:c1",)


def test_content_is_type_and_bytes() -> None:
    rule = Deduplication(by="content")
    same = claims(rule, message_id="m2")

    assert claims(rule) == same
    assert claims(rule, body=b'{"account":"B"}') != same
    assert claims(rule, message_type="tests.other") != same


@pytest.mark.parametrize("rule", [Deduplication(field="account"), Deduplication(by=lambda message: message.account)])
def test_messages_without_a_business_key_are_no_copies_of_one_another(rule: Deduplication) -> None:
    keyless: Any = Charged(account=None)  # type: ignore[arg-type]

    assert rule.claims(keyless, envelope(), ["tests.charged"]) == ()


@pytest.mark.parametrize("rule", [Deduplication(field="account"), Deduplication(by="content")])
def test_a_key_is_claimed_under_every_name_that_the_type_has_had(rule: Deduplication) -> None:
    before = claims(rule, message_type="tests.billed")

    assert before[0] in rule.claims(MESSAGE, envelope(), ["tests.charged", "tests.billed"])


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
