"""What several statements on SQLite are put together from."""

from __future__ import annotations

NOT_HELD = """NOT EXISTS (SELECT 1 FROM sagabus_held_key AS h WHERE h.channel = e.channel
    AND h.partition_key = e.partition_key AND h.position <> e.position)"""
