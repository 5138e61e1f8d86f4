"""The order of a migration on a server: whoever is next finds all of it, or nothing."""

import asyncio
from typing import Any

import pytest

from sagabus.errors import StoreBusy
from sagabus.stores.sql.migrating import Migration, migrate
from sagabus.stores.sql.steps import Answer


class Notebook:
    """A link to nothing, which writes down what it is asked."""

    def __init__(self, fails_at: str = "") -> None:
        self.steps: list[str] = []
        self._fails_at = fails_at

    async def answer(self, ask: Any) -> Answer:
        self._note(ask.name)
        return Answer([[0]] if ask.name == "has_versions" else [])

    async def run_script(self, script: str) -> None:
        self._note("script")

    async def begin(self) -> None:
        self._note("begin")

    async def commit(self) -> None:
        self._note("commit")

    async def rollback(self) -> None:
        self._note("rollback")

    def _note(self, step: str) -> None:
        self.steps.append(step)
        if step == self._fails_at:
            raise StoreBusy(step)


def run(link: Any) -> list[int]:
    return asyncio.run(migrate(link, [Migration.of(1, "CREATE …")], "somewhere", 1))


def test_the_lock_is_given_back_after_the_commit_and_not_before() -> None:
    """In between another process would make the same changes again, and not be able to write them down."""
    link = Notebook()

    assert run(link) == [1]
    assert link.steps[-4:] == ["script", "put_version", "commit", "unlock_versions"]
    assert link.steps.index("lock_versions") < link.steps.index("versions")


def test_what_fails_is_rolled_back_and_raised() -> None:
    link = Notebook(fails_at="script")

    with pytest.raises(StoreBusy, match="script"):
        run(link)

    assert link.steps[-1] == "rollback"
    assert "commit" not in link.steps
