"""Stores of other distributions: found by the scheme of a URL, with no change of ours."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sagabus import Bus, ConfigurationError, Settings
from sagabus.cli import main
from sagabus.clock import SystemClock
from sagabus.store_urls import store_from_url
from sagabus.testing.clock import ManualClock
from sagabus.url import adapters as finding
from sagabus.url import parsed, shown

SECRET = "S3cr3tW0rd"
URL = f"parchment://scribe:{SECRET}@abbey:77/shelf?ink=black"
MODULE = """
from sagabus.stores.memory import MemoryStore
from sagabus.url import parsed

class ParchmentStore(MemoryStore):
    def __init__(self, url, clock, lanes):
        super().__init__(clock, lanes=lanes)
        self.given = (parsed(url), clock, lanes)

def store_from_url(url, *, clock, lanes):
    return ParchmentStore(url, clock, lanes)

not_a_function = "a text"
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts distributions on the search path: their metadata, and one module each."""

    def install(name: str, *entries: str, module: str = MODULE) -> None:
        folder = tmp_path / name
        metadata = folder / f"{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
        lines = "\n".join(("[sagabus.stores]", *entries))
        (metadata / "entry_points.txt").write_text(lines, encoding="utf-8")
        (folder / f"{name}.py").write_text(module, encoding="utf-8")
        monkeypatch.syspath_prepend(folder)

    return install


async def test_a_store_of_another_distribution_is_found_by_its_scheme(install: Install) -> None:
    install("parchment_a", "parchment = parchment_a:store_from_url")

    async with Bus(URL, settings=Settings(lanes=3)) as bus:
        assert (await bus.store.routing()).lanes == 3
        url, clock, lanes = vars(bus.store)["given"]

    assert (url.hosts, url.user, url.password, url.path) == ((("abbey", 77),), "scribe", SECRET, "shelf")
    assert (url.options, clock, lanes) == ((("ink", "black"),), None, 3)


def test_it_is_given_the_clock_of_a_test(install: Install) -> None:
    install("parchment_b", "Parchment = parchment_b:store_from_url")
    clock = ManualClock()

    assert vars(store_from_url(URL, clock))["given"][1] is clock


def test_no_secret_of_its_url_is_shown(install: Install) -> None:
    install("parchment_c", "parchment = parchment_c:store_from_url")

    assert shown(URL) == "parchment://abbey:77/shelf"
    assert SECRET not in repr(parsed(URL))
    for url in (URL.replace("//", "/"), URL.replace("shelf", "sh@lf"), URL.replace("77", "x")):
        with pytest.raises(ConfigurationError) as caught:
            parsed(url)
        assert SECRET not in str(caught.value)


def test_errors_name_the_schemes_that_are_installed_and_the_nearest(install: Install) -> None:
    with pytest.raises(ConfigurationError) as alone:
        parsed(URL)
    install("parchment_d", "parchment = parchment_d:store_from_url")

    with pytest.raises(ConfigurationError) as misspelt:
        parsed(URL.replace("parchment", "parchmant"))
    with pytest.raises(ConfigurationError) as driver:
        parsed("parchment+quill://abbey/shelf")
    with pytest.raises(ConfigurationError) as foreign:
        parsed("kafka://host")

    assert "parchment" not in str(alone.value)
    assert "did you mean parchment:?" in str(misspelt.value)
    assert "or memory:; installed packages bring parchment://…" in str(misspelt.value)
    assert "write parchment:// instead" in str(driver.value)
    assert "installed packages bring parchment://…" in str(foreign.value)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("import a_driver_that_is_missing", "No module named 'a_driver_that_is_missing'"),
        ("", "has no attribute 'store_from_url'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_what_an_adapter_lacks_is_said(install: Install, module: str, said: str) -> None:
    name = f"broken_{len(module)}"
    install(name, f"parchment = {name}:store_from_url", module=module)

    with pytest.raises(ConfigurationError) as caught:
        store_from_url(URL, SystemClock())

    assert f"parchment: {name}:store_from_url of {name} cannot be loaded" in str(caught.value)
    assert said in str(caught.value)
    assert "install what it needs" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_an_adapter_says_itself_what_to_install(install: Install) -> None:
    says = "from sagabus import ConfigurationError\nraise ConfigurationError('pip install parchment[quill]')"
    install("parchment_e", "parchment = parchment_e:store_from_url", module=says)

    with pytest.raises(ConfigurationError, match=r"^pip install parchment\[quill\]$"):
        store_from_url(URL, SystemClock())


def test_what_is_no_function_is_refused(install: Install) -> None:
    install("parchment_f", "parchment = parchment_f:not_a_function")

    with pytest.raises(ConfigurationError, match="parchment_f:not_a_function of parchment_f is no function"):
        store_from_url(URL, SystemClock())


def test_two_distributions_that_bring_one_scheme_are_refused(install: Install) -> None:
    install("parchment_g", "parchment = parchment_g:store_from_url")
    install("parchment_h", "parchment = parchment_h:store_from_url")

    with pytest.raises(ConfigurationError) as caught:
        store_from_url(URL, SystemClock())

    assert "parchment_g:store_from_url of parchment_g and parchment_h:store_from_url of parchment_h" in str(
        caught.value
    )


def test_no_distribution_takes_the_place_of_ours_or_is_looked_for(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("parchment_i", "memory = parchment_i:store_from_url")

    def refuse(**_: str) -> None:
        raise AssertionError("a source checkout works without its metadata")

    monkeypatch.setattr(finding, "entry_points", refuse)
    finding._entries.cache_clear()

    assert type(store_from_url("memory:", SystemClock())).__name__ == "MemoryStore"
    assert store_from_url("sqlite:///shop.db", SystemClock())
    assert store_from_url("postgresql://host/shop", SystemClock())
    assert store_from_url("mariadb://host/shop", SystemClock())


def test_the_command_line_takes_it_and_shows_no_secret(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("parchment_j", "parchment = parchment_j:store_from_url")

    assert main(["migrate", "--store", URL, "--json"]) == 0

    said = capsys.readouterr()
    assert '"store":"parchment://abbey:77/shelf"' in said.out
    assert SECRET not in said.out + said.err
