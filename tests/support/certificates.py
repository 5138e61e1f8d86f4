"""Keys and certificates for servers of tests: by an authority of their own, and by a stranger."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def sign(folder: Path, name: str, authority: str, names: str) -> None:
    """A key and a certificate for it."""
    openssl(
        folder,
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        f"{name}.key",
        "-out",
        "request",
        "-subj",
        f"/CN={name}",
    )
    (folder / "extensions").write_text(f"subjectAltName={names}", encoding="utf-8")
    signed = ("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial", "-days", "2")
    openssl(folder, "x509", "-req", "-in", "request", *signed, "-extfile", "extensions", "-out", f"{name}.pem")


@contextmanager
def made() -> Iterator[Path]:
    """Two authorities, a server's certificate and a client's by the first; where a server's own user can read them."""
    folder = Path(tempfile.mkdtemp(prefix="sagabus-tls-"))
    folder.chmod(0o755)
    for name in ("authority", "stranger"):
        key = ("-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key")
        openssl(folder, "req", "-x509", *key, "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN={name}")
    sign(folder, "server", "authority", "IP:127.0.0.1")
    sign(folder, "client", "authority", "DNS:client")
    yield folder
    shutil.rmtree(folder)


def keep_key(folder: Path, name: str, user: str) -> Path:
    """A copy of the server's key that this user alone may read, as PostgreSQL demands."""
    copy = Path(shutil.copy(folder / f"{name}.key", folder / f"{name}-{user}.key"))
    copy.chmod(0o600)
    with suppress(LookupError, PermissionError):
        shutil.chown(copy, user)
    return copy
