"""Who mends, where nobody says so: the audit log keeps the name of the system's user, whatever it is."""

import getpass

import pytest

from sagabus.bus.mending.author import author


@pytest.mark.parametrize(
    ("user", "kept"),
    [
        ("ann", "ann"),
        ("jürgen", "jürgen"),
        ("an\udcffn", "an\\udcffn"),
        ("an\x1b[2Jn", "an\\x1b[2Jn"),
        (" ", "unknown"),
        ("a" * 3_000, "a" * 2_000),
    ],
)
def test_a_name_of_the_system_is_kept_as_text(monkeypatch: pytest.MonkeyPatch, user: str, kept: str) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, user)

    assert author(None) == kept
    assert author("bob") == "bob"


def test_a_process_without_a_user_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise OSError("no such user")

    monkeypatch.setattr(getpass, "getuser", nameless)

    assert author(None) == "unknown"
