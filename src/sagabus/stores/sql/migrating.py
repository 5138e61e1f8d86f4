"""Schemas as numbered, checksummed, forward-only migrations; safe when several processes start at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b

from sagabus.errors import SchemaTooNew, StoreCorrupt, StoreError
from sagabus.failpoint import hit
from sagabus.stores.sql.asking import Ask
from sagabus.stores.sql.link import Link


def checksum(script: str) -> str:
    """What a migration's text is recognised by."""
    return blake2b(script.encode(), digest_size=8).hexdigest()


def missing(migrations: Sequence[tuple[int, str]], done: Mapping[int, str], place: str) -> list[tuple[int, str]]:
    """The migrations still to come; raises when the store is of a newer release or its migrations differ from ours."""
    latest = migrations[-1][0]
    if done and max(done) > latest:
        raise SchemaTooNew(
            f"{place} has schema version {max(done)}, this release of sagabus knows {latest}: upgrade sagabus",
            found=max(done),
            supported=latest,
            store=place,
        )
    for version, script in migrations:
        if version in done and done[version] != checksum(script):
            raise StoreCorrupt(
                f"{place}: schema migration {version} is not the one that this release ships", store=place
            )
    return [(version, script) for version, script in migrations if version not in done]


def script(preparing: Sequence[str], migrations: Sequence[tuple[int, str]], *, versions: str, now: str) -> str:
    """All migrations as one text, for those who apply schemas by hand: a bus finds nothing to do afterwards.

    `preparing` makes the table `versions`; `now` is an expression, in microseconds since 1970.
    """
    parts = [f"{statement.strip()};" for statement in preparing]
    parts += [f"-- migration {version}, checksum {checksum(text)}\n{text.strip()}" for version, text in migrations]
    parts += [
        f"INSERT INTO {versions} (version, checksum, applied_at) VALUES ({version}, '{checksum(text)}', {now});"
        for version, text in migrations
    ]
    return "\n\n".join(parts)


async def migrate(link: Link, migrations: Sequence[tuple[int, str]], place: str, now: int) -> list[int]:
    """Apply what is missing on a server; the versions applied. Applying twice changes nothing."""
    if not await to_come(link, migrations, place):
        return []
    await link.answer(Ask("make_versions"))
    await link.begin()
    try:
        await link.answer(Ask("lock_versions"))
        found = missing(migrations, await _applied(link), place)
        hit("migrate.begun")
        for version, script in found:
            await link.run_script(script)
            await link.answer(Ask("put_version", (version, checksum(script), now)))
        hit("migrate.before_commit")
        await link.answer(Ask("unlock_versions"))
    except BaseException:
        with suppress(StoreError):  # the connection may be gone; what went wrong is told, not that
            await link.rollback()
        raise
    await link.commit()
    hit("migrate.after_commit")
    return [version for version, _ in found]


async def versions(link: Link) -> list[int]:
    """The schema versions that a server has had; none where there are no tables."""
    known = bool((await link.answer(Ask("has_versions"))).value)
    return sorted(await _applied(link)) if known else []


async def to_come(link: Link, migrations: Sequence[tuple[int, str]], place: str) -> list[tuple[int, str]]:
    """The migrations that the database has not had; raises for one of a newer release, or of another."""
    known = bool((await link.answer(Ask("has_versions"))).value)
    return missing(migrations, await _applied(link) if known else {}, place)


async def _applied(link: Link) -> dict[int, str]:
    return {row[0]: row[1] for row in (await link.answer(Ask("versions"))).rows}
