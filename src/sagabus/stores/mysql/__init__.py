"""The MySQL and MariaDB store."""

from sagabus.stores.mysql.store import MysqlStore

__all__ = ["MysqlStore"]
