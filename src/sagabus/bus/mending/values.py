"""What people give in the place of what is stored, as JSON: in one way for states and for bodies."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from sagabus.bus.inspection.masking import discreet
from sagabus.codec.comparison import NOT_FINITE, non_finite
from sagabus.codec.masks import HIDDEN, Mask
from sagabus.errors import MendRefused, MessageInvalid, StateInvalid
from sagabus.text import Values


def json_of(name: str, values: Mapping[str, object]) -> bytes:
    """The values as JSON; ValueError for what JSON has no form for, or no database can keep."""
    try:
        if (path := non_finite(values)) is not None:
            raise ValueError(f"{name}: {path}: {NOT_FINITE}")
        return msgspec.json.encode(values)
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise ValueError(f"{name}: a text has half a character ({half!r}): write it as text in UTF-8") from error
    except RecursionError as error:
        raise ValueError(f"{name}: too many values stand in one another") from error


@contextmanager
def discreetly(mask: Mask, *texts: bytes) -> Generator[None]:
    """Have an error about a message or a state repeat nothing of these that the mask hides: the caller did not give it.

    Its cause is left out, for that has the same text.
    """
    try:
        yield
    except (MessageInvalid, StateInvalid) as error:
        raise discreet(error, Values(each for text in texts for each in mask.hidden_values_of_text(text))) from None


def filled(
    name: str, values: Mapping[str, object], mask: Mask, stored: Callable[[], object], look: str
) -> Mapping[str, Any]:
    """The values, with what is stored where "(hidden)" stands for it; `look`: the command that shows it.

    MendRefused with every place where it stands for nothing: it is never stored as a value. Else as `json_of`.
    """
    text = json_of(name, values)
    if f'"{HIDDEN}"'.encode() not in text:
        return values
    kept = mask.keep(msgspec.json.decode(text), stored())
    if kept.refused:
        raise MendRefused(
            f'{name}: give the values of {", ".join(kept.refused)}, for which "{HIDDEN}" does not stand; '
            f"`{look} --reveal` shows what is stored"
        )
    found: dict[str, Any] = kept.value
    return found
