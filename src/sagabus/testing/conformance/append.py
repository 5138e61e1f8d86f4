"""The way in: what is accepted, what is a copy, and what is quarantined."""

from __future__ import annotations

from msgspec.structs import replace

from sagabus.outcome import Admission
from sagabus.testing.conformance.trial import (
    BILLING,
    COMMITTED,
    MINUTE,
    ORDERS,
    SECOND,
    StoreSuite,
    Trial,
    completed,
    conformance,
)

ACCEPTED, DUPLICATE, COLLISION = Admission.ACCEPTED, Admission.DUPLICATE, Admission.COLLISION

LOOK_ALIKES = (
    *(
        "A1",
        "a1",
        "A1 ",
        " A1",
        "A1\u00a0",
        "Á1",
        "A\u03011",
        "ａ1",
        "ß",
        "ss",
        "SS",
        "ı",
        "i",
        "I",
        "1",
        "01",
        "1.0",
        "1e0",
    ),
    *(
        "0x1",
        "true",
        "null",
        "-0",
        "0",
        "it's",
        'say "hi"',
        "a\\b",
        "100%",
        "a_b",
        "aXb",
        "--",
        "；",
        ";",
        "🎉",
        "é",
        "e\u0301",
    ),
)
"""Texts that some database or other takes for equal, or for something else than text."""


class AppendConformance(StoreSuite):
    """`append`: durable acceptance, one per id and channel."""

    @conformance
    async def test_an_accepted_envelope_keeps_all_its_fields(self, trial: Trial) -> None:
        sent = trial.envelope(headers={"x-tenant": "ä", "": "empty"}, correlation_id="c1", causation_id="p1", attempt=2)

        stored = (await trial.accept(sent))[0]

        assert stored.position > 0
        assert replace(stored, position=0) == replace(sent, guarded=False)

    @conformance
    async def test_an_envelope_without_options_keeps_its_absences(self, trial: Trial) -> None:
        stored = await trial.accept_one(key=None)

        assert (stored.partition_key, stored.headers, stored.correlation_id) == (None, None, None)
        assert (stored.causation_id, stored.timer, stored.failed_at, stored.due_at) == (None, None, None, 0)

    @conformance
    async def test_positions_rise_in_the_order_of_acceptance(self, trial: Trial) -> None:
        first = await trial.accept(*(trial.envelope(f"a{i}", f"k{i}") for i in range(20)))
        second = await trial.accept(*(trial.envelope(f"b{i}", f"k{i}") for i in range(20)))

        positions = [each.position for each in [*first, *second]]
        assert positions == sorted(set(positions))

    @conformance
    async def test_appending_nothing_is_answered_with_nothing(self, trial: Trial) -> None:
        assert await trial.append() == []

    @conformance
    async def test_a_copy_of_an_id_is_dropped(self, trial: Trial) -> None:
        await trial.accept_one("m1")

        assert await trial.append(trial.envelope("m1")) == [DUPLICATE]
        assert await trial.stored_ids() == ["m1"]
        assert await trial.letters() == []

    @conformance
    async def test_a_copy_is_dropped_after_the_first_has_taken_effect(self, trial: Trial) -> None:
        stored = await trial.accept_one("m1")
        await trial.commit(completed(stored))

        assert await trial.append(trial.envelope("m1")) == [DUPLICATE]
        assert await trial.stored_ids() == []

    @conformance
    async def test_a_copy_is_dropped_though_its_stamp_key_and_headers_differ(self, trial: Trial) -> None:
        await trial.accept_one("m1")
        trial.wait(5)

        assert await trial.append(trial.envelope("m1", "B2", headers={"retry": "1"})) == [DUPLICATE]

    @conformance
    async def test_copies_within_one_call_are_dropped_but_the_first(self, trial: Trial) -> None:
        copies = [trial.envelope("m1") for _ in range(3)]

        assert await trial.append(*copies) == [ACCEPTED, DUPLICATE, DUPLICATE]
        assert await trial.stored_ids() == ["m1"]

    @conformance
    async def test_other_content_under_an_id_is_a_collision_and_a_dead_letter(self, trial: Trial) -> None:
        await trial.accept_one("m1", body=b"1")

        assert await trial.append(trial.envelope("m1", body=b"2")) == [COLLISION]

        letter = (await trial.letters())[0]
        assert letter.reason == "id collision: another message with this id was accepted before"
        assert (letter.envelope.body, letter.envelope.channel, letter.status) == (b"2", ORDERS, "open")
        assert [each.body for each in await trial.stored()] == [b"1"]

    @conformance
    async def test_another_type_under_an_id_is_a_collision(self, trial: Trial) -> None:
        await trial.accept_one("m1")

        assert await trial.append(trial.envelope("m1", message_type="orders.cancelled")) == [COLLISION]

    @conformance
    async def test_a_collision_within_one_call_costs_only_the_later_one(self, trial: Trial) -> None:
        answers = await trial.append(trial.envelope("m1", body=b"1"), trial.envelope("m1", body=b"2"))

        assert answers == [ACCEPTED, COLLISION]

    @conformance
    async def test_a_repeated_collision_opens_the_same_letter_again(self, trial: Trial) -> None:
        await trial.accept_one("m1", body=b"1")
        await trial.append(trial.envelope("m1", body=b"2"))
        letter = (await trial.letters())[0]
        await trial.store.discard(letter.id)

        assert await trial.append(trial.envelope("m1", body=b"2")) == [COLLISION]
        assert [each.id for each in await trial.letters()] == [letter.id]

    @conformance
    async def test_each_other_content_has_a_letter_of_its_own(self, trial: Trial) -> None:
        await trial.accept_one("m1", body=b"1")

        await trial.append(trial.envelope("m1", body=b"2"), trial.envelope("m1", body=b"3"))

        assert [each.envelope.body for each in await trial.letters()] == [b"2", b"3"]

    @conformance
    async def test_one_id_in_two_channels_is_two_messages(self, trial: Trial) -> None:
        assert await trial.append(trial.envelope("m1"), trial.envelope("m1", channel=BILLING)) == [ACCEPTED, ACCEPTED]
        assert await trial.append(trial.envelope("m1", channel=BILLING)) == [DUPLICATE]

    @conformance
    async def test_what_is_not_guarded_is_always_accepted(self, trial: Trial) -> None:
        copies = [trial.envelope("m1", guarded=False) for _ in range(3)]

        assert await trial.append(*copies) == [ACCEPTED] * 3
        assert await trial.append(trial.envelope("m1")) == [ACCEPTED]

    @conformance
    async def test_ids_that_look_alike_are_different(self, trial: Trial) -> None:
        answers = await trial.append(*(trial.envelope(message_id) for message_id in LOOK_ALIKES))

        assert dict(zip(LOOK_ALIKES, answers, strict=True)) == dict.fromkeys(LOOK_ALIKES, ACCEPTED)
        assert await trial.stored_ids() == list(LOOK_ALIKES)

    @conformance
    async def test_look_alikes_do_not_hide_each_other_across_calls(self, trial: Trial) -> None:
        for message_id in LOOK_ALIKES:
            assert await trial.append(trial.envelope(message_id)) == [ACCEPTED], message_id
        for message_id in LOOK_ALIKES:
            assert await trial.append(trial.envelope(message_id)) == [DUPLICATE], message_id

    @conformance
    async def test_keys_types_and_headers_are_text_byte_for_byte(self, trial: Trial) -> None:
        for i, text in enumerate(LOOK_ALIKES):
            await trial.accept_one(f"m{i}", text, headers={text: text}, correlation_id=text, causation_id=text)

        stored = await trial.stored()

        assert [each.partition_key for each in stored] == list(LOOK_ALIKES)
        assert [each.headers for each in stored] == [{text: text} for text in LOOK_ALIKES]
        assert [(each.correlation_id, each.causation_id) for each in stored] == [(text, text) for text in LOOK_ALIKES]

    @conformance
    async def test_bodies_survive_byte_for_byte(self, trial: Trial) -> None:
        large = '{"text":"ä🎉\\u0000 \\""}'.encode() * 8000  # 200 KiB
        bodies = [
            b"",
            b'"\\u0000"',
            bytes(range(1, 128)),
            b"'; --",
            "é".encode(),
            "e\u0301".encode(),
            b" {} ",
            b"1.10",
            large,
        ]

        stored = await trial.accept(*(trial.envelope(f"m{i}", body=body) for i, body in enumerate(bodies)))

        assert [each.body for each in stored] == bodies
        assert [each.body for each in (await trial.fetch()).envelopes] == bodies

    @conformance
    async def test_a_copy_anywhere_in_a_batch_costs_only_itself(self, trial: Trial) -> None:
        for place in (0, 50, 99):
            await trial.accept_one(f"{place}-copy")
            ids = [f"{place}-copy" if i == place else f"{place}-{i}" for i in range(100)]

            answers = await trial.append(*(trial.envelope(message_id) for message_id in ids))

            assert [i for i, answer in enumerate(answers) if answer is not ACCEPTED] == [place]
            assert answers[place] is DUPLICATE

    @conformance
    async def test_a_collision_anywhere_in_a_batch_costs_only_itself(self, trial: Trial) -> None:
        for place in (0, 50, 99):
            await trial.accept_one(f"{place}-taken", body=b"other")
            ids = [f"{place}-taken" if i == place else f"{place}-{i}" for i in range(100)]

            answers = await trial.append(*(trial.envelope(message_id) for message_id in ids))

            assert [i for i, answer in enumerate(answers) if answer is not ACCEPTED] == [place]
            assert answers[place] is COLLISION

    @conformance
    async def test_a_commit_says_which_of_its_messages_were_not_accepted(self, trial: Trial) -> None:
        await trial.append(trial.envelope("taken", channel=BILLING))
        runs = await trial.accept(*(trial.envelope(f"m{n}", f"k{n}") for n in range(3)))
        copy = trial.envelope("taken", channel=BILLING)
        other = trial.envelope("taken", channel=BILLING, body=b"{}")
        fresh = trial.envelope("fresh", channel=BILLING)

        answers = await trial.settle(
            completed(runs[0], sent=(copy,)), completed(runs[1], sent=(fresh, other)), completed(runs[2])
        )

        assert [answer.verdict for answer in answers] == [COMMITTED] * 3
        assert [answer.refused for answer in answers] == [((copy, DUPLICATE),), ((other, COLLISION),), ()]

    @conformance
    async def test_nothing_is_accepted_with_a_routing_of_the_past(self, trial: Trial) -> None:
        await trial.store.unregister(BILLING, "orders.submitted")

        assert await trial.store.append([trial.envelope()], trial.routing.version) is None
        assert await trial.stored() == []

        routing = await trial.store.routing()
        assert await trial.store.append([trial.envelope()], routing.version) == [ACCEPTED]

    @conformance
    async def test_a_delay_counts_from_acceptance_and_moves_the_stamp(self, trial: Trial) -> None:
        stored = await trial.accept_one(delay=MINUTE, sent_at=trial.clock.now() - SECOND)

        assert stored.due_at == trial.clock.now() + MINUTE
        assert (stored.sent_at, stored.delay) == (stored.due_at, 0)

    @conformance
    async def test_a_due_time_to_come_is_kept_and_moves_the_stamp(self, trial: Trial) -> None:
        due_at = trial.clock.now() + MINUTE

        stored = await trial.accept_one(due_at=due_at)

        assert (stored.due_at, stored.sent_at) == (due_at, due_at)

    @conformance
    async def test_a_due_time_in_the_past_is_due_and_leaves_the_stamp(self, trial: Trial) -> None:
        sent_at = trial.clock.now() - MINUTE

        stored = await trial.accept_one(due_at=sent_at - MINUTE, sent_at=sent_at)

        assert stored.sent_at == sent_at
        assert await trial.due_ids() == ["m1"]

    @conformance
    async def test_a_stamp_after_the_due_time_stays(self, trial: Trial) -> None:
        sent_at = trial.clock.now() + 5 * MINUTE

        stored = await trial.accept_one(delay=MINUTE, sent_at=sent_at)

        assert stored.sent_at == sent_at
