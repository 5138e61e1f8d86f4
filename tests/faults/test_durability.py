"""A store whose commits a crash may lose says so when the bus opens, or is refused, as the settings have it."""

import asyncio
import logging
from pathlib import Path

import pytest
from tests.conftest import Take
from tests.support.private_servers import require

from sagabus import Bus, ConfigurationError, Settings
from sagabus.stores.sqlite import surroundings
from sagabus.testing.servers import PrivateMariaDB, PrivatePostgres


async def opened(url: str, settings: Settings | None = None) -> None:
    async with Bus(url, settings=settings):
        """Opened, and closed."""


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def check(url: str, said: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """One WARNING for each reason by default, all of them in one error where required, silence where accepted."""
    asyncio.run(opened(url))
    warned = warnings_of(caplog)
    assert [reason in line for reason, line in zip(said, warned, strict=True)] == [True] * len(said)

    with pytest.raises(ConfigurationError) as refused:
        asyncio.run(opened(url, Settings(durability="require")))
    assert len(refused.value.problems) == len(said)

    caplog.clear()
    asyncio.run(opened(url, Settings(durability="accept")))
    assert warnings_of(caplog) == []


def test_postgres_tells_what_the_url_or_a_role_turns_off(take: Take, caplog: pytest.LogCaptureFixture) -> None:
    url = take("postgres").url.replace("synchronous_commit=off", "")

    check(f"{url}&synchronous_commit=off", ["synchronous_commit=off"], caplog)
    asyncio.run(opened(f"{url}&synchronous_commit=local", Settings(durability="require")))


def test_postgres_tells_what_the_server_turns_off(caplog: pytest.LogCaptureFixture) -> None:
    require(PrivatePostgres)
    with PrivatePostgres({"fsync": "off", "full_page_writes": "off"}) as server:
        check(server.url, ["fsync=off", "full_page_writes=off"], caplog)


def test_mariadb_tells_what_the_server_turns_off(caplog: pytest.LogCaptureFixture) -> None:
    require(PrivateMariaDB)
    with PrivateMariaDB({"innodb-flush-log-at-trx-commit": "2", "innodb-doublewrite": "0"}) as server:
        check(server.url, ["innodb_flush_log_at_trx_commit=2", "innodb_doublewrite=OFF"], caplog)


@pytest.mark.parametrize("kind", ["sqlite", "mysql"])
def test_what_is_durable_passes_where_it_is_required(kind: str, take: Take, caplog: pytest.LogCaptureFixture) -> None:
    asyncio.run(opened(take(kind).url, Settings(durability="require")))

    assert warnings_of(caplog) == []


def mounted(folder: Path, *lines: str) -> Path:
    table = folder / "mountinfo"
    table.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return table


def test_a_file_on_a_network_file_system_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lines = ("1 0 8:1 / / rw - ext4 /dev/a rw", f"2 1 0:1 / {tmp_path} rw shared:1 - nfs4 host:/x rw")
    monkeypatch.setattr(surroundings, "MOUNTS", mounted(tmp_path, *lines))

    check(f"sqlite:///{tmp_path}/shop.db", ["nfs4"], caplog)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/shop.db", None),
        ("/srv/share/shop.db", "cifs"),
        ("/srv/shared/shop.db", None),
        ("/srv/share/local/shop.db", None),
        ("/srv/a b/shop.db", "fuse.sshfs"),
        ("/srv/twice/shop.db", "nfs"),
    ],
)
def test_the_nearest_mount_decides(
    path: str, kind: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (
        "1 0 8:1 / / rw - ext4 /dev/a rw",
        "2 1 0:1 / /srv/share rw - cifs //h/x rw",
        "3 2 8:2 / /srv/share/local rw master:1 - xfs /dev/b rw",
        "4 1 0:2 / /srv/a\\040b rw - fuse.sshfs h:/ rw",
        "5 1 8:3 / /srv/twice rw - ext4 /dev/c rw",
        "6 5 0:3 / /srv/twice rw - nfs h:/y rw",
        "no mount",
    )
    monkeypatch.setattr(surroundings, "MOUNTS", mounted(tmp_path, *lines))

    assert surroundings.network_file_system(path) == kind


def test_without_a_table_of_mounts_nothing_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "MOUNTS", tmp_path / "none")

    assert surroundings.network_file_system("/srv/shop.db") is None


@pytest.mark.parametrize(("mode", "warned"), [(0o666, True), (0o622, True), (0o660, False), (0o600, False)])
def test_a_file_that_every_user_may_write_is_reported(
    mode: int, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "shop.db"
    path.touch()
    path.chmod(mode)

    asyncio.run(opened(f"sqlite:///{path}"))

    assert ["every user of this machine may write" in line for line in warnings_of(caplog)] == [True] * warned


def test_no_other_word_is_a_durability() -> None:
    with pytest.raises(ConfigurationError, match=r"Settings\.durability"):
        Settings(durability="maybe")  # type: ignore[arg-type]  # what a checker refuses as well
