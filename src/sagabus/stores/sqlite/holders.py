"""Who keeps a file from being written, as far as the system can tell: on Linux, by the locks of each open handle.

`/proc/locks` names no process for the locks of a handle, which may be several processes' by a fork.
`/proc/<process>/fdinfo` lists the locks of each handle.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PROCESSES = Path("/proc")


def holders_of(path: str) -> str:
    """The end of a sentence that says that a file is locked: by which processes; nothing if none is seen."""
    files = {each for name in (path, f"{path}-shm") if (each := _identity(name)) is not None}
    names = [_named(process) for process in _processes() if _holds(process, files)]
    return f", by {', '.join(names)}" if names else ""


def _processes() -> Iterator[Path]:
    with suppress(OSError):
        yield from (each for each in _PROCESSES.iterdir() if each.name.isdigit())


def _holds(process: Path, files: set[tuple[int, int]]) -> bool:
    with suppress(OSError):  # another user's, or gone meanwhile
        for handle in os.listdir(process / "fd"):  # noqa: PTH208  # only the names are needed
            if _identity(process / "fd" / handle) in files and _writes(process / "fdinfo" / handle):
                return True
    return False


def _writes(information: Path) -> bool:
    with suppress(OSError):
        return any(line.startswith("lock:") and "WRITE" in line for line in information.read_text().splitlines())
    return False


def _identity(path: str | Path) -> tuple[int, int] | None:
    with suppress(OSError):
        found = os.stat(path)  # noqa: PTH116  # a path is a text here
        return found.st_dev, found.st_ino
    return None


def _named(process: Path) -> str:
    name = ""
    with suppress(OSError):
        name = f" ({(process / 'comm').read_text().strip()})"
    own = ", this one" if process.name == str(os.getpid()) else ""
    return f"process {process.name}{name}{own}"
