"""Whether what goes to a broker can be read on its way: one rule, and one set of options, for all adapters.

A URL whose scheme names TLS verifies the broker's certificate and name. `ca` names a file of certificates to trust in
place of the system's; `cert` and `key` are the client's own. A plain URL of another machine is refused, unless
`tls=off` says that its network is trusted.

The files are read for each connection, so that they may be replaced while a bus runs.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from sagabus.errors import ConfigurationError
from sagabus.url.parsing import StoreUrl

OPTIONS = ("ca", "cert", "key", "tls")
"""Options of the URL that this module reads."""
_FILES = ("ca", "cert", "key")


@dataclass(frozen=True, slots=True)
class Encryption:
    """What connections are encrypted with: the authorities of the system, or the files that are named."""

    place: str
    files: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """By the options that name them."""

    async def context(self) -> ssl.SSLContext:
        """For one connection. ConfigurationError for files that cannot be used now."""
        return await asyncio.to_thread(self.context_now)

    def context_now(self) -> ssl.SSLContext:
        """The same, without an event loop."""
        files = self.files
        try:
            context = ssl.create_default_context(cafile=files.get("ca"))
            if "cert" in files:
                # Without a password, OpenSSL would ask for that of an encrypted key on the terminal.
                context.load_cert_chain(files["cert"], files.get("key"), password="")
        except (OSError, ValueError) as error:
            problem = f"{self.place}: a certificate or key cannot be used: {type(error).__name__}"
        else:
            return context
        raise ConfigurationError(problem)


def encryption_of(url: StoreUrl, *, encrypted: bool, secure_scheme: str) -> Encryption | None:
    """What connections are made with; None for plain ones. `secure_scheme` is the one that names TLS.

    ConfigurationError, with all problems, for files that cannot be read and for a plain URL of another machine.
    """
    options = dict(url.options)
    problems = _problems(url, options, encrypted=encrypted, secure_scheme=secure_scheme)
    if problems:
        raise ConfigurationError(*problems)
    if not encrypted:
        return None
    found = Encryption(url.place, {name: options[name] for name in _FILES if name in options})
    found.context_now()
    return found


def _problems(url: StoreUrl, options: Mapping[str, str], *, encrypted: bool, secure_scheme: str) -> list[str]:
    files = [name for name in _FILES if name in options]
    problems = [
        f"{url.place}: the file of the option {name} cannot be read: correct its path or its permissions"
        for name in files
        if not os.access(options[name], os.R_OK)
    ]
    if "key" in options and "cert" not in options:
        problems.append(f"{url.place}: the option key needs the option cert: name the file of the certificate")
    if options.get("tls", "off") != "off":
        problems.append(f"{url.place}: the option tls has one value, off: for TLS write {secure_scheme}:")
    elif encrypted and "tls" in options:
        problems.append(f"{url.place}: {url.scheme}: is encrypted: remove tls=off, or write the plain scheme")
    if encrypted:
        return problems
    if files:
        problems.append(f"{url.place}: {', '.join(files)}: only for TLS: write {secure_scheme}: for it")
    remote = [host for host, _ in url.hosts if not is_local(host)]
    if remote and "tls" not in options:
        problems.append(
            f"{url.place}: messages and password would cross the network in plain text: write {secure_scheme}:, "
            "or add tls=off to the URL if the network is trusted"
        )
    return problems


def is_local(host: str) -> bool:
    """Whether a host is this machine, by its name or address alone."""
    if host in {"", "localhost"} or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
