"""`sagabus dead-letters`: list, show, replay and discard messages that a subscription could not handle."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from sagabus.cli.letter_choice import Choice, filter_of, settle
from sagabus.cli.letter_groups import edit, groups, time_options
from sagabus.cli.masking import masks_of, reveal_option, say_hidden
from sagabus.cli.mend_options import by_option, for_the_log
from sagabus.cli.opening import PAGE, POSITION, json_option, opened, split_target, store_option
from sagabus.cli.output import emit_json
from sagabus.cli.rendering import show_fields, show_table
from sagabus.cli.text import body_text, printable, printable_lines, readable_body, time_text
from sagabus.envelope import Cause

if TYPE_CHECKING:
    from sagabus.bus.mending.letter_filter import LetterFilter, LetterPage
    from sagabus.envelope import DeadLetter

_STATUSES = ("open", "replayed", "discarded", "all")
_CAUSES = tuple(cause.value for cause in Cause)
_EXITS = "Exit codes: 0 all done (or done before), 1 not all done, 2 could not run."


def _many_options(function: Any) -> Any:
    cause = click.option("--cause", type=click.Choice(_CAUSES), help="All open letters with this cause.")
    after = click.option("--after", type=POSITION, default=0, metavar="ID", help="Only letters with a higher id.")
    help_text = "Why you do it: the audit log keeps it."
    why = click.option("--why", metavar="TEXT", callback=for_the_log, help=help_text)
    return cause(_message_option(_key_options(time_options(after(why(by_option(function)))))))


_message_option = click.option("--message", metavar="MESSAGE", help="Only letters of this type, by its wire name.")


def _key_options(function: Any) -> Any:
    correlation = click.option("--correlation", metavar="ID", help="Only letters of the conversation with this id.")
    return click.option("--key", metavar="KEY", help="Only letters with this key.")(correlation(function))


def _words(why: str | None, by: str | None, *, dry_run: bool = False) -> dict[str, str | None]:
    """What the audit log keeps, for which a dry run has no need."""
    if why is None and not dry_run:
        raise click.UsageError("give --why TEXT: the audit log keeps why you do it")
    return {"reason": why, "by": by}


@click.group("dead-letters")
def dead_letters() -> None:
    """List, group, show, edit, replay and discard dead letters: messages that a subscription could not handle.

    The store is that of MODULE:BUS, given first, or the one at --store URL.
    """


@dead_letters.command("list")
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS]")
@store_option
@click.option("--subscription", metavar="NAME", help="Only letters of this handler or saga.")
@click.option("--reason", metavar="TEXT", help="Only letters whose reason or error contains this text.")
@click.option("--cause", type=click.Choice(_CAUSES), help="Only letters with this cause.")
@_message_option
@_key_options
@time_options
@click.option(
    "--status", type=click.Choice(_STATUSES), default="open", show_default=True, help="Only letters in this state."
)
@click.option("--after", type=POSITION, default=0, metavar="ID", help="Only letters with a higher id: the next page.")
@click.option("--limit", type=PAGE, default=100, show_default=True, help="Show at most this many.")
@json_option
def list_(
    *,
    arguments: tuple[str, ...],
    url: str | None,
    status: str,
    after: int,
    limit: int,
    as_json: bool,
    **filters: Any,
) -> None:
    """List dead letters by id. A filter looks at 10,000 of them, and stderr says if there may be more.

    Exit codes: 0 listed (also when there are none), 1 no such name, 2 could not run.
    """
    target, rest = split_target(arguments, url)
    if rest:
        raise click.UsageError(f"unexpected argument {printable(rest[0])}")
    wanted = None if status == "all" else status
    page = asyncio.run(_list(target, url, filter_of(**filters), status=wanted, after=after, limit=limit + 1))
    found = page.letters[:limit]
    if as_json:
        emit_json([_summary(letter) for letter in found])
    else:
        show_table(_COLUMNS, [tuple(_summary(letter)[name] for name in _LISTED) for letter in found])
    if len(page.letters) > limit:
        click.echo(f"There are more: --after {found[-1].id}", err=True)
    elif page.stopped:
        click.echo(f"The filter looked at 10,000 dead letters. There may be more: --after {page.after}", err=True)


@dead_letters.command("show")
@click.argument("arguments", nargs=-1, required=True, metavar="[MODULE:BUS] ID")
@store_option
@reveal_option
@json_option
@click.pass_context
def show(ctx: click.Context, arguments: tuple[str, ...], url: str | None, *, reveal: bool, as_json: bool) -> None:
    """Show one dead letter: its message, error and traceback.

    The values of hidden fields are left out, and with --store all values of the message, whose class is not known.

    Exit codes: 0 shown, 1 no such dead letter, 2 could not run.
    """
    target, rest = split_target(arguments, url)
    ids = _ids(rest)
    if len(ids) != 1:
        raise click.UsageError("give the ID of one dead letter")
    letter = asyncio.run(_get(target, url, ids[0]))
    if letter is None:
        click.echo(f"sagabus: there is no dead letter {ids[0]}", err=True)
        ctx.exit(1)
    if not reveal:
        masks = masks_of(target)
        mask, body = masks.of_letter(letter), letter.envelope.body
        letter = masks.over(letter)
        say_hidden(letter.envelope.message_type, mask, mask.over_text(body).places)
    if as_json:
        emit_json(_whole(letter))
        return
    show_fields(
        {name.replace("_", " "): value for name, value in _whole(letter).items() if name not in ("body", "traceback")}
    )
    click.echo(f"\nbody:\n{printable(body_text(letter.envelope.body))}")
    if letter.traceback:
        click.echo(f"\ntraceback:\n{printable_lines(letter.traceback.rstrip())}")


@dead_letters.command("replay", epilog=_EXITS)
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS] [ID]...")
@store_option
@click.option("--all", "everything", is_flag=True, help="All open letters.")
@click.option("--subscription", metavar="NAME", help="Of the chosen ones, only letters of this handler or saga.")
@click.option("--reason", metavar="TEXT", help="All open letters whose reason or error contains this text.")
@click.option(
    "--force", is_flag=True, help="Also letters that are too old, or collide: you know that they had no effect."
)
@_many_options
@click.option("--dry-run", is_flag=True, help="Only say what it would do, with counts.")
@click.option("--yes", is_flag=True, help="Do not ask before replaying many.")
@json_option
@click.pass_context
def replay(
    ctx: click.Context,
    /,
    *,
    arguments: tuple[str, ...],
    url: str | None,
    everything: bool,
    subscription: str | None,
    reason: str | None,
    force: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Put dead letters back into their subscription, under the same id.

    Replaying never doubles an effect: if the effect had committed, the command only closes the letter. A letter that is
    older than the store remembers stays where it is. --force replays it: you then know that it had no effect.
    """
    target, rest = split_target(arguments, url)
    why, by = options.pop("why"), options.pop("by")
    choice = Choice.of_options(_ids(rest), everything=everything, subscription=subscription, reason=reason, **options)
    words = _words(why, by, dry_run=dry_run)
    work = settle("replay", target, url, choice, force=force, yes=yes, as_json=as_json, dry_run=dry_run, words=words)
    done = asyncio.run(work)
    ctx.exit(0 if done else 1)


@dead_letters.command("discard", epilog=_EXITS)
@click.argument("arguments", nargs=-1, metavar="[MODULE:BUS] [ID]...")
@store_option
@click.option("--all", "everything", is_flag=True, help="All open letters.")
@click.option("--subscription", metavar="NAME", help="Of the chosen ones, only letters of this handler or saga.")
@click.option("--reason", metavar="TEXT", help="All open letters whose reason or error contains this text.")
@_many_options
@click.option("--yes", is_flag=True, help="Do not ask before discarding many.")
@json_option
@click.pass_context
def discard(
    ctx: click.Context,
    /,
    *,
    arguments: tuple[str, ...],
    url: str | None,
    everything: bool,
    subscription: str | None,
    reason: str | None,
    yes: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Close dead letters for good: their messages never take effect, and their parked keys continue."""
    target, rest = split_target(arguments, url)
    why, by = options.pop("why"), options.pop("by")
    choice = Choice.of_options(_ids(rest), everything=everything, subscription=subscription, reason=reason, **options)
    words = _words(why, by)
    done = asyncio.run(settle("discard", target, url, choice, yes=yes, as_json=as_json, words=words))
    ctx.exit(0 if done else 1)


dead_letters.add_command(groups)
dead_letters.add_command(edit)


async def _list(target: str | None, url: str | None, which: LetterFilter, **place: Any) -> LetterPage:
    async with opened(target, url) as bus:
        return await bus.dead_letters.page(which, **place)


async def _get(target: str | None, url: str | None, letter: int) -> DeadLetter | None:
    async with opened(target, url) as bus:
        return await bus.dead_letters.get(letter)


def _ids(arguments: list[str]) -> list[int]:
    wrong = [
        argument for argument in arguments if not (argument.isascii() and argument.isdigit() and len(argument) < 19)
    ]
    if wrong:
        raise click.UsageError(f"{printable(wrong[0])} is not the ID of a dead letter, which is a number")
    return [int(argument) for argument in arguments]


_COLUMNS = (
    "id",
    "subscription",
    "message",
    "key",
    "message id",
    "attempts",
    "last failed",
    "status",
    "cause",
    "reason",
)
_LISTED = (
    "id",
    "subscription",
    "message_type",
    "partition_key",
    "message_id",
    "attempts",
    "last_failed_at",
    "status",
    "cause",
    "reason",
)


def _summary(letter: DeadLetter) -> dict[str, object]:
    return {
        "id": letter.id,
        "status": letter.status,
        "subscription": letter.envelope.channel,
        "message_type": letter.envelope.message_type,
        "message_id": letter.envelope.message_id,
        "partition_key": letter.envelope.partition_key,
        "cause": letter.cause.value,
        "reason": letter.reason,
        "error_type": letter.error_type,
        "error_text": letter.error_text,
        "attempts": letter.attempts,
        "first_failed_at": time_text(letter.first_failed_at),
        "last_failed_at": time_text(letter.last_failed_at),
        "parked": letter.parked,
    }


def _whole(letter: DeadLetter) -> dict[str, object]:
    envelope = letter.envelope
    return {
        **_summary(letter),
        "correlation_id": envelope.correlation_id,
        "causation_id": envelope.causation_id,
        "sent_at": time_text(envelope.sent_at),
        "timer": envelope.timer,
        "headers": envelope.headers or {},
        "body": readable_body(envelope.body),
        "traceback": letter.traceback,
    }
