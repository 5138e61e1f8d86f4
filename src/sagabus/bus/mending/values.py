"""What people give in the place of what is stored, as JSON: in one way for states and for bodies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from sagabus.codec.comparison import NOT_FINITE, non_finite
from sagabus.codec.masks import HIDDEN, Mask
from sagabus.errors import MendRefused


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
