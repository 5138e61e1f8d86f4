"""What the command prints about its arguments: no password of a URL, wherever it was typed, and no control codes."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagabus.cli import main
from sagabus.cli.output import safe_complaint

SECRET = "S3cr3tW0rd"
PLACES = [
    ["URL"], ["run", "URL"], ["demo", "URL"], ["demo", "--store", "URL"], ["demo", "--orders", "URL"],
    ["demo", "--events", "URL"], ["bench", "--store", "URL"], ["bench", "--sagas", "URL"], ["bench", "URL"],
    ["migrate", "URL"], ["migrate", "--store", "URL"], ["migrate", "--store", "sqlite:///no/x.db", "URL"],
    ["migrate", "--sql", "--store", "URL"], ["lanes", "URL"], ["lanes", "--store", "URL"], ["lanes", "x:y", "URL"],
    ["subscriptions", "list", "URL"], ["subscriptions", "remove", "URL", "x"], ["dead-letters", "list", "URL"],
    ["dead-letters", "show", "--store", "URL", "1"], ["dead-letters", "show", "--store", "sqlite:///no/x.db", "URL"],
    ["dead-letters", "list", "--limit", "URL"], ["sagas", "list", "URL"], ["sagas", "show", "--store", "URL", "s", "k"],
    ["sagas", "list", "--store", "URL", "--json"], ["check", "URL"], ["graph", "URL"],
    ["graph", "x:y", "--saga", "URL"], ["--URL"], ["migrate", "--URL"], ["migrate", "--stroe=URL"],
    ["lanes", "--json=URL"], ["run", "x:y", "--log-level=URL"],
]  # fmt: skip
URLS = [
    f"postgresql://u:{SECRET}@127.0.0.1:1/d", f"postgresql://u:a/{SECRET}@127.0.0.1:1/d", f"u:{SECRET}@127.0.0.1/d",
    f"postgresql://u:a?{SECRET}@h/d", f"mysql:/u:{SECRET}@h/d", f"sqlite://u:{SECRET}@h/d", f"sqlite:///u:{SECRET}@h/d",
    f"postgresql+asyncpg://u:{SECRET}@h/d", f"postgresql://127.0.0.1:1/d?password={SECRET}", f"u:'{SECRET}\"@h",
    f"postgresql://u@127.0.0.1:1/d?password_file=/no/{SECRET}", f"mysql://u@127.0.0.1:1/d?password_file={SECRET}",
    f"mysql://u:{SECRET}@127.0.0.1:1/d?password_file={SECRET}", f"postgresql://u@h/d?passwordfile={SECRET}",
    f"mysql://u@h/d?password={SECRET}", f"amqp://u:p@h/v?token={SECRET}",
    f"mysql://u:\x1b[31m{SECRET}\n@127.0.0.1:1/d", f"mysql://u:{SECRET}@127.0.0.1:1/d?bad", f"u:\udc80{SECRET}@h",
]  # fmt: skip


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("place", PLACES, ids=" ".join)
def test_no_password_is_printed_wherever_a_url_is_typed(
    place: list[str], url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    main([part.replace("URL", url) for part in place])

    said = "".join(capsys.readouterr())
    assert SECRET not in said
    assert "\x1b" not in said


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=st.text(min_size=1).map(lambda text: text + SECRET), scheme=st.sampled_from(["", "mysql://", "x:/"]))
def test_a_complaint_repeats_no_argument_that_may_be_a_url(password: str, scheme: str) -> None:
    typed = f"{scheme}u:{password}@h/d"

    for said in (typed, repr(typed), f"--store={typed!r}"):
        assert SECRET not in safe_complaint(f"Error: unexpected {said}\n", [typed, f"--store={typed}"])
