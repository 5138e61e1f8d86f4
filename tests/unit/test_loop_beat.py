"""The thread that notices a blocked event loop; here each of its looks is called by hand."""

import asyncio
import functools
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sagabus.engine.loop_beat import INTERVAL, LoopBeat
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.runner_pool import RunnerPool
from sagabus.envelope import Envelope
from sagabus.refs import LaneRef

LONG = int(2 / INTERVAL)
"""Looks until a loop that gives no answer counts as blocked."""


def driven(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


def looks_from_a_thread(beat: LoopBeat, number: int) -> None:
    """While the loop waits for the thread, and so is blocked."""

    def look() -> None:
        for _ in range(number):
            beat.look()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()


async def answer() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


@driven
async def test_a_loop_that_answers_is_never_silent(caplog: pytest.LogCaptureFixture) -> None:
    beat = LoopBeat(RunnerPool(1))

    for _ in range(3 * LONG):
        looks_from_a_thread(beat, 1)
        await answer()

    assert beat.silence == 0
    assert caplog.records == []


@driven
async def test_a_blocked_loop_is_reported_while_it_is_blocked_at_growing_intervals(
    caplog: pytest.LogCaptureFixture,
) -> None:
    beat = LoopBeat(RunnerPool(1))

    looks_from_a_thread(beat, 1 + 5 * LONG)

    assert beat.silence == 10
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3  # at 2, 4 and 8 seconds
    assert __file__ in caplog.text


@driven
async def test_after_an_answer_the_silence_is_over() -> None:
    beat = LoopBeat(RunnerPool(1))
    looks_from_a_thread(beat, 1 + LONG)

    await answer()
    looks_from_a_thread(beat, 1)

    assert beat.silence == 0


@driven
async def test_the_message_whose_handler_blocks_is_named(caplog: pytest.LogCaptureFixture) -> None:
    envelope = Envelope(message_id="m-1", message_type="tests.slow", body=b"{}", channel="it", partition_key="A")
    done = asyncio.Event()

    async def block(mailbox: Mailbox) -> None:
        mailbox.running = envelope
        looks_from_a_thread(beat, 1 + LONG)
        done.set()

    pool = RunnerPool(1)
    pool.start(block)
    beat = LoopBeat(pool)
    pool.offer(Mailbox(definition=None, key="A", place=LaneRef("it", 0), lane_epoch=1))  # type: ignore[arg-type]
    await done.wait()
    pool.close()

    assert "it: tests.slow m-1, key 'A'" in caplog.text
