"""A call that was cut for taking too long does not go on at the server: its locks would hold up whoever repeats it."""

from uuid import uuid4

import pytest
from tests.conftest import Take
from tests.support.databases import SERVERS, Database, ServerDatabase
from tests.support.waiting import until

from sagabus import StoreUnavailable
from sagabus.clock import SystemClock
from sagabus.store_urls import store_from_url
from sagabus.stores.sql.server import ServerStore

pytestmark = pytest.mark.faults

SLEEP = {"postgres": "SELECT pg_sleep(60)", "mysql": "SELECT SLEEP(60)"}
RUNNING = {
    "postgres": "SELECT count(*) FROM pg_stat_activity WHERE query LIKE ? AND pid <> pg_backend_pid()",
    "mysql": "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE ? AND id <> connection_id()",
}


@pytest.fixture(params=SERVERS)
def place(request: pytest.FixtureRequest, take: Take) -> Database:
    database = take(request.param)
    database.make()
    return database


def running(place: Database, mark: str) -> int:
    ((found,),) = place.run(RUNNING[place.kind], [f"%{mark}%"])
    return int(found)


async def test_it_is_ended_at_the_server_with_all_its_locks(place: Database) -> None:
    assert isinstance(place, ServerDatabase)
    store = store_from_url(f"{place.url}&deadline=1", SystemClock())
    assert isinstance(store, ServerStore)
    mark = uuid4().hex
    await store.open()

    async with store.transaction() as unit:
        await unit.connection.execute(place.sql("INSERT INTO ledger (id, amount) VALUES (?, ?)"), ("A", 1))
        with pytest.raises(StoreUnavailable, match="no answer within 1 s"):
            await unit.connection.execute(f"{SLEEP[place.kind]} /* {mark} */", ())
    await until(lambda: not running(place, mark), 10)
    place.run("DROP TABLE ledger")  # waits for nobody's lock
    await store.close()

    assert place.tables.pop() == "ledger"
