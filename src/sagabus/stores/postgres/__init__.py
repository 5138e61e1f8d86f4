"""The PostgreSQL store."""

from sagabus.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
