"""Adapters that other distributions bring, found by the scheme of a URL.

A distribution names them in its `pyproject.toml`, in the entry point group of their kind: `mongodb =
"acme_sagabus:store_from_url"` under `[project.entry-points."sagabus.stores"]`. Nothing of ours changes for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from sagabus.errors import ConfigurationError, SagaBusError

STORES = "sagabus.stores"
"""The group of stores."""
TRANSPORTS = "sagabus.transports"
"""The group of transports."""


def schemes(group: str) -> tuple[str, ...]:
    """The schemes that installed distributions bring adapters for, in order."""
    return tuple(sorted({entry.name.lower() for entry in _entries(group, tuple(sys.path))}))


def adapter(group: str, scheme: str) -> Callable[..., Any]:
    """What a distribution names for a scheme, loaded now; ConfigurationError if it is missing, broken or ambiguous."""
    found = [entry for entry in _entries(group, tuple(sys.path)) if entry.name.lower() == scheme]
    if len({entry.value for entry in found}) != 1:
        names = " and ".join(sorted(map(_named, found))) or "no installed package"
        raise ConfigurationError(f"{scheme}: is brought by {names}: install exactly one that brings it")
    entry = found[0]
    try:
        loaded: object = entry.load()
    except SagaBusError:
        raise  # the adapter says itself what it lacks
    except Exception as error:  # its code may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise ConfigurationError(
            f"{scheme}: {_named(entry)} cannot be loaded ({reason}): install what it needs"
        ) from error
    if not callable(loaded):
        raise ConfigurationError(f"{scheme}: {_named(entry)} is no function that makes an adapter")
    return loaded


@lru_cache(maxsize=8)
def _entries(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Looked for once for each search path, since every distribution on it is read for that."""
    return tuple(entry_points(group=group))


def _named(entry: EntryPoint) -> str:
    return f"{entry.value} of {entry.dist.name if entry.dist else 'an unnamed package'}"
