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
    names = ", ".join(sorted(path_of(place) for place in places)) or "all of it"
    click.echo(f"Hidden, shown with --reveal: {printable(names)}", err=True)


def masked_sides(masks: Masks, verb: str, subscription: str, *sides: Mapping[str, object]) -> list[Any]:
    """Both sides of a change, as the audit log shows them."""
    return [masks.over_change(verb, subscription, side) for side in sides]
