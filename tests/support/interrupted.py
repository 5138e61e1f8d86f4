"""Something happens within a transaction of a server's store, just before a statement of it."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest
from tests.support.databases import ServerDatabase

from sagabus.stores.mysql.link import MysqlLink
from sagabus.stores.postgres.link import PostgresLink

_LINKS = {"postgres": PostgresLink, "mysql": MysqlLink}
JustBefore: TypeAlias = Callable[..., None]


def arranged(database: ServerDatabase, monkeypatch: pytest.MonkeyPatch) -> JustBefore:
    """Have something happen so many times, each when a transaction is about to run a statement of a name."""

    def arrange(name: str, happen: Callable[[], Awaitable[object]], times: int = 1) -> None:
        link: Any = _LINKS[database.kind]
        answer, waits = link.answer, [happen] * times

        async def interrupted(self: Any, ask: Any) -> Any:
            if waits and getattr(ask, "name", None) == name:
                await waits.pop()()
            return await answer(self, ask)

        monkeypatch.setattr(link, "answer", interrupted)

    return arrange
