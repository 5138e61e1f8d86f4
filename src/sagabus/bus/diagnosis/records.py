"""The answers of the doctor. They are copies: nothing changes them afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "note"]
"""error: messages wait or are refused, or may be lost. warning: this may become so. note: worth knowing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be."""

    kind: str
    """What monitoring goes by; the text is for reading."""
    severity: Severity
    where: str
    """The subscription, the broker, the table or the store."""
    text: str
    """One sentence."""
    command: str | None = None
    """What to type next; None where no command helps."""
    can_fix: bool = False
    """Whether `fix=True` mends it."""
    fixed: bool = False
    """It has been mended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All that one examination has found."""

    at: datetime
    findings: tuple[Finding, ...]
    """The worst first."""
    unknown: tuple[str, ...]
    """What could not be looked at, and why."""

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong that has not been mended, as far as it could look; notes do not count."""
        return all(each.severity == "note" or each.fixed for each in self.findings)
