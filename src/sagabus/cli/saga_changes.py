"""`sagabus sagas cancel`, `complete` and `patch`: change one instance at the version that you saw."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from sagabus.cli.loading import load_bus
from sagabus.cli.masking import masked_sides, masks_of
from sagabus.cli.mend_options import EXITS, confirmed, json_object, mend_options, tell
from sagabus.cli.opening import json_option, opened, split_target, store_option

if TYPE_CHECKING:
    from sagabus.bus.mending.desk import Mended
    from sagabus.bus.mending.mender import Mender

_VERSION = click.option(
    "--version", type=click.IntRange(1, 2**63 - 1), required=True, help="The version that `sagas show` has shown."
)
_METAVAR = "[MODULE:BUS] SAGA KEY"


def _fields(_: click.Context, __: click.Parameter, value: str | None) -> dict[str, Any] | None:
    if value is None:
        return None
    if not (found := json_object("fields", value)):
        raise click.BadParameter('write a JSON object of fields, such as {"status": "paid"}')
    return found


_SET = click.option("--set", "fields", metavar="JSON", callback=_fields, help="Change these fields in the same commit.")


@click.command("cancel", epilog=EXITS)
@click.argument("arguments", nargs=-1, required=True, metavar=_METAVAR)
@store_option
@_VERSION
@_SET
@mend_options
@json_option
@click.pass_context
def cancel(ctx: click.Context, /, *, arguments: tuple[str, ...], url: str | None, **options: Any) -> None:
    """End an instance that is given up: its timers go, and nothing that it has sent is undone.

    Messages that wait for it meet a saga that has finished. --set needs MODULE:BUS, which knows the types.
    """
    _end(ctx, "cancel", arguments, url, options)


@click.command("complete", epilog=EXITS)
@click.argument("arguments", nargs=-1, required=True, metavar=_METAVAR)
@store_option
@_VERSION
@_SET
@mend_options
@json_option
@click.pass_context
def complete(ctx: click.Context, /, *, arguments: tuple[str, ...], url: str | None, **options: Any) -> None:
    """End an instance whose work was done in another way, as `cancel` does.

    The audit log and the history say that it was completed.
    """
    _end(ctx, "complete", arguments, url, options)


@click.command("patch", epilog=EXITS)
@click.argument("arguments", nargs=-1, required=True, metavar="MODULE:BUS SAGA KEY JSON")
@store_option
@_VERSION
@mend_options
@json_option
@click.pass_context
def patch(ctx: click.Context, /, *, arguments: tuple[str, ...], url: str | None, **options: Any) -> None:
    """Change fields of the state of an instance: JSON is an object of fields, such as '{"amount": 4200}'.

    The class in MODULE:BUS checks them before anything is stored. It refuses fields that it does not have.
    """
    target, rest = split_target(arguments, url)
    if len(rest) != 3:
        raise click.UsageError("give a SAGA, a KEY and the fields as a JSON object")
    fields = _fields(ctx, ctx.command.params[0], rest.pop())
    _run(ctx, "patch", (target, url, rest), fields, options)


def _end(ctx: click.Context, verb: str, arguments: tuple[str, ...], url: str | None, options: dict[str, Any]) -> None:
    target, rest = split_target(arguments, url)
    if len(rest) != 2:
        raise click.UsageError("give a SAGA and a KEY")
    _run(ctx, verb, (target, url, rest), options.pop("fields"), options)


def _run(
    ctx: click.Context,
    verb: str,
    place: tuple[str | None, str | None, list[str]],
    fields: dict[str, Any] | None,
    options: dict[str, Any],
) -> None:
    target, url, (saga, key) = place
    masks = masks_of(target)
    changes = f", with {json.dumps(masks.of_state(saga).over(fields).value)}" if fields else ""
    what = f"{verb} {saga} {key} at version {options['version']}{changes}"
    if not confirmed(what, yes=options.pop("yes")):
        ctx.exit(1)
    as_json = options.pop("as_json")
    mended = asyncio.run(_mend(target, url, verb, saga, key, fields, options))
    before, after = masked_sides(masks, mended.verb, mended.subscription, mended.before, mended.after)
    tell(replace(mended, before=before, after=after), as_json=as_json)


async def _mend(  # noqa: PLR0917  # one after another, as they were typed
    target: str | None,
    url: str | None,
    verb: str,
    saga: str,
    key: str,
    fields: dict[str, Any] | None,
    options: dict[str, Any],
) -> Mended:
    declared = () if target is None else load_bus(target).definitions
    async with opened(target, url) as bus:
        mend: Mender = bus.mend.knowing(declared)
        if verb == "patch":
            return await mend.patch(saga, key, fields or {}, **options)
        call = mend.cancel if verb == "cancel" else mend.complete
        return await call(saga, key, fields=fields, **options)
