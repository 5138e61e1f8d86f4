"""The process that replays an event log: one saga per case, which writes down what reaches it, in the order in which
it does.
"""

from __future__ import annotations

import asyncio

from sagabus import Context, Saga, event, handles, starts
from sagabus.cli.demonstration.orders import PATIENT

TABLES = """
CREATE TABLE IF NOT EXISTS demo_run (seed TEXT);
CREATE TABLE IF NOT EXISTS demo_applied (run TEXT, case_key TEXT, log_row INTEGER, activity TEXT);
"""
_WORK = 0.001


@event("demo.case_opened")
class CaseOpened:
    """The first event of a case."""

    case: str
    run: str
    row: int
    activity: str


@event("demo.activity_recorded")
class ActivityRecorded:
    """Any later event of a case."""

    case: str
    run: str
    row: int
    activity: str


class CaseSaga(Saga, name="demo-cases", key="case", retry=PATIENT):
    """One instance per case; its state is the list of what it has applied."""

    case: str
    applied: list[tuple[int, str]]

    @classmethod
    def initial(cls, message: CaseOpened) -> CaseSaga:
        """Nothing applied yet."""
        return cls(case=message.case, applied=[])

    @starts
    async def opened(self, message: CaseOpened, ctx: Context) -> None:
        """Begin the list."""
        await self._apply(message, ctx)

    @handles
    async def recorded(self, message: ActivityRecorded, ctx: Context) -> None:
        """Go on with the list."""
        await self._apply(message, ctx)

    async def _apply(self, message: CaseOpened | ActivityRecorded, ctx: Context) -> None:
        self.applied.append((message.row, message.activity))
        await asyncio.sleep(_WORK)
        ctx.execute(
            "INSERT INTO demo_applied (run, case_key, log_row, activity) VALUES (?, ?, ?, ?)",
            (message.run, message.case, message.row, message.activity),
        )


DEFINITIONS = (CaseSaga,)
CHANNELS = ("demo-cases",)
