"""Schemas as numbered, checksummed, forward-only migrations; safe when several processes start at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import NamedTuple, TypeAlias

from sagabus.errors import SchemaTooNew, StoreCorrupt, StoreError
from sagabus.failpoint import hit
from sagabus.stores.sql.link import Link
from sagabus.stores.sql.steps import Query


class Migration(NamedTuple):
    """One step of the schema."""

    version: int
    script: str
    """Ready to be run."""
    checksum: str
    """What its text is recognised by, whatever its tables are called: they may be moved to another schema."""

    @classmethod
    def of(cls, version: int, template: str, names: Mapping[str, str] | None = None) -> Migration:
        """A step with its tables named; without names, the text as it is."""
        script = template if names is None else template.format_map(names)
        return cls(version, script, blake2b(template.encode(), digest_size=8).hexdigest())


Vet: TypeAlias = Callable[[Link, Sequence[Migration]], Awaitable[None]]


def missing(migrations: Sequence[Migration], done: Mapping[int, str], place: str) -> list[Migration]:
    """The migrations still to come; raises when the store is of a newer release or its migrations differ from ours."""
    latest = migrations[-1].version
    if done and max(done) > latest:
        raise SchemaTooNew(
            f"{place} has schema version {max(done)}, this release of sagabus knows {latest}: upgrade sagabus",
            found=max(done),
            supported=latest,
            store=place,
        )
    for version, _, checksum in migrations:
        if done.get(version, checksum) != checksum:
            raise StoreCorrupt(
                f"{place}: schema migration {version} is not the one that this release ships", store=place
            )
    return [migration for migration in migrations if migration.version not in done]


def script(preparing: Sequence[str], migrations: Sequence[Migration], *, versions: str, now: str) -> str:
    """All migrations as one text, for those who apply schemas by hand: a bus finds nothing to do afterwards.

    `preparing` makes the table `versions`; `now` is an expression, in microseconds since 1970.
    """
    parts = [f"{statement.strip()};" for statement in preparing]
    parts += [f"-- migration {version}, checksum {checksum}\n{text.strip()}" for version, text, checksum in migrations]
    parts += [
        f"INSERT INTO {versions} (version, checksum, applied_at) VALUES ({version}, '{checksum}', {now});"
        for version, _, checksum in migrations
    ]
    return "\n\n".join(parts)


async def migrate(
    link: Link, migrations: Sequence[Migration], place: str, now: int, *, vet: Vet | None = None
) -> list[int]:
    """Apply what is missing on a server; the versions applied. Applying twice changes nothing. `vet` may refuse to."""
    if not await to_come(link, migrations, place):
        return []
    await _make_versions(link)
    await link.begin()
    try:
        await link.answer(Query("lock_versions"))
        found = missing(migrations, await _applied(link), place)
        hit("migrate.begun")
        if vet is not None:
            await vet(link, found)
        for migration in found:
            await link.run_script(migration.script)
            await link.answer(Query("put_version", (migration.version, migration.checksum, now)))
        hit("migrate.before_commit")
    except BaseException:
        with suppress(StoreError):  # the connection may be gone; the original error is raised, not that one
            await link.rollback()
        raise
    await link.commit()
    hit("migrate.after_commit")
    # Not before: who has the lock next has to see what was done.
    await link.answer(Query("unlock_versions"))
    return [migration.version for migration in found]


async def _make_versions(link: Link) -> None:
    try:
        await link.answer(Query("make_versions"))
    except StoreError:
        # Of several who make a table IF NOT EXISTS at once, PostgreSQL fails all but one.
        if not (await link.answer(Query("has_versions"))).value:
            raise


async def versions(link: Link) -> list[int]:
    """The schema versions that a server has had; none where there are no tables."""
    known = bool((await link.answer(Query("has_versions"))).value)
    return sorted(await _applied(link)) if known else []


async def to_come(link: Link, migrations: Sequence[Migration], place: str) -> list[Migration]:
    """The migrations that the database has not had; raises for one of a newer release, or of another."""
    known = bool((await link.answer(Query("has_versions"))).value)
    return missing(migrations, await _applied(link) if known else {}, place)


async def _applied(link: Link) -> dict[int, str]:
    return {row[0]: row[1] for row in (await link.answer(Query("versions"))).rows}
