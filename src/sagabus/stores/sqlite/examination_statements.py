"""The statements that look for what does not hold, in the words of SQLite."""

from __future__ import annotations

import json
import re

from sagabus.stores.sql.dialect import TABLES
from sagabus.stores.sql.examination import DROPPING, TEXTS, worded
from sagabus.stores.sqlite.schema import MIGRATIONS
from sagabus.stores.sqlite.sets import Form, Plain

_NAMES = {table: f"sagabus_{table}" for table in TABLES}

_INDEXES = json.dumps(
    [name for each in MIGRATIONS for name in re.findall(r"CREATE (?:UNIQUE )?INDEX (\w+)", each.script)]
)

EXAMINING: dict[str, Form] = {
    **{name: Plain(text.format_map(_NAMES)) for name, text in worded({**TEXTS, **DROPPING}, {}).items()},
    # The order of texts is by bytes unless a table says otherwise, and none of ours does.
    "collations": Plain(r"""
SELECT substr(name, 9), '', 'COLLATE' FROM sqlite_schema
WHERE type = 'table' AND name LIKE 'sagabus\_%' ESCAPE '\' AND sql LIKE '% COLLATE %'
"""),
    "missing_indexes": Plain(
        f"SELECT value FROM json_each('{_INDEXES}') "
        "WHERE value NOT IN (SELECT name FROM sqlite_schema WHERE type = 'index')"
    ),
}
