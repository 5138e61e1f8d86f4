"""What a message costs apart from time: processor time and bytes written, which compare on a busy machine, too."""

from __future__ import annotations

import resource
import sys
import sysconfig
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec


class Costs(msgspec.Struct, frozen=True):
    """Of one message, of the process that handled it; of the workers, where there are several."""

    cpu_us: float
    """User and system time, in microseconds."""
    written_bytes: float | None
    """Bytes that were passed to the system to be written; None where the system does not count them."""


class Meter:
    """Begins to count when it is made."""

    def __init__(self) -> None:
        self._cpu, self._written = _cpu(), _written()

    def per_message(self, messages: int) -> Costs:
        """What has been used since."""
        written = _written()
        spent = None if written is None or self._written is None else (written - self._written) / messages
        return Costs((_cpu() - self._cpu) / messages * 1e6, spent)


def together(used: Sequence[Costs], messages: int) -> Costs:
    """Of a message of many, which several processes handled: each has used so much for all."""
    written = [each.written_bytes for each in used if each.written_bytes is not None]
    spent = sum(written) / messages if len(written) == len(used) else None
    return Costs(sum(each.cpu_us for each in used) / messages, spent)


def interpreter() -> str:
    """Version and build: one that was built without optimisations is slower by a seventh."""
    options = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    build = "optimised" if "--enable-optimizations" in options else "not optimised"
    return f"{sys.implementation.name} {'.'.join(map(str, sys.version_info[:3]))}, {build}"


def _cpu() -> float:
    used = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def _written() -> int | None:
    with suppress(OSError):
        for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines():
            if line.startswith("wchar:"):
                return int(line.split()[1])
    return None
