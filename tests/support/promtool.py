"""Prometheus and its tool, where this machine has them: Debian's package `prometheus` brings both."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def required(program: str) -> str:
    """Where a program is; without it the test is skipped, and in CI it fails."""
    found = shutil.which(program)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{program} is not installed: apt install prometheus")
    return found


def promtool(*arguments: str | Path, text: bytes = b"") -> str:
    """What the tool says, on both its streams; it has to be content."""
    done = subprocess.run([required("promtool"), *map(str, arguments)], input=text, capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said
