"""Which of the messages that a command lists run now: in which worker, and since when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from sagabus.cli.rendering import show_table
from sagabus.cli.text import time_text

if TYPE_CHECKING:
    from sagabus.bus.inspection.records import ConversationEntry, MessageRecord

_COLUMNS = ("running since", "worker", "subscription", "id")


def show_runs(listed: Iterable[MessageRecord | ConversationEntry]) -> None:
    """A table of those that run now, below the list; nothing where none does."""
    running = [each for each in listed if each.running_since is not None]
    if running:
        click.echo()
        show_table(
            _COLUMNS,
            [[time_text(each.running_since), each.worker, each.subscription, each.message_id] for each in running],
        )
