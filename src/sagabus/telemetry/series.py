"""The values of histograms for OpenTelemetry where they are gathered here, and not by the SDK."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sagabus.telemetry import conventions as names
from sagabus.telemetry.tally import Distribution

MOST_ERRORS = 100
"""Types of errors at one place: what comes after so many is counted as one more."""


class Series(Distribution):
    """The values of one histogram for some attributes, those of runs that ended with an error apart."""

    __slots__ = ("attributes", "highest", "lowest", "others")

    def __init__(self, bounds: Sequence[float], attributes: Mapping[str, str]) -> None:
        super().__init__(bounds)
        self.attributes = attributes
        self.lowest, self.highest = math.inf, -math.inf
        self.others: dict[str, Series] = {}

    def add(self, value: float) -> None:
        """See `Distribution`."""
        self.add_all([value])

    def add_all(self, values: list[float]) -> None:
        """See `Distribution`."""
        super().add_all(values)
        self.lowest, self.highest = min([self.lowest, *values]), max([self.highest, *values])

    def erring(self, error_type: str) -> Series:
        """See `Distribution`."""
        if error_type not in self.others and len(self.others) >= MOST_ERRORS:
            error_type = names.OTHER_ERROR
        if error_type not in self.others:
            self.others[error_type] = Series(self.bounds, {**self.attributes, names.ERROR: error_type})
        return self.others[error_type]

    def copy(self) -> Series:
        """See `Distribution`."""
        found = Series(self.bounds, self.attributes)
        found.classes, found.total = self.classes.copy(), self.total
        found.lowest, found.highest = self.lowest, self.highest
        found.others = {name: each.copy() for name, each in self.others.items()}
        return found


class Gathered(NamedTuple):
    """One histogram as it is now."""

    name: str
    unit: str
    text: str
    series: Sequence[Series]
