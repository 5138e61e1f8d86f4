"""What leaves goes in batches: a message that is ready is posted, and neither a run nor a runner waits for its confirm.

Between `runner_pool`, which hands out mailboxes, and `outbound`, which sends. A mailbox stays with its message until
the broker has answered, so a key has one unconfirmed message at a time. After the death of a worker, messages run alone
for a while, as those of every subscription: then `runner` serves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import NamedTuple

from sagabus.clock import Clock
from sagabus.engine.bridges.outbound import Outbound
from sagabus.engine.mailbox import Mailbox
from sagabus.engine.runner import Runner
from sagabus.engine.runner_pool import RunnerPool
from sagabus.envelope import Envelope
from sagabus.failpoint import hit
from sagabus.transport import Sent, WireMessage

_UNCONFIRMED = 500
"""How many messages wait for their confirms, in two batches at least."""
_TURNS = 8
_POSTS = 8
"""So many messages posted take as much time as one that runs."""


class _Posted(NamedTuple):
    mailbox: Mailbox
    envelope: Envelope
    message: WireMessage
    epoch: int
    began: float


class Batching:
    """Serves the mailboxes of one worker; see `RunnerPool`."""

    def __init__(self, outbound: Outbound, clock: Clock, runner: Runner, runners: RunnerPool) -> None:
        self._outbound, self._clock, self._runner, self._runners = outbound, clock, runner, runners
        self._posted: list[_Posted] = []
        """Not on their way yet. While there are any, a task is about to send them."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._posts = 0

    def serve(self, mailbox: Mailbox) -> Awaitable[None] | None:
        """Post the next message of this mailbox, and of those that are ready after it."""
        while True:
            envelope = self._runner.begin_next(mailbox)
            if envelope is None:
                return self._runner.serve(mailbox)
            self._post(mailbox, envelope)
            following = self._runners.another()
            if following is None:
                return None
            mailbox = following

    def _post(self, mailbox: Mailbox, envelope: Envelope) -> None:
        began, epoch = self._clock.monotonic(), mailbox.epoch
        hit("handle.entered")
        try:
            message = self._outbound.message(envelope)
        except Exception as error:  # noqa: BLE001  # whatever the user's codec meets
            self._runner.finish(mailbox, self._outbound.failed(envelope, error), epoch)
            self._go_on([mailbox])
            return
        self._posted.append(_Posted(mailbox, envelope, message, epoch, began))
        self._posts += 1
        if not self._posts % _POSTS:
            self._runners.served += 1
        if len(self._tasks) < max(_UNCONFIRMED // self._outbound.most, 2) and len(self._posted) == 1:
            task = self._runners.begin(self._send())
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    async def _send(self) -> None:
        """Send what is posted, batch after batch."""
        batch: list[_Posted] = []
        try:
            while self._posted and not self._runner.stopping:
                await self._gathered()
                most = self._outbound.most
                batch, self._posted = self._posted[:most], self._posted[most:]
                self._answered(batch, await self._outbound.pass_on([each.message for each in batch]))
        finally:
            self._leave(batch)

    async def _gathered(self) -> None:
        """Wait a few turns of the event loop, if more is about to be posted."""
        for _ in range(_TURNS):
            if len(self._posted) >= self._outbound.most or not self._runners.loaded:
                return
            await asyncio.sleep(0)

    def _answered(self, batch: Sequence[_Posted], answers: Sequence[Sent]) -> None:
        now = self._clock.monotonic()
        for each, sent in zip(batch, answers, strict=True):
            outcome = self._outbound.outcome(each.envelope, each.message, sent)
            hit("handle.returned")
            self._runner.finish(each.mailbox, outcome, each.epoch, now - each.began)
        self._go_on([each.mailbox for each in batch])

    def _go_on(self, mailboxes: Sequence[Mailbox]) -> None:
        for mailbox in mailboxes:
            mailbox.ended()
            mailbox.rest()
        self._runners.offer_all([mailbox for mailbox in mailboxes if mailbox.queue])
        self._runner.look()

    def _leave(self, batch: Sequence[_Posted]) -> None:
        """Of what has no answer: it stays in the store, and comes again."""
        for each in batch:
            if each.mailbox.running is each.envelope:
                self._runner.leave(each.mailbox)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._tasks:  # it was to stop, or other code has cancelled it
            posted, self._posted = self._posted, []
            self._leave(posted)
