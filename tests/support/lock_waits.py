"""Statements that wait for a lock at their server, as its own lists have them."""

from collections.abc import Callable

from tests.support.databases import ServerDatabase
from tests.support.waiting import until

_WAITING = {
    "postgres": "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE ?",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT' AND trx_query LIKE ?",
}


async def one_waits(database: ServerDatabase, text: str = "", *, unless: Callable[[], bool] = lambda: False) -> None:
    """Wait until a statement on these tables waits, with a text in it; `unless`: no more than that has to come true."""

    def found() -> bool:
        return unless() or database.run(_WAITING[database.kind], [f"%{database.name}%{text}%"]) != [(0,)]

    await until(found, every=0.15)  # MySQL refreshes its list only when nobody has asked for a tenth of a second
