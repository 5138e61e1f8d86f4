"""Which dead letters an operator means. The command counts them, asks, and then handles them one by one."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from sagabus.bus.mending.letter_filter import LetterFilter
from sagabus.cli.opening import opened
from sagabus.cli.output import Refused, emit_json
from sagabus.cli.progress import counting
from sagabus.cli.rendering import count_text, show_table
from sagabus.envelope import Cause
from sagabus.errors import StoreError

if TYPE_CHECKING:
    from sagabus.bus import Bus

T = TypeVar("T")
Action = Literal["replay", "discard"]

_PAGE = 500
_FINE = {"done", "was already done"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Dead letters by their ids, or by what they have in common."""

    which: LetterFilter
    ids: tuple[int, ...] = ()
    after: int = 0

    @classmethod
    def of_options(cls, ids: Sequence[int], *, everything: bool, after: int = 0, **options: Any) -> Choice:
        """What was typed; UsageError for no choice, or two at once."""
        which = filter_of(**options)
        many = everything or which.text is not None or which.cause is not None
        if ids and (everything or which != LetterFilter()):
            raise click.UsageError("give either IDs, or --all, --cause or --reason")
        if not ids and not many:
            raise click.UsageError("no dead letters chosen: give IDs, or --all, --cause or --reason TEXT")
        return cls(which=which, ids=tuple(dict.fromkeys(ids)), after=after)


def filter_of(
    *,
    subscription: str | None = None,
    reason: str | None = None,
    cause: str | None = None,
    message: str | None = None,
    key: str | None = None,
    correlation: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> LetterFilter:
    """The filter that the options of a command make."""
    return LetterFilter(
        subscription=subscription,
        text=reason,
        cause=None if cause is None else Cause(cause),
        message_type=message,
        key=key,
        correlation_id=correlation,
        since=since,
        until=until,
    )


async def _chosen(bus: Bus, choice: Choice) -> list[int]:
    """The open letters meant by anything but their ids, by id."""
    found: list[int] = []
    after: int | None = choice.after
    while after is not None:
        page = await bus.dead_letters.page(choice.which, after=after, limit=_PAGE)
        found += [letter.id for letter in page.letters]
        after = page.after
    return found


async def settle(
    action: Action,
    target: str | None,
    url: str | None,
    choice: Choice,
    *,
    yes: bool,
    as_json: bool,
    force: bool = False,
    dry_run: bool = False,
    words: Mapping[str, Any] | None = None,
) -> bool:
    """Replay or discard the chosen letters and print each result; returns whether all are done. `words`: for the audit
    log, who and why.
    """
    async with opened(target, url) as bus:
        ids = list(choice.ids) or await _chosen(bus, choice)
        if dry_run:
            return await _rehearse(bus, ids, force=force, as_json=as_json)
        if not choice.ids and not _confirmed(action, len(ids), yes=yes):
            click.echo("nothing was done", err=True)
            return False
        results: dict[int, str] = {}
        with counting(f"{action} dead letters", len(ids)) as come_to:
            for letter in ids:
                try:
                    results[letter] = await _settle_one(bus, action, letter, force=force, words=words or {})
                except StoreError as error:
                    raise Refused(f"{error} ({_so_far(results, ids, choice)})") from error
                except asyncio.CancelledError:  # interrupted at the keyboard
                    click.echo(f"sagabus: stopped {_so_far(results, ids, choice)}", err=True)
                    raise
                come_to(len(results))
    _tell(action, results, as_json=as_json)
    return all(result in _FINE for result in results.values())


def _so_far(results: Mapping[int, str], ids: Sequence[int], choice: Choice) -> str:
    """How far it came, and how to go on."""
    last = max(results, default=choice.after)
    return f"after {len(results)} of {count_text(len(ids), 'dead letter')}; run it again, or go on with --after {last}"


async def _rehearse(bus: Bus, ids: Sequence[int], *, force: bool, as_json: bool) -> bool:
    """Say what a replay would do; nothing is changed."""
    results: dict[int, str] = {}
    keys: set[tuple[str, str | None]] = set()
    for letter in ids:
        found = await bus.dead_letters.get(letter, bodies=False)
        results[letter] = (await bus.dead_letters.replay(letter, force=force, dry_run=True)).value
        if found is not None and found.parked and results[letter] in _FINE:
            keys.add((found.envelope.channel, found.envelope.partition_key))
    counts = Counter(results.values())
    if as_json:
        emit_json({"action": "replay", "dry_run": True, "chosen": len(ids), "counts": counts, "freed_keys": len(keys)})
    else:
        show_table(("would be", "dead letters"), counts.most_common())
        click.echo(f"parked keys that would go on: {len(keys)}")
    return all(result in _FINE for result in results.values())


async def _settle_one(bus: Bus, action: Action, letter: int, *, force: bool, words: Mapping[str, Any]) -> str:
    found = await bus.dead_letters.get(letter, bodies=False)
    # Closed by the other action: "was already done" would be wrong.
    if found is not None and found.status == ("discarded" if action == "replay" else "replayed"):
        return f"was {found.status} before"
    if action == "replay":
        return (await bus.dead_letters.replay(letter, force=force, **words)).value
    return (await bus.dead_letters.discard(letter, **words)).value


def _confirmed(action: Action, count: int, *, yes: bool) -> bool:
    what = f"{action} {count_text(count, 'dead letter')}"
    if yes or not count:
        click.echo(what, err=True)  # before the work, so that a log shows the intention even after an interruption
        return True
    if not sys.stdin.isatty():
        raise click.UsageError(f"this would {what}: add --yes to do it")
    return click.confirm(f"{what}?", err=True)


def _tell(action: Action, results: dict[int, str], *, as_json: bool) -> None:
    counts = Counter(results.values())
    if as_json:
        each = [{"id": letter, "result": result} for letter, result in results.items()]
        not_done = sum(count for result, count in counts.items() if result not in _FINE)
        emit_json({"action": action, "chosen": len(results), "not_done": not_done, "counts": counts, "results": each})
    elif not results:
        click.echo("no dead letter matches")
    elif len(results) <= 20:
        show_table(("id", "result"), results.items())
    else:
        show_table(("result", "dead letters"), counts.most_common())
