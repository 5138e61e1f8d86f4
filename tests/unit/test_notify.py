"""The task that exchanges hints with other processes: its end is in the log, unless the store has stopped it."""

import asyncio
import logging
from typing import Any

import pytest

from sagabus.stores.postgres.notify import Announcing


async def never() -> Any:
    await asyncio.Event().wait()


async def end(announcing: Announcing, *, stopped: bool) -> None:
    announcing.start()
    await asyncio.sleep(0)
    (task,) = (each for each in asyncio.all_tasks() if each.get_name() == "sagabus-notify")
    if stopped:
        await announcing.stop()
    else:
        task.cancel()
        await asyncio.wait([task])
    await asyncio.sleep(0)
    await announcing.stop()


@pytest.mark.parametrize("stopped", [True, False])
def test_the_log_says_when_other_code_has_ended_it(stopped: bool, caplog: pytest.LogCaptureFixture) -> None:
    announcing = Announcing(never, "postgresql://there", "envelope", lambda: None)

    asyncio.run(end(announcing, stopped=stopped))

    assert [record.levelno for record in caplog.records] == ([] if stopped else [logging.ERROR])
