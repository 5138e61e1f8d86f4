"""Bodies that are no text, as a broker may bring them: each costs its own message only, and loses no byte."""

from __future__ import annotations

import msgspec

from sagabus.envelope import Cause, DeadLetter
from sagabus.outcome import Admission
from sagabus.store import ReplayResult, Retention
from sagabus.testing.conformance.trial import (
    BILLING,
    COMMITTED,
    DAY,
    ORDERS,
    StoreSuite,
    Trial,
    completed,
    conformance,
)

ACCEPTED, DUPLICATE, DAMAGED = Admission.ACCEPTED, Admission.DUPLICATE, Admission.DAMAGED

NO_TEXT = bytes(range(256))
WITH_NUL = b'{"order_id":"A\0"}'
RAW = (NO_TEXT, WITH_NUL, b"\xff", b"\0", b'{"half":"\xed\xa0\x80"}')


def bytes_in(letter: DeadLetter) -> bytes:
    """What the message had for a body, read back from its letter."""
    body: str | dict[str, str] = msgspec.json.decode(letter.envelope.body)["body"]
    return body.encode() if isinstance(body, str) else bytes.fromhex(body["hex"])


class RawBodyConformance(StoreSuite):
    """A message whose body no database keeps as text is a dead letter; the others of its call are accepted."""

    @conformance
    async def test_a_body_that_is_no_text_costs_its_message_only(self, trial: Trial) -> None:
        raw = [trial.envelope(f"raw{number}", body=body) for number, body in enumerate(RAW)]
        first, last = trial.envelope("first"), trial.envelope("last", "B2")

        answers = await trial.append(first, *raw, last)

        assert answers == [ACCEPTED, *([DAMAGED] * len(raw)), ACCEPTED]
        assert await trial.due_ids() == ["first", "last"]
        assert [each.cause for each in await trial.letters()] == [Cause.DAMAGED] * len(raw)

    @conformance
    async def test_its_letter_holds_every_byte_and_says_who_it_was(self, trial: Trial) -> None:
        sent = [trial.envelope(f"raw{n}", body=body, headers={"h": "1"}) for n, body in enumerate(RAW)]
        for envelope in sent:
            assert await trial.append(envelope) == [DAMAGED]

        letters = await trial.letters()

        assert [bytes_in(letter) for letter in letters] == list(RAW)
        for letter, envelope in zip(letters, sent, strict=True):
            found = letter.envelope
            assert (found.channel, found.message_id, found.headers) == (ORDERS, envelope.message_id, {"h": "1"})
            assert (found.partition_key, found.sent_at, letter.attempts) == ("A1", envelope.sent_at, 0)
            assert letter.reason.startswith("its body ")
            assert not letter.parked

    @conformance
    async def test_its_id_is_taken_so_that_a_copy_is_one(self, trial: Trial) -> None:
        await trial.append(trial.envelope("m1", body=NO_TEXT))
        await trial.store.discard((await trial.letters())[0].id)

        assert await trial.append(trial.envelope("m1", body=NO_TEXT)) == [DUPLICATE]
        assert await trial.letters() == []
        assert await trial.append(trial.envelope("m1")) == [Admission.COLLISION]

    @conformance
    async def test_copies_within_one_call_make_one_letter(self, trial: Trial) -> None:
        copies = [trial.envelope("m1", body=WITH_NUL) for _ in range(3)]

        assert await trial.append(*copies) == [DAMAGED, DUPLICATE, DUPLICATE]
        assert len(await trial.letters()) == 1

    @conformance
    async def test_under_the_id_of_another_message_it_is_held_and_harms_no_one(self, trial: Trial) -> None:
        await trial.accept_one("m1")

        for _ in range(2):
            assert await trial.append(trial.envelope("m1", body=NO_TEXT), trial.envelope("m2")) in (
                [DAMAGED, ACCEPTED],
                [DAMAGED, DUPLICATE],
            )

        assert await trial.stored_ids() == ["m1", "m2"]
        assert [(each.cause, bytes_in(each)) for each in await trial.letters()] == [(Cause.DAMAGED, NO_TEXT)]

    @conformance
    async def test_below_the_horizon_it_is_held_with_its_bytes(self, trial: Trial) -> None:
        late = trial.envelope("late", body=NO_TEXT)
        trial.wait(3 * 86_400)
        await trial.store.purge([Retention(ORDERS, DAY)], 10)

        assert await trial.append(late) == [DAMAGED]
        assert [bytes_in(each) for each in await trial.letters()] == [NO_TEXT]

    @conformance
    async def test_it_is_held_without_a_guard_and_in_every_channel(self, trial: Trial) -> None:
        raw = trial.envelope("m1", body=NO_TEXT, guarded=False)
        other = trial.envelope("m1", body=NO_TEXT, channel=BILLING)

        assert await trial.append(raw, trial.envelope("m2", guarded=False), other) == [DAMAGED, ACCEPTED, DAMAGED]
        assert [each.envelope.channel for each in await trial.letters()] == [ORDERS, BILLING]

    @conformance
    async def test_it_cannot_be_replayed_and_can_be_discarded(self, trial: Trial) -> None:
        await trial.append(trial.envelope("m1", body=NO_TEXT))
        letter = (await trial.letters())[0]

        for force in (False, True):
            assert await trial.store.replay(letter.id, force=force) is ReplayResult.DAMAGED
        assert await trial.store.discard(letter.id) is ReplayResult.DONE

    @conformance
    async def test_a_run_that_sends_one_commits_all_the_same(self, trial: Trial) -> None:
        first, second = await trial.accept(trial.envelope("m1"), trial.envelope("m2", "B2"))
        raw = trial.envelope("raw", body=NO_TEXT, channel=BILLING)
        unguarded = trial.envelope("unguarded", body=WITH_NUL, channel=BILLING, guarded=False)
        fresh = trial.envelope("fresh", channel=BILLING)

        answers = await trial.settle(completed(first, sent=(raw, fresh, unguarded)), completed(second))

        assert [answer.verdict for answer in answers] == [COMMITTED] * 2
        assert [answer.refused for answer in answers] == [((raw, DAMAGED), (unguarded, DAMAGED)), ()]
        assert await trial.stored_ids(BILLING) == ["fresh"]
        assert [bytes_in(each) for each in await trial.letters()] == [NO_TEXT, WITH_NUL]

    @conformance
    async def test_in_a_transaction_it_shares_the_fate_of_the_others(self, trial: Trial) -> None:
        for message_id, commits in (("lost", False), ("kept", True)):
            async with trial.store.transaction() as unit:
                sent = [trial.envelope(message_id, body=NO_TEXT), trial.envelope(f"{message_id} too")]
                assert await unit.append(sent, trial.routing.version) == [DAMAGED, ACCEPTED]
                if commits:
                    await unit.commit()

        assert await trial.stored_ids() == ["kept too"]
        assert [each.envelope.message_id for each in await trial.letters()] == ["kept"]
