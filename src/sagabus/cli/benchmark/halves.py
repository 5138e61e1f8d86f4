"""Running one half of a benchmark in a process of its own."""

from __future__ import annotations

import subprocess
import sys


class HalfFailedError(Exception):
    """Read the reason: one half of the benchmark did not come to its end."""


def half_of(module: str, *arguments: str, lines: bytes, patience: float) -> bytes:
    """What a half prints. `lines` are its stdin, `patience` seconds its limit; HalfFailedError says why it failed."""
    command = [sys.executable, "-P", "-m", f"sagabus.cli.benchmark.{module}", *arguments]
    name = arguments[0]
    try:
        finished = subprocess.run(command, input=lines, capture_output=True, check=False, timeout=patience)  # noqa: S603  # our own
    except subprocess.TimeoutExpired:
        raise HalfFailedError(f"the {name} did not come to its end within {patience:.0f} s") from None
    if finished.returncode != 0:
        complaint = [line for line in finished.stderr.decode(errors="replace").splitlines() if line.strip()]
        raise HalfFailedError(f"the {name} ended with code {finished.returncode}: {(complaint or [''])[-1]}")
    return finished.stdout
