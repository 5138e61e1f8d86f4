"""What commands leave out of messages and states, and how they say so. `--reveal` shows it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sagabus.bus.inspection.masking import Masks
from sagabus.cli.loading import load_bus
from sagabus.cli.text import printable
from sagabus.codec.masks import path_of

if TYPE_CHECKING:
    from sagabus.codec.masks import Mask, Place

F = TypeVar("F", bound=Callable[..., Any])
_MOST = 20
"""Fields that a line names."""


def reveal_option(function: F) -> F:
    """`--reveal`, the same for every command that shows messages or states."""
    return click.option("--reveal", is_flag=True, help="Show hidden values, too.")(function)


def masks_of(target: str | None) -> Masks:
    """The masks by what MODULE:BUS declares; with `--store`, nothing is known."""
    return Masks(() if target is None else load_bus(target).definitions)


def say_hidden(what: str, mask: Mask, places: Collection[Place]) -> None:
    """Say on stderr what was left out, and why."""
    if not places:
        return
    if not mask.is_known:
        click.echo(
            f"The class of {printable(what)} is not known here, so its values are hidden: "
            "give the MODULE:BUS that declares it, or --reveal.",
            err=True,
        )
        return
    names = sorted({_field_of(place) for place in places})
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    click.echo(f"Hidden, shown with --reveal: {printable(', '.join(names[:_MOST]))}{more}", err=True)


def say_unknown(target: str | None) -> None:
    """Say on stderr why a list has no values."""
    if target is None:
        click.echo(
            "With --store no class is known, so the values of messages and states are hidden: "
            "give MODULE:BUS, or --reveal.",
            err=True,
        )


def _field_of(place: Place) -> str:
    """The field, for all items of a list alike."""
    return (
        "all of it"
        if not place
        else path_of([step if isinstance(step, str) else 0 for step in place]).replace("[0]", "[]")
    )


def masked_sides(masks: Masks, verb: str, subscription: str, *sides: Mapping[str, object]) -> list[Any]:
    """Both sides of a change, as the audit log shows them."""
    return [masks.over_change(verb, subscription, side) for side in sides]
