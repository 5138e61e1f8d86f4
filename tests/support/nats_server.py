"""The NATS server of a test: the one that a URL names, or a private one where none answers."""

from __future__ import annotations

import os
import socket
from functools import cache
from urllib.parse import urlsplit

import pytest

from sagabus.testing.brokers import PrivateNats

NATS = os.environ.get("SAGABUS_TEST_NATS", "nats://127.0.0.1:4222")


@cache
def nats_server() -> tuple[str, int]:
    """Host and port of a server with JetStream."""
    parts = urlsplit(NATS)
    named = parts.hostname or "127.0.0.1", parts.port or 4222
    if "SAGABUS_NATS_SERVER" not in os.environ:
        try:
            socket.create_connection(named, timeout=2).close()
        except OSError:
            pass
        else:
            return named
    if PrivateNats.available():
        _private().start()
        return "127.0.0.1", _private().port
    if os.environ.get("CI"):
        pytest.fail(f"no NATS server answers at {named[0]}:{named[1]}, and nats-server is not on this machine")
    pytest.skip("no NATS server: set SAGABUS_TEST_NATS, or install nats-server")


@cache
def _private() -> PrivateNats:
    """Kept until this interpreter ends, and with it the server."""
    return PrivateNats()
