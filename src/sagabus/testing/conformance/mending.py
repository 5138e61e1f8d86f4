"""What an operator changes: as it was seen or not at all, in one commit with the audit log."""

from __future__ import annotations

from typing import Any

import msgspec

from sagabus.envelope import Envelope
from sagabus.outcome import RetryAt, Stashed
from sagabus.store import ReplayResult, Retention
from sagabus.store.mending import ChangeInstance, Edit, Entry, Mend, Move, Pause, Remove, Resume, RunNow
from sagabus.testing.conformance.trial import (
    BILLING,
    COMMITTED,
    DAY,
    FAILURE,
    MINUTE,
    ORDERS,
    SECOND,
    StoreSuite,
    Trial,
    completed,
    conformance,
    save,
)

DONE, ALREADY_DONE = ReplayResult.DONE, ReplayResult.ALREADY_DONE


def entry(verb: str = "saga.patch", target: str = "A1", **fields: Any) -> Entry:
    """What the audit log keeps."""
    chosen: dict[str, Any] = {"channel": ORDERS, "by": "ann", "reason": "a phone call", "before": "{}", "after": "[1]"}
    return Entry(verb=verb, target=target, **chosen | fields)


async def mended(trial: Trial, mend: Mend, kept: Entry | None = None) -> bool:
    """Whether the change was made."""
    return await trial.store.change(mend, kept or entry()) is not None


def as_seen(envelope: Envelope) -> tuple[int, int, int]:
    """What a change of an envelope rests on."""
    return envelope.position, envelope.due_at, envelope.attempt


async def verbs(trial: Trial) -> list[str]:
    """What the audit log says was done, the latest first."""
    return [each.entry.verb for each in (await trial.store.inspect.audits()).entries]


class AuditConformance(StoreSuite):
    """The audit log: one entry for each change, in the commit of the change."""

    @conformance
    async def test_an_entry_says_who_what_when_and_why(self, trial: Trial) -> None:
        kept = entry(by="ann ä", reason="a\nb", before='{"x":"ü"}', after="null")
        trial.wait(5)

        audit = await trial.store.change(Pause(ORDERS), kept)

        (found,) = (await trial.store.inspect.audits()).entries
        assert (found.id, found.at, found.entry) == (audit, trial.clock.now(), kept)

    @conformance
    async def test_what_was_not_changed_leaves_no_entry(self, trial: Trial) -> None:
        assert not await mended(trial, ChangeInstance(save(base=3)))
        assert not await mended(trial, Remove(77, 0, 0))
        assert not await mended(trial, Resume(ORDERS))

        assert await verbs(trial) == []
        assert await trial.instance() is None

    @conformance
    async def test_entries_are_read_page_by_page_the_latest_first(self, trial: Trial) -> None:
        for number in range(6):
            mend = Pause(ORDERS) if number % 2 == 0 else Resume(ORDERS)
            assert await mended(trial, mend, entry(f"v{number}", channel=ORDERS if number < 4 else BILLING))

        inspect = trial.store.inspect

        async def verbs(**asked: Any) -> list[str]:
            return [each.entry.verb for each in (await inspect.audits(**asked)).entries]

        first = (await inspect.audits(limit=2)).entries
        assert [each.entry.verb for each in first] == ["v5", "v4"]
        assert await verbs(before=first[-1].id, limit=3) == ["v3", "v2", "v1"]
        assert await verbs(channel=BILLING) == ["v5", "v4"]
        assert await verbs(channel="orders2") == []

    @conformance
    async def test_entries_are_found_by_their_target(self, trial: Trial) -> None:
        await trial.store.change(Pause(ORDERS), entry("one", target="A1"))
        await trial.store.change(Resume(ORDERS), entry("two", target="a1"))

        found = [await trial.store.inspect.audits(channel=channel, target="A1") for channel in (None, ORDERS)]
        assert [[each.entry.verb for each in page.entries] for page in found] == [["one"], ["one"]]

    @conformance
    async def test_entries_about_timers_messages_and_letters_are_found_by_their_key(self, trial: Trial) -> None:
        key = 'Ä"1%'
        of_key = msgspec.json.encode({"message_id": "m1", "key": key, "due_at": None}).decode()
        of_others = '{"key":"Ä\\"1%2","body":"{\\"key\\":\\"x\\"}"}'
        await trial.store.change(Pause(ORDERS), entry("timer.move", target=f"{key} payment", before=of_key))
        await trial.store.change(Resume(ORDERS), entry("dead-letter.replay", target="7", before=of_key))
        await trial.store.change(Pause(ORDERS), entry("dead-letter.edit", target="8", before=of_others))

        for channel in (None, ORDERS):
            page = await trial.store.inspect.audits(channel=channel, target=key)
            assert [each.entry.verb for each in page.entries] == ["dead-letter.replay", "timer.move"]
            assert (await trial.store.inspect.audits(channel=channel, target="x")).entries == ()

    @conformance
    async def test_entries_are_found_by_who_made_them_and_when(self, trial: Trial) -> None:
        await trial.store.change(Pause(ORDERS), entry("one", by="ann"))
        trial.wait(5)
        then = trial.clock.now()
        await trial.store.change(Resume(ORDERS), entry("two", by="Ann"))
        trial.wait(5)
        await trial.store.change(Pause(ORDERS), entry("three", by="ann", target="B2"))
        await trial.store.change(Pause(BILLING), entry("four", by="bob ä", channel=BILLING))

        async def verbs(**asked: Any) -> list[str]:
            return [each.entry.verb for each in (await trial.store.inspect.audits(**asked)).entries]

        for channel, others in ((None, ["four"]), (ORDERS, list[str]())):
            assert await verbs(channel=channel, by="ann") == ["three", "one"]
            assert await verbs(channel=channel, by="bob ä") == others
            assert await verbs(channel=channel, since=then) == [*others, "three", "two"]
            assert await verbs(channel=channel, since=then + 1) == [*others, "three"]
            assert await verbs(channel=channel, until=then) == ["one"]
            assert await verbs(channel=channel, until=then + 1) == ["two", "one"]
            assert await verbs(channel=channel, since=then, until=then + 1) == ["two"]
            assert await verbs(channel=channel, since=then, by="ann", target="A1") == []
            assert await verbs(channel=channel, until=then + 1, limit=1) == ["two"]

    @conformance
    async def test_entries_are_found_by_a_name_that_no_database_keeps(self, trial: Trial) -> None:
        await trial.store.change(Pause(ORDERS), entry("one", by="a\0n"))

        (found,) = (await trial.store.inspect.audits(by="a\0n")).entries
        assert (await trial.store.inspect.audits(by=found.entry.by)).entries == (found,)

    @conformance
    async def test_old_entries_are_forgotten_in_steps(self, trial: Trial) -> None:
        for mend in (Pause(ORDERS), Resume(ORDERS), Pause(ORDERS)):
            await trial.store.change(mend, entry())
        await trial.store.change(Pause(BILLING), entry("young", channel=BILLING))
        trial.wait(20)
        await trial.store.change(Resume(ORDERS), entry("young"))

        retention = [Retention(ORDERS, DAY, audit=10 * SECOND)]
        first = await trial.store.purge(retention, 2)
        assert (first.audits, first.more) == (2, True)
        await trial.store.purge(retention, 2)
        assert await verbs(trial) == ["young", "young"]

    @conformance
    async def test_entries_of_no_other_window_stay_as_long_as_the_rest(self, trial: Trial) -> None:
        await trial.store.change(Pause(ORDERS), entry())
        trial.wait(60)

        await trial.purge(window=DAY)
        assert len(await verbs(trial)) == 1
        await trial.purge(window=MINUTE // 2)
        assert await verbs(trial) == []


class InstanceMendingConformance(StoreSuite):
    """An instance is changed on top of the version that was seen."""

    @conformance
    async def test_the_next_version_is_made_once(self, trial: Trial) -> None:
        await trial.commit(completed(await trial.accept_one(), save=save()))
        change = ChangeInstance(save(base=1, state=b'{"mended":1}', status="held"))

        assert await mended(trial, change)
        assert not await mended(trial, change)

        found = await trial.instance()
        assert found is not None
        assert (found.version, found.state, found.status, found.completed) == (2, b'{"mended":1}', "held", False)
        assert len(await verbs(trial)) == 1

    @conformance
    async def test_a_run_on_the_version_before_conflicts(self, trial: Trial) -> None:
        await trial.commit(completed(await trial.accept_one(), save=save()))
        late = await trial.accept_one("m2")
        await trial.store.change(ChangeInstance(save(base=1)), entry())

        (verdict,) = await trial.commit(completed(late, save=save(base=1)))

        assert verdict.value == "conflict"
        assert await trial.stored_ids() == ["m2"]

    @conformance
    async def test_an_end_takes_the_timers_and_wakes_what_is_stashed(self, trial: Trial) -> None:
        await trial.commit(completed(await trial.accept_one(), save=save(), sent=(trial.timer(),)))
        waiting = await trial.accept_one("m2")
        await trial.commit(Stashed(waiting, patience=DAY))
        assert await trial.due_ids() == []

        assert await mended(trial, ChangeInstance(save(base=1, completed=True, wakes=True)), entry("saga.cancel"))

        assert await trial.due_ids() == ["m2"]
        found = await trial.instance()
        assert found is not None
        assert found.completed

    @conformance
    async def test_a_cancelled_timer_goes_alone(self, trial: Trial) -> None:
        timers = (trial.timer("payment"), trial.timer("shipping"))
        await trial.commit(completed(await trial.accept_one(), save=save(), sent=timers))

        assert await mended(trial, ChangeInstance(save(base=1), cancelled=("payment",)), entry("timer.cancel"))

        assert [each.timer for each in await trial.stored()] == ["shipping"]

    @conformance
    async def test_a_recorded_change_is_in_the_history_and_names_the_entry(self, trial: Trial) -> None:
        await trial.commit(completed(await trial.accept_one(), save=save(recorded=True)))

        audit = await trial.store.change(ChangeInstance(save(base=1, recorded=True)), entry("saga.complete"))
        await trial.store.change(ChangeInstance(save(base=1, recorded=True)), entry("saga.complete"))

        rows = await trial.store.inspect.history(ORDERS, "A1")
        assert [(each.version, each.message_type, each.message_id) for each in rows[1:]] == [
            (2, "sagabus.saga.complete", f"audit-{audit}")
        ]


class QueueMendingConformance(StoreSuite):
    """Stored messages and timers are changed as they were seen."""

    @conformance
    async def test_a_message_that_waits_for_its_retry_is_due_now_and_runs_first(self, trial: Trial) -> None:
        stored = await trial.accept_one()
        await trial.commit(RetryAt(envelope=stored, delay=DAY, failure=FAILURE))
        await trial.accept_one("m2")
        (seen, _) = await trial.stored()
        assert await trial.due_ids() == []

        assert await mended(trial, RunNow(*as_seen(seen)), entry("message.retry"))

        assert await trial.due_ids() == ["m1"]
        (due,) = (await trial.fetch()).envelopes
        assert due.attempt == seen.attempt == 1
        assert not await mended(trial, RunNow(*as_seen(seen)))

    @conformance
    async def test_what_is_stashed_is_not_made_due(self, trial: Trial) -> None:
        await trial.commit(Stashed(await trial.accept_one(), patience=DAY))
        (seen,) = await trial.stored()

        assert not await mended(trial, RunNow(*as_seen(seen)))

    @conformance
    async def test_a_removed_message_is_gone_and_its_id_stays_taken(self, trial: Trial) -> None:
        seen = await trial.accept_one(delay=DAY)

        assert await mended(trial, Remove(*as_seen(seen)), entry("message.cancel"))

        assert await trial.stored() == []
        await trial.append(trial.envelope(delay=DAY, sent_at=seen.sent_at))
        assert await trial.stored() == []
        assert await trial.commit(completed(seen)) != [COMMITTED]

    @conformance
    async def test_what_has_run_once_more_since_it_was_seen_stays(self, trial: Trial) -> None:
        seen = await trial.accept_one()
        await trial.commit(RetryAt(envelope=seen, delay=DAY, failure=FAILURE))

        assert not await mended(trial, Remove(*as_seen(seen)))
        assert not await mended(trial, Move(*as_seen(seen), trial.clock.now() + DAY))
        assert await trial.stored_ids() == ["m1"]

    @conformance
    async def test_a_removed_message_lets_its_key_go_on(self, trial: Trial) -> None:
        await trial.commit(RetryAt(envelope=await trial.accept_one(), delay=DAY, failure=FAILURE))
        await trial.accept_one("m2")
        seen = (await trial.stored())[0]

        assert await mended(trial, Remove(*as_seen(seen)))

        assert await trial.due_ids() == ["m2"]

    @conformance
    async def test_a_moved_timer_is_due_then_and_what_was_in_flight_is_void(self, trial: Trial) -> None:
        await trial.commit(completed(await trial.accept_one(), save=save(), sent=(trial.timer(after=MINUTE),)))
        trial.wait(61)
        (seen,) = (await trial.fetch()).envelopes

        assert await mended(trial, Move(*as_seen(seen), trial.clock.now() + MINUTE), entry("timer.move"))

        assert await trial.due_ids() == []
        assert await trial.commit(completed(seen, save=save(base=1))) != [COMMITTED]
        trial.wait(61)
        (due,) = (await trial.fetch()).envelopes
        assert (due.timer, due.message_id) == (seen.timer, seen.message_id)
        assert due.position > seen.position
        assert await trial.commit(completed(due, save=save(base=1))) == [COMMITTED]

    @conformance
    async def test_a_look_gives_the_body(self, trial: Trial) -> None:
        seen = await trial.accept_one(body=b'{"x":"\xc3\xa4"}')

        assert await trial.store.inspect.envelope(seen.position) == seen
        assert await trial.store.inspect.envelope(seen.position + 1) is None


class PauseConformance(StoreSuite):
    """A pause is a row that every worker hears of."""

    @conformance
    async def test_a_pause_is_part_of_the_routing_until_it_ends(self, trial: Trial) -> None:
        before = await trial.store.routing()
        trial.wait(3)

        assert await mended(trial, Pause(ORDERS), entry("subscription.pause"))
        assert not await mended(trial, Pause(ORDERS))

        routing = await trial.store.routing()
        assert (routing.paused, routing.version) == ((ORDERS,), before.version)
        (found,) = await trial.store.inspect.paused()
        assert (found.channel, found.since, found.by, found.reason) == (
            ORDERS,
            trial.clock.now(),
            "ann",
            "a phone call",
        )
        assert await mended(trial, Resume(ORDERS), entry("subscription.resume"))
        assert (await trial.store.routing()).paused == ()

    @conformance
    async def test_workers_hear_of_it_with_their_next_fetch(self, trial: Trial) -> None:
        await trial.lease()
        crew = await trial.crew()

        await trial.store.change(Pause(ORDERS), entry())
        paused = await trial.crew()
        await trial.store.change(Resume(ORDERS), entry())

        assert len({crew, paused, await trial.crew()}) == 3


class LetterMendingConformance(StoreSuite):
    """What operators do to dead letters is in the audit log, and another message may take the place of one."""

    @conformance
    async def test_a_replay_and_a_discard_are_in_the_log(self, trial: Trial) -> None:
        first = await trial.bury("m1")
        second = await trial.bury("m2", parks=True)

        await trial.store.replay(first.id, entry=entry("dead-letter.replay", before="", after=""))
        await trial.store.discard(second.id, entry=entry("dead-letter.discard", before="", after=""))
        await trial.store.replay(first.id, entry=entry("dead-letter.replay"))
        await trial.store.discard(77, entry=entry("dead-letter.discard"))

        discarded, replayed = [each.entry for each in (await trial.store.inspect.audits()).entries]
        assert (replayed.verb, replayed.before, replayed.after) == (
            "dead-letter.replay",
            '{"key":"A1","status":"open","parked":false,"correlation_id":"m1"}',
            '{"status":"replayed","result":"done"}',
        )
        assert discarded.channel == ORDERS
        assert discarded.before == '{"key":"A1","status":"open","parked":true,"correlation_id":"m2"}'

    @conformance
    async def test_an_edited_message_takes_the_place_of_the_letter(self, trial: Trial) -> None:
        letter = await trial.bury("m1", parks=True)
        await trial.accept_one("m2")
        trial.wait(5)
        edit = Edit("m1~edited", b'{"order_id":"A1","fixed":true}')

        assert await trial.store.replay(letter.id, edit=edit, entry=entry("dead-letter.edit")) is DONE

        assert await trial.due_ids() == ["m1~edited"]
        (due,) = (await trial.fetch()).envelopes
        assert (due.body, due.partition_key, due.headers) == (edit.body, "A1", {"sagabus-edited-from": "m1"})
        assert due.correlation_id == "m1"  # which began the conversation
        assert due.sent_at == trial.clock.now()
        assert await trial.commit(completed(due)) == [COMMITTED]
        assert await trial.due_ids() == ["m2"]
        assert [each.status for each in await trial.letters(None)] == ["replayed"]

    @conformance
    async def test_the_id_of_an_edited_message_is_taken(self, trial: Trial) -> None:
        first, second = await trial.bury("m1"), await trial.bury("m2")
        edit = Edit("fixed", b"{}")

        assert await trial.store.replay(first.id, edit=edit) is DONE
        assert await trial.store.replay(second.id, edit=edit) is ALREADY_DONE

        assert await trial.stored_ids() == ["fixed"]
        assert [each.value for each in await trial.append(trial.envelope("fixed", body=b"{}"))] == ["duplicate"]
