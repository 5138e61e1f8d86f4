"""What people give in the place of what is stored, as JSON: in one way for states and for bodies."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sagabus.codec.comparison import NOT_FINITE, non_finite


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
