"""Records of the inspection as data for --json: times in ISO 8601, durations in seconds, headers by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import cast

from sagabus.cli.text import time_text


def data_of(value: object) -> object:
    """A record, or a value of one, as JSON data."""
    if is_dataclass(value):
        return {each.name: _field(each.name, getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return cast("object", value.value)
    if isinstance(value, Mapping):
        return {str(name): data_of(each) for name, each in cast("Mapping[object, object]", value).items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [data_of(each) for each in cast("Sequence[object]", value)]
    return value


def _field(name: str, value: object) -> object:
    """Values of headers may be secret, such as a token: a list shows none, as it shows no body."""
    return sorted(cast("Mapping[str, str]", value)) if name == "headers" else data_of(value)
