"""The event loop that a bus belongs to while it is open. Calls from any other loop are refused.

Connections, futures and tasks belong to one loop. A call from another loop may raise anything, hang, break the calls of
the owner, or crash the interpreter inside a driver. So the bus refuses it before it touches anything.
"""

from __future__ import annotations

import asyncio
import os
import threading

from sagabus.errors import ForkedProcess, WrongEventLoop


class HomeLoop:
    """Which loop that is."""

    def __init__(self) -> None:
        self._claiming = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = ""
        self._pid = 0
        self.changing = asyncio.Lock()
        """Opening and closing: one at a time, each to its end."""

    def claim(self) -> None:
        """Make the running loop the home, unless another one is: then WrongEventLoop. Twice is harmless."""
        with self._claiming:
            if self._loop is None:
                self._loop, self._pid = asyncio.get_running_loop(), os.getpid()
                self._thread = threading.current_thread().name
                if not self.changing.locked():
                    self.changing = asyncio.Lock()  # it may know the loop of an earlier opening
                return
        self.check("bus.open()")

    @property
    def is_inherited(self) -> bool:
        """Whether a fork has brought it here: all of it belongs to the process that opened it."""
        return self._loop is not None and self._pid != os.getpid()

    def release(self) -> None:
        """The bus is closed: any loop may open it."""
        self._loop = None

    def check(self, call: str) -> None:
        """Raise WrongEventLoop unless the running loop is the home, or there is none yet; ForkedProcess in a child of
        the process that opened the bus.
        """
        home = self._loop
        if self.is_inherited:
            text = f"process {self._pid} opened this bus, and this is process {os.getpid()}"
            raise ForkedProcess(f"{call}: {text}: open another bus after the fork")
        if home is None or _running() is home:
            return
        raise WrongEventLoop(self._advice(home, call))

    def _advice(self, home: asyncio.AbstractEventLoop, call: str) -> str:
        if home.is_closed():
            return (
                f"{call}: the event loop that opened this bus has ended without `await bus.close()`: "
                "make a new Bus here, and close each one in its own loop"
            )
        return (
            f"{call}: another event loop opened this bus, in the thread {self._thread!r}: "
            f"call asyncio.run_coroutine_threadsafe({call}, loop) with that loop, or open another Bus here"
        )


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
