"""Which handled messages leave a row in the journal, and what it says."""

import pytest

from sagabus import ConfigurationError, Settings
from sagabus.engine.journal import Journal
from sagabus.envelope import Cause, Envelope
from sagabus.outcome import Completed, DeadLettered, Discarded, Effects, Failure, RetryAt, Save

FAILURE = Failure("ValueError", "secret")
SAVE = Save("orders", "A1", base=3, state=b"{}", status=None, timers={}, completed=False)


def message(name: str = "m", **fields: object) -> Envelope:
    return Envelope(message_id=name, message_type="t", body=b"secret", channel="c", position=7, **fields)  # type: ignore[arg-type]


def journal(**settings: object) -> Journal:
    return Journal("w", Settings(**settings), {})  # type: ignore[arg-type]


def test_off_is_the_default_and_none_of_a_sample_is_off() -> None:
    assert not journal().is_on
    assert not journal(journal="sampled", journal_sample=0).is_on
    assert journal(journal="sampled").is_on
    assert journal(journal="all").is_on


@pytest.mark.parametrize("share", [0.1, 0.5, 1])
def test_a_sample_takes_about_its_share_and_every_worker_the_same(share: float) -> None:
    sampled = journal(journal="sampled", journal_sample=share)
    names = [f"talk-{number}" for number in range(2_000)]

    taken = {name for name in names if sampled.rows([Completed(message(name), Effects())], [0.0])}

    assert share - 0.05 < len(taken) / len(names) < share + 0.05 or share == 1 == len(taken) / len(names)
    others = Journal("another", Settings(journal="sampled", journal_sample=share), {})
    for name in names:
        of_it = Completed(message("reply", correlation_id=name), Effects())
        assert bool(others.rows([of_it], [0.0])) == (name in taken)


def test_a_row_says_when_a_run_saved_why_it_failed_and_never_what_it_was_about() -> None:
    outcomes = [
        (Completed(message(attempt=1), Effects(save=SAVE)), ("completed", 2, 4, None)),
        (Completed(message(), Effects()), ("completed", 1, None, None)),
        (RetryAt(envelope=message(), delay=1, failure=FAILURE), ("retried", 1, None, "ValueError")),
        (RetryAt(envelope=message(), delay=1), ("retried", 1, None, None)),
        (DeadLettered(envelope=message(), reason="secret", cause=Cause.NO_KEY), ("dead-lettered", 1, None, "no key")),
        (Discarded(message(), "secret", Cause.UNEXPECTED), ("discarded", 1, None, "unexpected")),
    ]  # fmt: skip

    for outcome, expected in outcomes:
        row = journal(journal="all").rows([outcome], [0.25])[7]

        assert (row.outcome, row.attempt, row.version, row.error) == expected
        assert (row.correlation_id, row.subscription, row.worker, row.duration) == ("m", "c", "w", 250_000)
        assert "secret" not in repr(row)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"journal": "some"}, 'Settings.journal must be "off", "sampled" or "all", not \'some\''),
        ({"journal_sample": 1.5}, "Settings.journal_sample must be from 0 to 1, not 1.5"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        journal(**settings)
