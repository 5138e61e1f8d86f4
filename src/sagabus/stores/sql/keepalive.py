"""A server that is gone without a trace: a machine without power, a cable that is cut, a firewall that has forgotten.

No error reports it, and no deadline ends a user's statement on a lent connection. So the operating system probes the
other machine, which answers as long as it runs, however slow the statement is.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from math import ceil

_LEAST, _MOST = 3, 90_000
"""Seconds: one of silence, and two questions a second apart; and what no platform finds too long."""
_IDLE = ("TCP_KEEPIDLE", "TCP_KEEPALIVE")
"""Linux and Windows, macOS."""


def notice_silence(transport: asyncio.BaseTransport | None, deadline: float) -> None:
    """Have a connection end with an error if the other machine does not answer for about the deadline, to probes or to
    sent data. A socket that is not TCP is left alone, and so is what the platform has not got.
    """
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    seconds = min(max(_LEAST, ceil(deadline)), _MOST)
    with suppress(OSError):  # it has ended already, and its next use raises
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name in _IDLE:
            _set(sock, name, seconds // 3)
        _set(sock, "TCP_KEEPINTVL", seconds // 3)
        _set(sock, "TCP_KEEPCNT", 2)
        _set(sock, "TCP_USER_TIMEOUT", seconds * 1_000)


def _set(sock: socket.socket, name: str, value: int) -> None:
    option = getattr(socket, name, None)
    if isinstance(option, int):
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
