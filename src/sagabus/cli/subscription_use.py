"""The use of a subscription, and so what its removal cuts off."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from sagabus.cli.loading import load_bus
from sagabus.cli.rendering import count_text
from sagabus.cli.text import printable

if TYPE_CHECKING:
    from sagabus.bus import Bus
    from sagabus.store.inspection import ChannelCounts

_PAGE = 1_000
_MOST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One subscription, as the store and the bus at MODULE:BUS know it."""

    declared_by: str | None
    """MODULE:BUS, if that bus declares it."""
    workers: int
    waiting: int
    dead: int
    instances: int
    """Live saga instances; counted up to ten thousand."""

    def fields(self) -> dict[str, object]:
        """The fields, for --json."""
        return asdict(self)

    def objections(self) -> Iterator[str]:
        """Why a removal needs --force."""
        if self.declared_by is not None:
            yield f"{printable(self.declared_by)} declares it, and subscribes it again when it opens"
        if self.workers:
            serve = "serves" if self.workers == 1 else "serve"
            yield f"{count_text(self.workers, 'live worker')} of this store {serve} it"
        if self.waiting:
            wait = "waits" if self.waiting == 1 else "wait"
            yield f"{count_text(self.waiting, 'message')} {wait} there, and would stay unhandled"

    def left_behind(self) -> Iterator[str]:
        """What stays in the store without messages."""
        if self.instances:
            more = " or more" if self.instances >= _MOST else ""
            yield f"{count_text(self.instances, 'live saga instance')}{more} would receive no more messages"
        if self.dead:
            yield f"{count_text(self.dead, 'open dead letter')} could be replayed, but no handler would run"


async def use_of(bus: Bus, target: str | None, channel: str) -> Use:
    """What the store and the bus at `target` know of a subscription."""
    counts = next((each for each in await bus.counts() if each.channel == channel), None)
    declared = target is not None and any(each.name == channel for each in load_bus(target).definitions)
    return Use(
        declared_by=target if declared else None,
        workers=sum(each.channel == channel for each in await bus.store.inspect.workers()),
        waiting=waiting(counts),
        dead=counts.dead if counts is not None else 0,
        instances=await _live_instances(bus, channel),
    )


def confirmed(channel: str, messages: Sequence[str], use: Use, *, yes: bool, force: bool) -> bool:
    """List what a removal cuts off; returns whether to remove."""
    click.echo(f"this removes {printable(channel)} as a receiver of {printable(', '.join(messages))}", err=True)
    objections = list(use.objections())
    for line in (*objections, *use.left_behind()):
        click.echo(f"  {line}", err=True)
    if objections and not force:
        click.echo("nothing was removed: --force removes it in spite of that", err=True)
        return False
    if yes:
        return True
    if not sys.stdin.isatty():
        click.echo("nothing was removed: add --yes to remove it", err=True)
        return False
    return click.confirm("remove it?", err=True)


def waiting(counts: ChannelCounts | None) -> int:
    """How many messages and timers wait in a channel."""
    return counts.waiting if counts is not None else 0


async def _live_instances(bus: Bus, saga: str) -> int:
    found, after = 0, ""
    while found < _MOST:
        page = await bus.store.inspect.instances(saga, after=after, limit=_PAGE)
        found += sum(not instance.completed for instance in page.found)
        if page.after is None:
            break
        after = page.after
    return min(found, _MOST)
