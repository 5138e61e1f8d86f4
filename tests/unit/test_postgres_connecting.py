"""What is wrong with an address is told by its own error, before any server is asked."""

import asyncio
import getpass

import pytest

from sagabus import Bus, ConfigurationError


def test_an_address_without_a_user_is_reported_where_the_process_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1000650000")

    monkeypatch.delenv("PGUSER", raising=False)
    monkeypatch.setattr(getpass, "getuser", nameless)

    with pytest.raises(ConfigurationError, match="names no user"):
        asyncio.run(Bus("postgresql://127.0.0.1:1/orders").open(worker=False))
