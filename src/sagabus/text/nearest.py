"""Names that were probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_MOST = 20


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one was probably meant to be; None where none is near."""
    by_folded = {each.casefold(): each for each in known}
    found = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.55)
    return by_folded[found[0]] if found else None


def known_names(name: str, known: Iterable[str]) -> str:
    """How a sentence about an unknown name ends: with the nearest known one, and the others; empty without any."""
    names = sorted(known)
    meant = nearest(name, names)
    hint = f"; did you mean {meant}?" if meant is not None else ""
    if not names:
        return f"{hint} (there is none)"
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return f"{hint} (known: {', '.join(names[:_MOST])}{more})"
