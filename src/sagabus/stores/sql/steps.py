"""How the shared logic speaks to a database: it asks for named statements and is sent their answers.

The logic is written as generators that never touch a connection. So the same lines run in a thread on SQLite and on an
event loop over a server's protocol. They also run inside a transaction that a user opened with a driver of either kind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar, overload

from sagabus.envelope import Envelope
from sagabus.outcome import Parameters
from sagabus.stores.texts import unstorable

T = TypeVar("T")
Row: TypeAlias = Sequence[Any]


class Made(Sequence[tuple[object, ...]]):
    """Rows that are made when they are read, in one go, and not kept.

    A flush has thousands of rows. Kept as tuples, each of them is one more thing that the collector looks at.
    """

    def __init__(self, make: Callable[..., tuple[object, ...]], of: Sequence[Any], *others: Sequence[Any]) -> None:
        """`make` is called with one of `of` and of each of the others, as `map` does."""
        self._make, self._of, self._others = make, of, others

    def __len__(self) -> int:
        return len(self._of)

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        return map(self._make, self._of, *self._others)

    @overload
    def __getitem__(self, index: int) -> tuple[object, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> Made: ...
    def __getitem__(self, index: int | slice) -> tuple[object, ...] | Made:
        if isinstance(index, slice):
            return Made(self._make, self._of[index], *(other[index] for other in self._others))
        return self._make(self._of[index], *(other[index] for other in self._others))


class Query(NamedTuple):
    """A named statement to run: over a set of rows where it takes one, with single values after them."""

    name: str
    parameters: tuple[object, ...] = ()
    rows: Sequence[tuple[object, ...]] | None = None
    envelopes: Sequence[Envelope] = ()
    """What the rows were made of, where that is envelopes to be stored."""


class UserQuery(NamedTuple):
    """A statement of the user's own, in the words of the driver."""

    sql: str
    parameters: Parameters


class Answer(NamedTuple):
    """What a statement gave: its rows, and how many rows it changed."""

    rows: Sequence[Row] = ()
    changed: int = 0

    @property
    def value(self) -> Any:
        """The first column of the first row; None when there is no row."""
        return self.rows[0][0] if self.rows else None


Steps: TypeAlias = Generator[Query | UserQuery, Answer, T]
"""A piece of the logic: yields what it asks, is sent the answers, returns what it came to."""


def number_of(made: Answer) -> Steps[int]:
    """The number that a new row got: as its statement gave it, or as the connection remembers it.

    On PostgreSQL the latter would need a right of its own, on the sequence.
    """
    found = made if made.rows else (yield Query("last_position"))
    return int(found.value)


class StatementFailed(Exception):  # a signal between these modules, not an error of the library
    """A statement failed by its own fault, and the transaction around it can go on after a rollback to a savepoint."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


def drive(steps: Steps[T], execute: Callable[[Query | UserQuery], Answer]) -> T:
    """Run the logic on a connection that answers at once."""
    try:
        ask = next(steps)
        while True:
            try:
                answer = execute(ask)
            except Exception as error:  # noqa: BLE001  # the logic decides what it means
                ask = steps.throw(error)
            else:
                ask = steps.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result
    except (UnicodeEncodeError, UnicodeDecodeError) as error:
        raise unstorable(error) from error
    finally:
        steps.close()


Answering: TypeAlias = Callable[[Query | UserQuery], Awaitable[Answer]]


async def drive_async(steps: Steps[T], execute: Answering, first: Query | UserQuery | None = None) -> T:
    """Run the logic on a connection that has to be waited for. Cancelled, it leaves the transaction where it was.

    `first`: what logic that has begun already asks first.
    """
    try:
        ask = next(steps) if first is None else first
        while True:
            try:
                answer = await execute(ask)
            except Exception as error:  # noqa: BLE001  # the logic decides what it means
                ask = steps.throw(error)
            else:
                ask = steps.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result
    except (UnicodeEncodeError, UnicodeDecodeError) as error:
        raise unstorable(error) from error
    finally:
        steps.close()


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error with those that it was made from: libraries wrap the driver's, as its cause or as its `orig`."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and each not in seen:
            seen.append(each)
            yield each
            waiting += [getattr(each, "orig", None), each.__cause__]
