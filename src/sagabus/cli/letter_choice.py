"""Which dead letters an operator means. The command counts them, asks, and then handles them one by one."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import click

from sagabus.cli.opening import opened
from sagabus.cli.output import Refused, console, emit_json
from sagabus.cli.rendering import count_text, show_table
from sagabus.errors import StoreError

if TYPE_CHECKING:
    from sagabus.bus import Bus
    from sagabus.envelope import DeadLetter

T = TypeVar("T")
Action = Literal["replay", "discard"]

_PAGE = 500
_FINE = {"done", "was already done"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Dead letters by their ids, or by what they have in common."""

    ids: tuple[int, ...] = ()
    subscription: str | None = None
    reason: str | None = None
    status: str | None = "open"
    after: int = 0

    @classmethod
    def of_options(
        cls, ids: Sequence[int], *, everything: bool, subscription: str | None, reason: str | None
    ) -> Choice:
        """What was typed; UsageError for no choice, or two at once."""
        many = everything or reason is not None
        if ids and (many or subscription is not None):
            raise click.UsageError("give either IDs, or --all or --reason")
        if not ids and not many:
            raise click.UsageError("no dead letters chosen: give IDs, or --all, or --reason TEXT")
        return cls(ids=tuple(dict.fromkeys(ids)), subscription=subscription, reason=reason)

    def includes(self, letter: DeadLetter) -> bool:
        """Whether the letter's reason, or the error behind it, contains the text that was asked for."""
        texts = (letter.reason, letter.error_type, letter.error_text)
        return self.reason is None or any(self.reason.casefold() in text.casefold() for text in texts if text)


async def chosen(bus: Bus, choice: Choice) -> AsyncIterator[DeadLetter]:
    """The letters meant by anything but their ids, by id, a page at a time."""
    after = choice.after
    while True:
        page = await bus.dead_letters.list(choice.subscription, status=choice.status, after=after, limit=_PAGE)
        for letter in page:
            if choice.includes(letter):
                yield letter
        if len(page) < _PAGE:
            return
        after = page[-1].id


async def settle(
    action: Action,
    target: str | None,
    url: str | None,
    choice: Choice,
    *,
    yes: bool,
    as_json: bool,
    force: bool = False,
) -> bool:
    """Replay or discard the chosen letters and print each result; returns whether all are done."""
    async with opened(target, url) as bus:
        ids = list(choice.ids) or [letter.id async for letter in chosen(bus, choice)]
        if not choice.ids and not _confirmed(action, len(ids), yes=yes):
            click.echo("nothing was done", err=True)
            return False
        results: dict[int, str] = {}
        for letter in _with_progress(ids, f"{action} dead letters"):
            try:
                results[letter] = await _settle_one(bus, action, letter, force=force)
            except StoreError as error:
                raise Refused(f"{error} (after {len(results)} of {count_text(len(ids), 'dead letter')})") from error
    _tell(action, results, as_json=as_json)
    return all(result in _FINE for result in results.values())


async def _settle_one(bus: Bus, action: Action, letter: int, *, force: bool) -> str:
    found = await bus.dead_letters.get(letter)
    # Closed by the other action: "was already done" would be wrong.
    if found is not None and found.status == ("discarded" if action == "replay" else "replayed"):
        return f"was {found.status} before"
    if action == "replay":
        return (await bus.dead_letters.replay(letter, force=force)).value
    return (await bus.dead_letters.discard(letter)).value


def _confirmed(action: Action, count: int, *, yes: bool) -> bool:
    what = f"{action} {count_text(count, 'dead letter')}"
    if yes or not count:
        click.echo(what, err=True)  # before the work, so that a log shows the intention even after an interruption
        return True
    if not sys.stdin.isatty():
        raise click.UsageError(f"this would {what}: add --yes to do it")
    return click.confirm(f"{what}?", err=True)


def _with_progress(ids: Sequence[int], what: str) -> Iterable[int]:
    if len(ids) < _PAGE or not sys.stderr.isatty():
        return ids
    from rich.progress import track

    return track(ids, description=what, console=console(stderr=True))


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
