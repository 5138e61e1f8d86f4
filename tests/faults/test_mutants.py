"""The tests tested: with one protection taken out of the source, a named check has to notice.

See mutants.py; those of the server stores are in test_mutants_on_servers.py.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.test_sqlite_store import TestSqliteStore as SqliteSuite
from tests.faults import test_disk_full, test_vandals
from tests.faults.conftest import listening
from tests.faults.files import prepare
from tests.faults.mutants import Mutant, check, finished
from tests.scenarios import (
    when_a_bus_is_used_from_another_loop,
    when_a_message_names_no_instance,
    when_a_state_is_read_again,
    when_a_worker_dies,
    when_handlers_return_something,
    when_handlers_send,
    when_handlers_take_too_long,
)
from tests.scenarios import when_runs_have_contexts_of_their_own as when_runs_have_contexts
from tests.support.sqlite_lanes import Scene, play
from tests.unit import test_field_types, test_forwarding, test_what_comes_back

from sagabus.testing import Harness

pytestmark = pytest.mark.faults


def promise(name: str) -> Callable[[Path], None]:
    """A test of the conformance suite, on a SQLite file."""

    def run(folder: Path) -> None:
        suite = SqliteSuite()
        suite.path = folder / "bus.db"
        finished(getattr(suite, name)())

    return run


def scenario(test: Callable[..., Any], **arguments: Any) -> Callable[[Path], None]:
    """A scenario, on a SQLite file."""

    def run(folder: Path) -> None:
        wanted = [name for name in inspect.signature(test).parameters if name not in arguments]
        file = folder / "bus.db"

        def make(*definitions: Any, **options: Any) -> Harness:
            return Harness(*definitions, **{"store": file, **options})

        finished(test(**arguments, **{name: file if name == "file" else make for name in wanted}))

    return run


def lane(scene: Scene) -> Callable[[Path], None]:
    """What happens in lanes of a SQLite file."""

    def run(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            play(folder, patch, scene)

    return run


def plain(test: Callable[..., Any], *arguments: Any) -> Callable[[Path], None]:
    """A test that needs no store."""
    return lambda folder: test(*arguments)


def vandals(test: Callable[..., Any], *arguments: str) -> Callable[[Path], None]:
    def run(folder: Path) -> None:
        prepare(folder / "vandals.db", test_vandals.TABLES)
        finished(test(*arguments, folder / "vandals.db"))

    return run


def full_disk(folder: Path) -> None:
    prepare(folder / "full.db", test_disk_full.TABLES)
    test = test_disk_full.test_a_transaction_that_the_database_gave_up_leaves_nothing
    with listening() as heard:
        finished(test(test_disk_full.with_connection, folder / "full.db", heard))


MUTANTS = [
    Mutant(
        "removed envelopes are not counted",
        "stores.sql:apply",
        " != len(found.removed)",
        " < 0",
        promise("test_the_second_commit_of_an_envelope_finds_it_gone"),
    ),
    Mutant(
        "version check removed",
        "_SETTLING",
        "AND version = r.column4",
        "",
        promise("test_a_version_built_on_an_old_one_is_a_conflict_and_leaves_nothing"),
    ),
    Mutant(
        "fencing off",
        "settle",
        "moved = {place for place, epoch in batch.epochs.items() if epochs.get(place) != epoch}",
        "moved = set()",
        promise("test_a_commit_of_the_former_owner_is_fenced_off"),
    ),
    Mutant(
        "errors of statements swallowed",
        "_execute",
        "        raise Lost(Verdict.REFUSED, failed.error) from failed.error\n    except",
        "        return\n    except",
        promise("test_a_failing_statement_anywhere_costs_only_its_message"),
    ),
    Mutant(
        "cancelled timers stay",
        "_cancel",
        "    if found.cancelled:",
        "    if False:",
        promise("test_a_cancelled_timer_never_fires"),
    ),
    Mutant(
        "attempts not counted",
        "_mark",
        "outcome.counted, due_at",
        "0, due_at",
        promise("test_a_retry_keeps_the_message_and_its_place"),
    ),
    Mutant(
        "inbox not consulted",
        "_answer",
        "before = known.get(place)",
        "before = None",
        promise("test_a_copy_of_an_id_is_dropped"),
    ),
    Mutant(
        "fingerprint ignored",
        "_answer",
        "return Admission.DUPLICATE if before == mine else Admission.COLLISION",
        "return Admission.DUPLICATE",
        promise("test_other_content_under_an_id_is_a_collision_and_a_dead_letter"),
    ),
    Mutant(
        "horizon not looked at",
        "_answer",
        "if envelope.sent_at < lowest.get(envelope.channel, 0):",
        "if False:",
        promise("test_a_late_copy_of_a_forgotten_message_is_quarantined"),
    ),
    Mutant(
        "unknown routing version ignored",
        "append_under",
        "if current == routing:",
        "if True:",
        promise("test_nothing_is_accepted_with_a_routing_of_the_past"),
    ),
    Mutant(
        "horizon not raised with the purge",
        "_purge_inbox",
        'yield Query("raise_horizon", (channel, horizon))',
        'yield Query("horizons")',
        promise("test_a_late_copy_of_a_forgotten_message_is_quarantined"),
    ),
    Mutant(
        "tombstones go too early",
        "stores.sqlite:_LETTERS",
        "AND completed_at < ?2",
        "AND ?2",
        promise("test_a_tombstone_goes_after_its_window_and_not_before"),
    ),
    Mutant(
        "replay not conditional",
        "replay",
        "replay_of(letter, (yield from _facts(letter)), force=force)",
        "ReplayResult.DONE",
        promise("test_a_second_replay_does_nothing"),
    ),
    Mutant(
        "holds ignored",
        "_packed",
        "{condition} AND {_NOT_HELD}",
        "{condition}",
        promise("test_a_key_waits_until_its_retry_is_settled"),
    ),
    Mutant(
        "epochs do not rise",
        "stores.sqlite:LEASING",
        "epoch = epoch + 1",
        "epoch = epoch",
        promise("test_each_change_of_hands_raises_the_epoch"),
    ),
    Mutant(
        "nobody is suspect",
        "suspects",
        '("suspects", (channel, lane, window, now))).value',
        '("suspects", (channel, lane, window, now))).value * 0',
        promise("test_a_window_of_the_lane_is_suspect_after_a_take_over"),
    ),
    Mutant(
        "everything is permitted",
        "permitted",
        "    if action not in _TABLE_ACTIONS:\n        return False",
        "    if action not in _TABLE_ACTIONS:\n        return True",
        vandals(test_vandals.test_a_statement_on_the_open_transaction_that_is_not_theirs, "COMMIT"),
    ),
    Mutant(
        "automatic rollback unnoticed",
        "GuardedConnection._run_alone",
        "if connection is None or not connection.in_transaction:",
        "if connection is None:",
        vandals(test_vandals.test_who_ignores_that_the_transaction_has_ended_commits_nothing, test_vandals.ENDING[0]),
    ),
    Mutant(
        "a flush is never taken apart",
        "Flush._commit",
        "if isinstance(error, StoreError) and type(error) not in _OF_THE_ROWS:",
        "if isinstance(error, StoreError):",
        vandals(
            test_vandals.test_a_unique_violation_of_their_own_is_a_failure_and_no_duplicate, test_vandals.ENDING[0]
        ),
    ),
    Mutant(
        "a full disk is an attempt",
        "SqliteLoan.store_error",
        "return ended_by if is_of_the_database(ended_by) else None",
        "return None",
        full_disk,
    ),
    Mutant(
        "deaths are not counted first",
        "InFlight.is_suspect",
        "return held is not None and held.lane.is_suspect(envelope.partition_key, envelope.position)",
        "return False",
        scenario(when_a_worker_dies.test_a_killer_is_dead_after_three_deaths_and_its_neighbours_are_done),
    ),
    Mutant(
        "what has died twice runs beside others",
        "_has_to_be_alone",
        "return envelope.deaths + 1 >= mailbox.definition.retry.alone_from",
        "return False",
        scenario(when_a_worker_dies.test_after_two_deaths_each_runs_alone_and_nothing_else_begins),
    ),
    Mutant(
        "a graceful stop leaves deaths",
        "Suspects.take_back",
        "                await self._marks.take_back()",
        "                pass",
        scenario(when_a_worker_dies.test_what_a_graceful_stop_leaves_has_not_died),
    ),
    Mutant(
        "a lost lease leaves deaths",
        "Marks.check_lanes",
        "self.orphaned.append(mark.envelope)",
        "pass",
        scenario(when_a_worker_dies.test_what_a_lost_lease_leaves_has_not_died),
    ),
    Mutant(
        "a run that fails leaves a death",
        "Settlement._outlived",
        "return replace(outcome, deaths=-1)",
        "return outcome",
        scenario(when_a_worker_dies.test_a_run_that_fails_has_not_died),
    ),
    Mutant(
        "fencing leaves epochs as they are",
        "fence_all",
        '"raise_epochs", (BEYOND_LOST,)',
        '"raise_epochs", (0,)',
        promise("test_in_flight_work_commits_nothing"),
    ),
    Mutant(
        "epochs of a lost time come again",
        "fence_all",
        '"raise_epochs", (BEYOND_LOST,)',
        '"raise_epochs", (1,)',
        promise("test_no_epoch_of_the_lost_commits_comes_again"),
    ),
    Mutant(
        "addresses of a lost time come again",
        "fence_all",
        '"raise_routing", (BEYOND_LOST,)',
        '"raise_routing", (0,)',
        promise("test_no_routing_of_the_lost_commits_comes_again"),
    ),
    Mutant(
        "other workers do not learn that lanes are fenced",
        "fence_all",
        'yield Query("raise_crew", (BEYOND_LOST,))',
        "pass",
        promise("test_other_workers_learn_of_it"),
    ),
    Mutant(
        "the context stays open",
        "Context.close",
        "        self._closed = True",
        "        self._closed = False",
        scenario(when_handlers_send.test_the_context_is_closed_after_the_run),
    ),
    Mutant(
        "what comes back changed is accepted",
        "Form.read_back",
        "        elif not (self.equality_shows_all",
        "        elif False and not (self.equality_shows_all",
        plain(test_what_comes_back.test_a_state_that_would_come_back_changed_is_refused_naming_saga_and_field),
    ),
    Mutant(
        "a run gets what was kept beside the fields",
        "StateCodec._writer_of",
        "len(state.__dict__) != width",
        "False",
        plain(
            when_a_state_is_read_again.test_so_it_is_where_types_alone_say_that_it_comes_back_equal, "a cached property"
        ),
    ),
    Mutant(
        "one subscription's key vetoes the event",
        "Sender._envelope",
        "except Exception as error:  # noqa: BLE001  # the subscriber meets it",
        "except ZeroDivisionError as error:  # noqa: BLE001  # the subscriber meets it",
        scenario(
            when_a_message_names_no_instance.test_an_unusable_key_costs_that_subscription_only,
            how="a field that is too long",
        ),
    ),
    Mutant(
        "a type that JSON has no form for is taken",
        "_types",
        "    if types.problems:",
        "    if False:",
        plain(test_field_types.test_every_wrong_field_is_listed),
    ),
    Mutant(
        "runs share a context",
        "Processing.begin",
        "begun = context.run(consumer.begin, mailbox",
        "begun = consumer.begin(mailbox",
        scenario(when_runs_have_contexts.test_no_run_sees_what_another_has_set, make=when_runs_have_contexts.plain),
    ),
    Mutant(
        "what a handler returns is taken for nothing",
        "_is_nothing",
        "return len(values) > 0 and all(value is None for value in values)",
        "return True",
        scenario(
            when_handlers_return_something.test_a_value_fails_the_run_and_the_reason_says_what_to_write,
            function=lambda message, ctx: [1],
            advice="list",
            thread=False,
        ),
    ),
    Mutant(
        "other event loops are let in",
        "HomeLoop.check",
        "raise WrongEventLoop(self._advice(home, call))",
        "return",
        scenario(when_a_bus_is_used_from_another_loop.test_a_bus_whose_loop_has_ended_says_so),
    ),
    Mutant(
        "no time limit is kept",
        "TimeLimits._look_at",
        "self._cancel(run)\n            return",
        "return",
        scenario(
            when_handlers_take_too_long.test_at_its_limit_a_run_fails_and_leaves_nothing,
            make=when_handlers_take_too_long.in_a_thread,
        ),
    ),
    Mutant(
        "what the file is asked for is forwarded as well",
        "Forwarding.give",
        "            self._take((cursor.channel, cursor.lane))\n",
        "            pass\n",
        lane(test_forwarding.what_another_process_stored_before_it_comes_before_it),
    ),
    Mutant(
        "any lane is quiet",
        "QuietLanes.ends_before",
        "end is not None and end < position",
        "True",
        lane(test_forwarding.what_another_worker_fetches_is_not_kept),
    ),
    Mutant(
        "what a fetch has seen is forwarded",
        "QuietLanes.ends_before",
        " and end < position",
        "",
        lane(test_forwarding.what_a_fetch_saw_before_its_commit_had_ended_comes_once),
    ),
    Mutant(
        "a lane that is sifted is quiet",
        "QuietLanes.sifting",
        "self._ends.pop(place, None)",
        "pass",
        lane(test_forwarding.what_a_sift_saw_before_its_commit_had_ended_comes_once),
    ),
    Mutant(
        "a lane that is sifted is handed over",
        "Handing.sifting",
        "self._ends.pop(place, None)",
        "pass",
        lane(test_forwarding.what_was_published_while_its_lane_was_sifted_is_not_handed_over_as_well),
    ),
    Mutant(
        "of what was stored step by step the last step is forwarded",
        "Handing.committed",
        "not all(answer.verdict is Verdict.COMMITTED for answer in answers)",
        "False",
        lane(test_forwarding.where_some_outcomes_are_refused_all_that_was_sent_comes),
    ),
    Mutant(
        "what is sent to a key that is held back is forwarded",
        "Forwarding.keep",
        "noted.may_hold or ",
        "",
        lane(test_forwarding.while_a_key_is_held_back_the_file_is_asked),
    ),
    Mutant(
        "a hold leaves what is forwarded",
        "Handing.committed",
        "            self.drop()\n",
        "            pass\n",
        lane(test_forwarding.a_message_that_stays_has_the_file_asked),
    ),
    Mutant(
        "what is forwarded has another position",
        "_placed",
        "noted.last - len(noted.envelopes)",
        "noted.last - len(noted.envelopes) - 1",
        lane(test_forwarding.it_is_what_the_file_would_give),
    ),
    Mutant(
        "what is sifted is forwarded as well",
        "Handing.sifting",
        "        self._forwarding.sifting(place)\n",
        "",
        lane(test_forwarding.what_is_looked_for_key_by_key_comes_by_no_other_way),
    ),
    Mutant(
        "a timer is forwarded",
        "_placed",
        "if sent.timer is not None or sent.due_at or sent.delay > 0:",
        "if False:",
        lane(test_forwarding.a_lane_in_which_a_timer_was_set_is_asked),
    ),
]


SLOW = ("a flush is never taken apart", "deaths are not counted first")
"""Noticed by that it never ends."""


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(mutant, id=mutant.name.replace(" ", "-"), marks=[pytest.mark.slow] * (mutant.name in SLOW))
        for mutant in MUTANTS
    ],
)
@pytest.mark.share(2)
def test_a_named_check_notices(mutant: Mutant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(mutant, tmp_path, monkeypatch)
