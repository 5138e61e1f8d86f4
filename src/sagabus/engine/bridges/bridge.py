"""The part of a bus that keeps a link to a broker: it connects, declares, runs both directions, and begins again.

A broker that is away stops nothing else. What leaves rests in the store, untouched, and `health` says so. While there
is a link, a worker of its own takes what leaves. It ends with the link, and gives its lanes back: what had no confirm
is still stored, and is sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from sagabus.clock import Clock, sleep
from sagabus.engine.bridges.inbound import Inbound
from sagabus.engine.bridges.outbound import PATIENCE, Outbound
from sagabus.engine.health import Health
from sagabus.engine.lifecycle import IN_HASTE, BackgroundTask, joined
from sagabus.engine.worker import Worker
from sagabus.errors import ConfigurationError, SagaBusError, StoreError, TransportError
from sagabus.identity import Identity
from sagabus.text import discreet
from sagabus.transport import Link, Topology, Transport

log = logging.getLogger("sagabus")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 3.0
"""Seconds between two tries, so that work goes on soon after the broker is back."""
_FIRST_TRY = 5.0
"""Seconds that the start of a bus waits for the broker."""
_PING_EVERY = 10.0
_LASTING = 5.0
"""Seconds after which a link counts as one that works."""


class Bridge:
    """See `engine.lifecycle.Part`."""

    def __init__(
        self,
        transport: Transport,
        topology: Callable[[], Awaitable[Topology]],
        outbound: Outbound,
        inbound: Inbound,
        make_worker: Callable[[], Worker],
        *,
        admit: Callable[[Link], Awaitable[None]],
        name: str = "",
        makes: bool = True,
        clock: Clock,
        identity: Identity,
    ) -> None:
        self.name = f"bridge {name} to {transport.place}" if name else f"bridge to {transport.place}"
        self._transport, self._topology, self._make_worker = transport, topology, make_worker
        self._admit = admit
        self._outbound, self._inbound, self._makes = outbound, inbound, makes
        self._clock, self._identity = clock, identity
        self._task = BackgroundTask("sagabus-bridge", "sends nothing to the broker and takes nothing from it")
        self._stopping = asyncio.Event()
        self._tried = asyncio.Event()
        self._grace = 0.0
        self._tries = 0
        self._refusal: ConfigurationError | None = None
        self._worker: Worker | None = None
        self._trouble: str | None = "not connected yet"

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, and wait a moment for that. ConfigurationError where the broker refuses what the service asks."""
        if self._stopping.is_set():
            return
        self._task.start(self._work)
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_TRY):
                await self._tried.wait()
        self._tried.set()  # what is refused from now on is tried again: the bus is about to open
        if self._refusal is not None:
            raise ConfigurationError(*self._refusal.problems)

    async def stop(self, grace: float) -> None:
        """Take nothing more in; what is being sent has `grace` seconds for its confirm."""
        self._grace = grace
        self._stopping.set()
        has_link = self._trouble is None
        await self._task.stop(grace + IN_HASTE if has_link and grace > 0 else 0.0)

    def health(self) -> Health:
        """Whether it has a link, and whether the store takes what comes."""
        waits: list[str] = []
        if self._trouble is not None:
            why = discreet(self._trouble)
            waits.append(f"the broker {self._transport.place}: {why}; what leaves the service waits in the store")
        elif self._inbound.holds:
            waits.append("the store does not take what came from the broker: the bridge holds it")
        own = Health(waits=tuple(waits))
        return joined([self._task.health(), own] + ([] if self._worker is None else [self._worker.health()]))

    # --- one link after another ---------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            why = await self._one_link()
            if self._stopping.is_set():
                return
            place = self._transport.place
            self._trouble = why = why.removeprefix(f"{place}: ")
            self._tried.set()
            if self._refusal is not None:  # the bus does not open, and says why
                await self._stopping.wait()
                return
            if self._clock.monotonic() - began > _LASTING:
                self._tries = 0
            pause = self._pause()
            log.warning("no link to the broker %s: %s; the next try in %.2g s", place, why, pause)
            await self._unless_stopping(sleep(self._clock, pause))

    async def _one_link(self) -> str:
        """Connect and work until the link ends, or this part is to stop; why it has ended."""
        link: Link | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                link = await self._transport.connect()
                await self._admit(link)
                topology = await self._topology()
                await link.declare(topology, make=self._makes)
        except TimeoutError:
            return await self._closed(link, f"no answer for {PATIENCE:g} s")
        except ConfigurationError as error:
            if not self._tried.is_set():
                self._refusal = error
            return await self._closed(link, str(error))
        except SagaBusError as error:
            return await self._closed(link, str(error))
        except Exception as error:
            log.exception("the transport met an error of its own")
            return await self._closed(link, f"{type(error).__name__}: {error}")
        except BaseException:
            await self._closed(link, "")
            raise
        try:
            return await self._serve(link, topology)
        finally:
            await self._closed(link, "")

    async def _serve(self, link: Link, topology: Topology) -> str:
        """Both directions, for as long as there is a link."""
        most = self._transport.largest_batch
        lost = self._outbound.use(link, most)
        works: list[Coroutine[Any, Any, str]] = [self._stopped(), link.ended(), self._pinging(link), self._sending()]
        if topology.receives:
            works.append(self._taking(link, most))
        tasks = [asyncio.get_running_loop().create_task(work, name="sagabus-bridge-work") for work in works]
        log.info("linked to the broker %s", self._transport.place)
        self._trouble = None
        self._tried.set()
        try:
            done, _ = await asyncio.wait([lost, *tasks], return_when=asyncio.FIRST_COMPLETED)
            return _said(next(iter(done)))
        finally:
            self._trouble = "the link has ended"
            try:
                await _cancelled(tasks)
            finally:  # be it cancelled meanwhile, for the bus is closed
                try:
                    await self._stop_sending(link, lost)
                finally:
                    self._outbound.rest()

    async def _stop_sending(self, link: Link, lost: asyncio.Future[str]) -> None:
        """Give back the lanes. What is being sent may yet have its confirm, unless the link ends."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        if not self._stopping.is_set() or self._grace <= 0:
            await worker.stop(0.0)
            return
        loop = asyncio.get_running_loop()
        stopping, ended = loop.create_task(worker.stop(self._grace)), loop.create_task(link.ended())
        work: list[asyncio.Future[Any]] = [stopping, ended, lost]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            stopping.cancel()  # it gives up what has not ended, and gives back the lanes all the same
            await asyncio.wait(work[:2])

    # --- what goes on meanwhile ---------------------------------------------------------------------------------------

    async def _sending(self) -> str:
        """Have a worker take what leaves. A store that is away is waited for."""
        while True:
            worker = self._worker = self._make_worker()
            try:
                await worker.start()
                await asyncio.get_running_loop().create_future()
            except StoreError as error:
                log.warning("cannot take what leaves for the broker, trying again: %s", error)
                self._worker = None
                await worker.stop(0.0)
                await sleep(self._clock, _LONGEST_PAUSE)

    async def _taking(self, link: Link, most: int) -> str:
        try:
            await self._inbound.take(link, most)
        except TransportError as error:
            return str(error)
        except Exception as error:
            log.exception("taking messages from the broker met an error")
            return f"{type(error).__name__}: {error}"
        return "nothing more comes"

    async def _pinging(self, link: Link) -> str:
        """Notice a link that is open at this end only."""
        while True:
            await sleep(self._clock, _PING_EVERY)
            try:
                async with asyncio.timeout(_PING_EVERY):
                    await link.ping()
            except TimeoutError:
                return f"no answer for {_PING_EVERY:g} s"
            except TransportError as error:
                return str(error)

    async def _stopped(self) -> str:
        await self._stopping.wait()
        return "the bus stops"

    async def _unless_stopping(self, work: Coroutine[Any, Any, None]) -> None:
        tasks = [asyncio.ensure_future(work), asyncio.ensure_future(self._stopping.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _closed(self, link: Link | None, why: str) -> str:
        if link is not None:
            try:
                async with asyncio.timeout(IN_HASTE):
                    await link.close()
            except (TimeoutError, TransportError) as error:
                log.debug("closing the link: %s", error)
        return why

    def _pause(self) -> float:
        ceiling = min(_FIRST_PAUSE * 2**self._tries, _LONGEST_PAUSE)
        self._tries = min(self._tries + 1, 16)
        return float(ceiling * (0.5 + self._identity.fraction() / 2))


async def _cancelled(tasks: Sequence[asyncio.Task[str]]) -> None:
    """Cancel them, and wait until they have ended, whatever happens meanwhile."""
    for task in tasks:
        task.cancel()
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        await asyncio.wait(tasks)
        raise


def _said(ended: asyncio.Future[str]) -> str:
    """Why it has ended; an error that was not expected is logged, and no reason to end for good."""
    try:
        return ended.result()
    except Exception as error:
        log.exception("the bridge met an error")
        return f"{type(error).__name__}: {error}"
