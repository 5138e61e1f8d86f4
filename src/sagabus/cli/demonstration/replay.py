"""The process that replays an event log: one saga per case, which writes down what reaches it, in the order in which
it does.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from sagabus import Context, Saga, event, handles, starts
from sagabus.cli.demonstration.app_table import Words
from sagabus.testing.campaign.orders import PATIENT

TABLES = ("CREATE TABLE IF NOT EXISTS demo_applied (run TEXT, case_key TEXT, log_row INTEGER, activity TEXT)",)
CASES = "demo-cases"
_APPLY = "INSERT INTO demo_applied (run, case_key, log_row, activity) VALUES (?, ?, ?, ?)"
STATEMENTS = (_APPLY,)
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


class CaseSteps(Saga):
    """One instance per case; its state is the list of what it has applied."""

    note: ClassVar[str]
    """The statement that records a step in the ledger."""

    case: str
    applied: list[tuple[int, str]]

    @classmethod
    def initial(cls, message: CaseOpened) -> CaseSteps:
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
        ctx.execute(self.note, (message.run, message.case, message.row, message.activity))


def case_saga(words: Words) -> type[CaseSteps]:
    """The saga for one kind of database."""

    class CaseSaga(CaseSteps, name=CASES, key="case", retry=PATIENT):
        """See `CaseSteps`."""

        note: ClassVar[str] = words.say(_APPLY)

    return CaseSaga


def definitions(words: Words) -> tuple[object, ...]:
    """All of the process, for one kind of database."""
    return (case_saga(words),)


CHANNELS = (CASES,)
