"""Acceptance: what is published from outside is appended, and calls that overlap share a commit.

Previous stop: `publisher`. Next stop: the store, and then a worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sagabus.engine.group_commit import GroupCommit
from sagabus.engine.health import Health
from sagabus.engine.lifecycle import IN_HASTE
from sagabus.engine.routing import LiveRouting
from sagabus.engine.weight import size_of
from sagabus.envelope import Envelope
from sagabus.errors import SagaBusError, StoreUnavailable, Unroutable
from sagabus.failpoint import hit
from sagabus.outcome import Admission
from sagabus.store import Acceptance


class Publication:
    """One call of `publish` (or of `publish_many`) that waits for its commit."""

    __slots__ = ("address", "answer", "envelopes", "version")

    def __init__(
        self,
        envelopes: list[Envelope],
        version: int,
        address: Callable[[], list[Envelope]],
        answer: asyncio.Future[tuple[list[Envelope], list[Admission]]],
    ) -> None:
        self.envelopes = envelopes
        self.version = version
        self.address = address
        self.answer = answer


class Acceptor:
    """Appends what is published from outside; concurrent calls share a commit."""

    name = "publishing"
    _stopping = False

    def __init__(self, store: Acceptance, routing: LiveRouting) -> None:
        self._store = store
        self._routing = routing
        self._group = GroupCommit[Publication](self._flush, _unknown, size=_size, loss="accepts no publications")

    @property
    def busy(self) -> bool:
        """Whether publications wait or are being committed."""
        return self._group.busy

    async def append(self, address: Callable[[], list[Envelope]]) -> tuple[list[Envelope], list[Admission]]:
        """Address and append; the envelopes with one answer each. Cancelled, it may have happened: repeat it."""
        hit("append.received")
        if self._stopping:
            raise StoreUnavailable("the bus is closing: it takes no more publications")
        answer: asyncio.Future[tuple[list[Envelope], list[Admission]]] = asyncio.get_running_loop().create_future()
        try:
            envelopes = address()
        except Unroutable:
            # Its receiver may be new: who only publishes hears of a subscription with the next append, or here.
            await self._routing.refresh(self._store)
            envelopes = address()
        self._group.add(Publication(envelopes, self._routing.table.version, address, answer))
        hit("append.addressed")
        return await answer

    async def start(self) -> None:
        """Nothing runs until something is published."""
        self._stopping = False

    async def stop(self, grace: float) -> None:
        """Append what has been handed in, and take no more. The callers of what that leaves hear that it is unknown."""
        self._stopping = True
        try:
            await self._group.drain(max(grace, IN_HASTE))
        finally:
            _unknown(self._group.waiting)
            await self._group.stop()

    def health(self) -> Health:
        """Whether it appends."""
        return self._group.health()

    async def _flush(self, publications: list[Publication]) -> None:
        waiting = [publication for publication in publications if not publication.answer.cancelled()]
        try:
            await self._append(waiting)
        except SagaBusError as error:
            if len(waiting) == 1 or error.is_transient:
                _fail(waiting, error)
            else:
                for publication in waiting:
                    await self._flush([publication])
        except Exception as error:  # noqa: BLE001  # the publishers that wait get it
            _fail(waiting, error)
        except BaseException:
            _unknown(waiting)
            raise

    async def _append(self, publications: list[Publication]) -> None:
        while publications:
            version = self._routing.table.version
            for publication in publications:
                if publication.version != version:
                    publication.envelopes, publication.version = publication.address(), version
            everything = [envelope for publication in publications for envelope in publication.envelopes]
            answers: Sequence[Admission] | None = []
            if everything:
                answers = await self._store.append(everything, version)
            else:
                # An event without receivers appends nothing that would be refused for its old routing.
                await self._routing.refresh(self._store)
                if self._routing.table.version != version:
                    continue
            if answers is not None:
                _answer(publications, answers)
                hit("append.answered")
                return
            await self._routing.refresh(self._store)


def _size(publication: Publication) -> int:
    return sum(map(size_of, publication.envelopes))


def _answer(publications: list[Publication], answers: Sequence[Admission]) -> None:
    at = 0
    for publication in publications:
        end = at + len(publication.envelopes)
        if not publication.answer.done():
            publication.answer.set_result((publication.envelopes, list(answers[at:end])))
        at = end


def _unknown(publications: list[Publication]) -> None:
    _fail(publications, StoreUnavailable("cut off before the answer: it may have happened, so repeat it"))


def _fail(publications: list[Publication], error: Exception) -> None:
    for publication in publications:
        if not publication.answer.done():
            publication.answer.set_exception(error)
