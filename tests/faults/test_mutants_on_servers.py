"""The same for the protections that only the stores on servers have, or have in words of their own."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.test_mysql_store import TestMysqlStore as MysqlSuite
from tests.conformance.test_postgres_store import TestPostgresStore as PostgresSuite
from tests.faults import test_mysql
from tests.faults.mutants import Mutant, check, finished
from tests.scenarios import when_a_handler_asks_for_its_favourite_connection as favourites
from tests.support.databases import fresh_database, own_database
from tests.unit import test_handover

from sagabus.clock import Clock
from sagabus.store import Store
from sagabus.stores.mysql import MysqlStore
from sagabus.stores.postgres import PostgresStore

SUITES = {"postgres": (PostgresSuite, PostgresStore), "mysql": (MysqlSuite, MysqlStore)}

pytestmark = pytest.mark.faults


def promise(kind: str, name: str) -> Callable[[Path], None]:
    """A test of the conformance suite, on tables of its own."""

    def run(folder: Path) -> None:
        suite_class, store_class = SUITES[kind]
        suite: Any = suite_class()
        with fresh_database(kind, folder) as database:

            async def make(clock: Clock) -> Store:
                return store_class(database.url, clock=clock)

            suite.make_store = suite.same_store = make
            finished(getattr(suite, name)())

    return run


def burglary(folder: Path) -> None:
    with fresh_database("postgres", folder) as database:
        database.make()
        finished(favourites.test_ending_the_transaction_by_the_back_door_is_found_out(database))


def on_mysql(test: Callable[..., Any], *arguments: str) -> Callable[[Path], None]:
    """A test of test_mysql.py, in a database of its own."""

    def run(folder: Path) -> None:
        with own_database("mysql") as url:
            finished(test(url, *arguments))

    return run


def handing_over(kind: str, test: Callable[[test_handover.Play], None]) -> Callable[[Path], None]:
    """A test of test_handover.py, in a database of its own."""

    def run(folder: Path) -> None:
        with own_database(kind) as url, pytest.MonkeyPatch.context() as patch:

            async def play(scene: test_handover.Scene) -> None:
                async with test_handover.standing(url, kind, patch) as database:
                    await scene(database)

            test(lambda scene: asyncio.run(play(scene)))

    return run


MUTANTS = [
    Mutant(
        "postgres: what others appended is not looked for before a hand-over",
        "_APPEND_AND_TELL",
        "AND NOT EXISTS (SELECT 1 FROM c CROSS JOIN LATERAL {_MORE} AS e)",
        "",
        handing_over("postgres", test_handover.test_what_another_process_appended_before_goes_before),
    ),
    Mutant(
        "mysql: what others appended is not looked for before a hand-over",
        "Heard.take",
        "_NEW not in by_kind",
        "True",
        handing_over("mysql", test_handover.test_what_another_process_appended_before_goes_before),
    ),
    Mutant(
        "what was committed late is not looked for before a hand-over",
        "Fetching.stored",
        "            or self._late_of(findings.standing)\n",
        "",
        handing_over("postgres", test_handover.test_what_had_its_position_early_and_was_committed_late_goes_before),
    ),
    Mutant(
        "postgres: epochs are not compared in a flush",
        "_FLUSH",
        "(SELECT n FROM held) = ?8::int",
        "?8::int >= 0",
        promise("postgres", "test_a_commit_of_the_former_owner_is_fenced_off"),
    ),
    Mutant(
        "postgres: removed envelopes are not counted in a flush",
        "_FLUSH",
        "(SELECT count(*) FROM removed) = ?9::int",
        "(SELECT count(*) FROM removed) <= ?9::int",
        promise("postgres", "test_the_second_commit_of_an_envelope_finds_it_gone"),
    ),
    Mutant(
        "postgres: saved instances are not counted in a flush",
        "_FLUSH",
        "(SELECT count(*) FROM saved WHERE read_version >= 0) = ?10::int",
        "(SELECT count(*) FROM saved) <= ?10::int",
        promise("postgres", "test_a_version_built_on_an_old_one_is_a_conflict_and_leaves_nothing"),
    ),
    Mutant(
        "postgres: versions are not compared in a flush",
        "_FLUSH",
        'saved AS ({write_instances(row_text.instances("?4"), "?5::bigint")}),',
        'saved AS ({write_instances(row_text.instances("?4"), "?5::bigint")'
        '.replace("WHERE i.version = -excluded.read_version", "")}),',
        promise("postgres", "test_a_version_built_on_an_old_one_is_a_conflict_and_leaves_nothing"),
    ),
    Mutant(
        "postgres: an instance that is gone is made anew in a flush",
        "_FLUSH",
        "FROM saved WHERE read_version >= 0)",
        "FROM saved)",
        promise("postgres", "test_a_version_built_on_one_to_come_is_a_conflict"),
    ),
    Mutant(
        "postgres: the routing is not compared in a flush",
        "_FLUSH",
        "WHEN (SELECT value FROM head) = ?1::bigint AND",
        "WHEN ?1::bigint > 0 AND",
        promise("postgres", "test_a_routing_of_the_past_costs_those_that_sent_something"),
    ),
    Mutant(
        "postgres: the routing is not compared in an append",
        "PostgresStore.append",
        "if current != routing:",
        "if False:",
        promise("postgres", "test_nothing_is_accepted_with_a_routing_of_the_past"),
    ),
    Mutant(
        "postgres: what was known before is stored again",
        "_ACCEPTING",
        "(g.guarded < 1 OR f.message_id IS NOT NULL)",
        "g.guarded >= 0",
        promise("postgres", "test_a_copy_of_an_id_is_dropped"),
    ),
    Mutant(
        "postgres: what an append has taken is not looked at",
        "PostgresStore.append",
        "if fresh is None:",
        "if True:",
        promise("postgres", "test_a_copy_of_an_id_is_dropped"),
    ),
    Mutant(
        "postgres: the horizon is not compared in an append",
        "_ACCEPTING",
        "AND g.origin >= coalesce((SELECT l.stamp FROM lowest AS l WHERE l.channel = g.channel), 0)",
        "",
        promise("postgres", "test_a_late_copy_of_a_forgotten_message_is_quarantined"),
    ),
    Mutant(
        "postgres: nobody sees that a lent transaction has ended",
        "NativeLoan.settle",
        "            await self._link.answer(_RELEASE)",
        "            pass",
        burglary,
    ),
    Mutant(
        "mysql: changed instances are not counted",
        "MysqlLink._write",
        'return written - len(rows) if name == "change_instances" else written',
        'return len(rows) if name == "change_instances" else written',
        promise("mysql", "test_a_version_built_on_an_old_one_is_a_conflict_and_leaves_nothing"),
    ),
    Mutant(
        "mysql: versions are not compared",
        "_if_unchanged",
        "IF(version = VALUES(read_version), VALUES({column}), {column})",
        "VALUES({column})",
        promise("mysql", "test_a_version_built_on_an_old_one_is_a_conflict_and_leaves_nothing"),
    ),
    Mutant(
        "mysql: a transaction goes on after an error",
        "MysqlLink._watched",
        "        if self._failed:",
        "        if False:",
        on_mysql(test_mysql.test_an_error_that_is_hidden_leaves_no_half_of_a_transaction),
    ),
    Mutant(
        "mysql: a transaction that has ended is committed",
        "MysqlLink.commit",
        "        if not self.native.get_transaction_status():\n            raise TransactionLost(f",
        "        if False:\n            raise TransactionLost(f",
        on_mysql(test_mysql.test_a_transaction_that_ended_by_itself_is_not_reported_as_committed, "ROLLBACK"),
    ),
    Mutant(
        "mysql: rows that stay as they are do not count as found",
        "lasting_arguments",
        '"client_flag": asyncmy_flags.FOUND_ROWS',
        '"client_flag": 0',
        promise("mysql", "test_a_lane_is_given_back_by_its_owner_of_now_only"),
    ),
    Mutant(
        "mysql: ids and keys are text",
        "KEY",
        'KEY = "VARBINARY(2004)"',
        'KEY = "VARCHAR(501) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"',
        promise("mysql", "test_ids_that_look_alike_are_different"),
    ),
    Mutant(
        "mysql: an id recorded meanwhile is an error",
        "MysqlLink._write",
        "if code_of(error) != DUPLICATE:",
        "if True:",
        promise("mysql", "test_of_64_concurrent_appends_of_one_id_one_is_accepted"),
    ),
]


@pytest.mark.parametrize("mutant", [pytest.param(mutant, id=mutant.name.replace(" ", "-")) for mutant in MUTANTS])
@pytest.mark.share(4)
def test_a_named_check_notices_on_a_server(mutant: Mutant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(mutant, tmp_path, monkeypatch)
