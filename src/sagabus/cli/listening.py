"""Where `sagabus run` answers probes and Prometheus."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import click

from sagabus.cli.text import printable

if TYPE_CHECKING:
    from sagabus.bus import Bus
    from sagabus.integrations.http import HttpServer


@runtime_checkable
class Looking(Protocol):
    """An observer that looks at its bus by itself: `sagabus.telemetry.metering.Metering`."""

    def look_at(self, bus: Any) -> None:
        """From now on."""
        ...


def look_at(bus: Bus) -> None:
    """Have those observers of the bus look at it that do so by themselves."""
    for each in bus.observers:
        if isinstance(each, Looking):
            each.look_at(bus)


def address(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, int] | None:
    """The host and the port of `PORT` or `HOST:PORT`; without a host, this machine alone."""
    if value is None:
        return None
    host, _, port = value.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise click.BadParameter(f"{printable(value)} is no port and no HOST:PORT", ctx, param)
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


def listening(bus: Bus, where: tuple[str, int] | None) -> AbstractAsyncContextManager[HttpServer | None]:
    """A server for the health of the bus, and for its metrics if it has any; nothing without an address."""
    if where is None:
        return nullcontext()
    from sagabus.integrations.asgi import Exporter, HealthApp
    from sagabus.integrations.http import HttpServer

    metrics = next((each for each in bus.observers if isinstance(each, Exporter)), None)
    return HttpServer(HealthApp(bus, metrics=metrics), *where)
