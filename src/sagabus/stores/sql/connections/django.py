"""Django's connections, whatever database they are to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from sagabus.stores.sql.connections.native import MYSQL, POSTGRES, SQLITE, PlainNative, failed, no_transaction
from sagabus.stores.sql.dialect import PERCENTS
from sagabus.stores.sql.steps import Answer

_DATABASES = {"postgresql": POSTGRES, "mysql": MYSQL, "sqlite": SQLITE}


class DjangoConnection(PlainNative):
    """`django.db.connection` or `connections[alias]`, inside `transaction.atomic()`."""

    classes = frozenset({("django", "BaseDatabaseWrapper"), ("django", "ConnectionProxy")})
    style = PERCENTS

    def __init__(self, native: Any) -> None:
        if type(native).__qualname__ == "ConnectionProxy":
            native = sys.modules["django.db"].connections[native.alias]
        super().__init__(native)
        vendor = str(native.vendor)
        self.database = _DATABASES.get(vendor, vendor)

    def check(self) -> None:
        native = self._native
        if native.needs_rollback:
            raise failed("Django's connection")
        if not native.in_atomic_block and native.get_autocommit():
            raise no_transaction("Django's connection", "use `with transaction.atomic():`")

    def run(self, sql: str, parameters: Sequence[Any], *, gives: bool) -> Answer:
        with self._native.cursor() as cursor:
            cursor.execute(sql, tuple(parameters))
            return Answer(cursor.fetchall() if cursor.description else (), cursor.rowcount)
