"""What the driver raises, in words of the port. Decisions go by the number of the answer, never by its text."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Generator
from contextlib import contextmanager

from sagabus.errors import TransportError
from sagabus.transports.rabbitmq.driver import aiormq

exceptions = aiormq.exceptions

DRIVER_ERRORS = (exceptions.AMQPError, OSError, RuntimeError, EOFError, StopAsyncIteration)
"""What aiormq raises of its own: for a connection that is closed, a RuntimeError or the end of an iteration."""
UNREADABLE = (ValueError, TypeError, OverflowError, struct.error)
"""What pamqp raises for a message that AMQP cannot carry, before anything of it is sent."""


def reason(error: BaseException | None) -> str:
    """What went wrong, in the broker's words if it said something."""
    if error is None:
        return "the connection has ended"
    if isinstance(error, asyncio.CancelledError):
        return "the connection was lost"
    return " ".join(str(each) for each in error.args if each) or type(error).__name__


def why(closing: asyncio.Future[object]) -> str:
    """Why a connection or a channel has ended."""
    return reason(asyncio.CancelledError() if closing.cancelled() else closing.exception())


def is_unreadable(closing: asyncio.Future[object]) -> bool:
    """Whether a connection has ended because the driver could not read what came."""
    error = None if closing.cancelled() else closing.exception()
    return isinstance(error, exceptions.ProtocolSyntaxError | ArithmeticError | ValueError | struct.error)


@contextmanager
def translated(place: str) -> Generator[None]:
    """Raise TransportError for what the driver raises. It has no cause: drivers repeat what they were given."""
    said = ""
    try:
        yield
        return
    except DRIVER_ERRORS as error:
        said = reason(error)
    except asyncio.CancelledError:
        # The driver ends waiting calls with this error when a connection ends. No one has cancelled anything then.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        said = "the connection was lost"
    raise TransportError(said, transport=place)
