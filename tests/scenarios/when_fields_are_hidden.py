"""A field that is marked as hidden is stored and handled as any other, and shown to nobody who does not ask for it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pydantic
import pytest
from tests.conftest import Take
from tests.support.databases import Database
from tests.unit.test_cli_docs import commands

from sagabus import (
    Bus,
    ConfigurationError,
    Context,
    Hidden,
    MendRefused,
    MessageInvalid,
    RetryPolicy,
    Saga,
    Settings,
    event,
    handler,
    handles,
    starts,
)
from sagabus.cli import main
from sagabus.codec.masks import HIDDEN
from sagabus.errors import StateInvalid

NOW, BEFORE = "c4rd-now", "c4rd-before"
SECRETS = (NOW, BEFORE)
MODULE = """
from tests.scenarios.when_fields_are_hidden import Orders, audit
from sagabus import Bus, Settings

bus = Bus({url!r}, Orders, audit, settings=Settings(journal="all"))
"""


@dataclass
class Address:
    city: str
    street: Annotated[str, Hidden]


class Pin(pydantic.BaseModel):
    owner: str
    pin: Annotated[pydantic.SecretStr, pydantic.PlainSerializer(lambda each: each.get_secret_value(), return_type=str)]


@event("hiding.submitted")
class Submitted:
    key: str
    card: Annotated[str, Hidden]
    address: Address
    others: list[Address]
    phone: Annotated[str, Hidden] | None
    pin: Pin
    note: str = "plain"


@event("hiding.changed")
class Changed:
    key: str
    card: Annotated[str, Hidden]


class Orders(Saga, name="hiding.orders", key="key", history=True):
    key: str
    note: str = "plain"
    card: Annotated[str, Hidden] = ""
    address: Address | None = None
    others: list[Address] = field(default_factory=list)
    by_name: dict[str, Annotated[str, Hidden]] = field(default_factory=dict)
    pin: Pin | None = None

    @starts
    def submitted(self, message: Submitted, ctx: Context) -> None:
        self.card, self.address, self.others, self.pin = message.card, message.address, message.others, message.pin
        self.by_name["first"] = message.card

    @handles
    def changed(self, message: Changed) -> None:
        self.card = self.by_name["first"] = message.card
        self.others = [Address("Y", message.card)]
        self.pin = Pin(owner="X", pin=pydantic.SecretStr(message.card))


@handler("hiding.audit", key="key", retry=RetryPolicy(attempts=1))
def audit(message: Submitted) -> None:
    if message.note == "plain":
        raise ValueError("wrong")


def submitted(card: str, key: str = "A1") -> Submitted:
    address = Address("X", card)
    pin = Pin(owner="X", pin=pydantic.SecretStr(card))
    return Submitted(key, card, address, [address], card, pin)


BODY = {
    "key": "A1",
    "card": HIDDEN,
    "address": {"city": "X", "street": HIDDEN},
    "others": [{"city": "X", "street": HIDDEN}],
    "phone": HIDDEN,
    "pin": {"owner": "X", "pin": HIDDEN},
    "note": "plain",
}
STATE = {
    "key": "A1",
    "note": "plain",
    "card": HIDDEN,
    "address": {"city": "X", "street": HIDDEN},
    "others": [{"city": "Y", "street": HIDDEN}],
    "by_name": {"first": HIDDEN},
    "pin": {"owner": "X", "pin": HIDDEN},
}


async def fill(bus: Bus) -> int:
    """The number of the dead letter that it leaves."""
    await bus.publish(submitted(BEFORE), message_id="first")
    await bus.publish(Changed("A1", NOW), correlation_id="first")
    await bus.idle()
    return (await letter_of(bus)).id


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Bus]:
    async with Bus(url, Orders, audit, settings=Settings(durability="accept", journal="all")) as bus:
        yield bus


class Shell:
    """The command, with a module that declares the classes, or with the store alone."""

    def __init__(self, database: Database, module: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.places = {"module": [f"{module}:bus"], "store": ["--store", database.url]}
        self.letter = 0
        self._capsys = capsys

    async def run(self, words: str, *more: str, place: str = "module") -> tuple[int, str, str]:
        """Exit code, stdout and stderr. `MODULE` in the words stands for the place."""
        means = {"MODULE": self.places[place], "LETTER": [str(self.letter)]}
        arguments = [part for word in words.split() for part in means.get(word, [word])]
        self._capsys.readouterr()
        code = await asyncio.to_thread(main, [*arguments, *more])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    async def data(self, words: str, *more: str, place: str = "module") -> Any:
        code, out, err = await self.run(words, *more, "--json", place=place)
        assert code == 0, err
        return json.loads(out.splitlines()[-1])


@pytest.fixture(params=["sqlite", "postgres", "mysql"])
def shell(
    request: pytest.FixtureRequest,
    take: Take,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Shell]:
    database, module = take(request.param), f"hiding_on_{request.param}"
    (tmp_path / f"{module}.py").write_text(MODULE.format(url=database.url))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield Shell(database, module, capsys)
    sys.modules.pop(module, None)


@pytest.fixture
def url(shell: Shell) -> str:
    return shell.places["store"][1]


LOOKS = {
    "dead-letters show MODULE LETTER": SECRETS[1:],
    "dead-letters list MODULE": (),
    "dead-letters groups MODULE": (),
    "dead-letters replay MODULE --cause failed --dry-run": (),
    "sagas list MODULE hiding.orders": (),
    "sagas show MODULE hiding.orders A1": SECRETS,
    "sagas history MODULE hiding.orders A1": (),
    "sagas history MODULE hiding.orders A1 --changes": SECRETS,
    "sagas why MODULE hiding.orders A1": (),
    "audit MODULE": SECRETS,
    "messages MODULE": (),
    "timers MODULE": (),
    "status MODULE": (),
    "conversation MODULE first": (),
    "doctor MODULE": (),
    "health MODULE": (),
    "workers MODULE": (),
    "subscriptions list MODULE": (),
    "lanes MODULE": (),
    "erase MODULE --key A1": (),  # without --yes it only counts
}
"""Commands that show something, and what of it is secret."""
IN_JSON = {
    "sagas list MODULE hiding.orders": SECRETS,
    "sagas history MODULE hiding.orders A1": SECRETS,
}
"""What more of it `--json` has."""


OTHERS = {
    "they change something": {
        "dead-letters discard", "dead-letters edit", "dead-letters replay", "lanes", "mend cancel-all",
        "mend cancel-message",
        "mend cancel-timer", "mend move-timer", "mend retry-now", "migrate", "pause", "resume", "sagas cancel",
        "sagas complete", "sagas patch", "subscriptions remove",
    },
    "they look at no message and at no state": {
        "bench", "check", "demo", "graph", "monitoring alerts", "monitoring board", "reconcile", "run", "topology",
    },
}  # fmt: skip
"""Commands that are not in the sweep, and why. What those say that change values has a test of its own."""


def test_every_command_is_in_the_sweep_or_has_a_reason() -> None:
    swept = {words.partition(" MODULE")[0] for words in LOOKS}
    every = {" ".join(path) for path, _ in commands()}

    assert every == swept.union(*OTHERS.values())
    assert {words for words, command in commands() if "reveal" in {each.name for each in command.params}} == {
        tuple(words.partition(" MODULE")[0].split()) for words, secrets in {**LOOKS, **IN_JSON}.items() if secrets
    }


async def change_by_hand(bus: Bus) -> None:
    """The audit log then has old and new values of both."""
    other = {**json.loads((await letter_of(bus)).envelope.body), "key": "A2", "card": NOW, "note": "other"}
    await bus.mend.patch(Orders, "A1", {"card": BEFORE}, version=2, reason="a test")
    await bus.publish(submitted(BEFORE, "A2"), message_id="second")
    await bus.idle()
    await bus.dead_letters.edit((await bus.dead_letters.list())[-1].id, other, reason="a test")
    await bus.idle()


async def letter_of(bus: Bus) -> Any:
    (letter,) = await bus.dead_letters.list()
    return letter


@pytest.mark.parametrize("place", ["module", "store"])
async def test_no_command_shows_a_hidden_value_unless_it_is_told_to(shell: Shell, url: str, place: str) -> None:
    async with opened(url) as bus:
        shell.letter = await fill(bus)
        await change_by_hand(bus)

    for words, secrets in LOOKS.items():
        for as_json in ((), ("--json",)):
            wanted = {*secrets, *(IN_JSON.get(words, ()) if as_json else ())}
            code, out, err = await shell.run(words, *as_json, place=place)
            assert (words, code in (0, 1), bool(out)) == (words, True, True), err
            assert (words, [each for each in SECRETS if each in out + err]) == (words, [])
            if wanted:
                _, out, _ = await shell.run(words, *as_json, "--reveal", place=place)
                assert (words, {each for each in SECRETS if each in out}) == (words, wanted)


async def test_what_is_not_hidden_is_shown_as_before(shell: Shell, url: str) -> None:
    async with opened(url) as bus:
        shell.letter = await fill(bus)

    assert (await shell.data("dead-letters show MODULE LETTER"))["body"] == BODY
    assert (await shell.data("sagas show MODULE hiding.orders A1"))["state"] == STATE
    assert [each["state"] for each in await shell.data("sagas list MODULE hiding.orders")] == [STATE]
    _, _, err = await shell.run("sagas show MODULE hiding.orders A1")
    assert err == "Hidden, shown with --reveal: address.street, by_name.first, card, others[].street, pin.pin\n"


async def test_a_difference_says_that_a_value_has_changed_and_not_what(shell: Shell, url: str) -> None:
    async with opened(url) as bus:
        shell.letter = await fill(bus)

    _, out, _ = await shell.run("sagas history MODULE hiding.orders A1 --changes")
    second = (await shell.data("sagas history MODULE hiding.orders A1"))[1]

    assert [(each["path"], each["before"], each["after"]) for each in second["changes"]] == [
        ("card", HIDDEN, HIDDEN),
        ("others[0].city", "X", "Y"),
        ("others[0].street", HIDDEN, HIDDEN),
        ("by_name.first", HIDDEN, HIDDEN),
        ("pin.pin", HIDDEN, HIDDEN),
    ]
    assert 'card = "(hidden)"' in out
    assert "card changed (hidden)" in out


async def test_without_the_classes_only_the_names_of_fields_are_shown(shell: Shell, url: str) -> None:
    async with opened(url) as bus:
        shell.letter = await fill(bus)

    assert (await shell.data("dead-letters show MODULE LETTER", place="store"))["body"] == dict.fromkeys(BODY, HIDDEN)
    found = await shell.data("sagas show MODULE hiding.orders A1", place="store")
    assert found["state"] == dict.fromkeys(STATE, HIDDEN)
    for words in ("sagas list MODULE --json", "sagas history MODULE hiding.orders A1 --changes"):
        assert "With --store no class is known" in (await shell.run(words, place="store"))[2]
        assert (await shell.run(words))[2] == ""
    _, _, err = await shell.run("dead-letters show MODULE LETTER", place="store")
    assert err == (
        "The class of hiding.submitted is not known here, so its values are hidden: "
        "give the MODULE:BUS that declares it, or --reveal.\n"
    )


WORDS = ("--reason", "a test", "--yes")


async def test_an_edit_keeps_the_hidden_values_that_it_does_not_give(shell: Shell, url: str) -> None:
    async with opened(url) as bus:
        shell.letter = await fill(bus)
    given = {**BODY, "note": "other", "others": []}

    code, out, err = await shell.run("dead-letters edit MODULE LETTER", json.dumps(given), *WORDS)

    assert (code, [each for each in SECRETS if each in out + err]) == (0, []), err
    async with Bus(url, settings=Settings(durability="accept")) as bus:
        (entry,) = (await bus.inspect.audit(reveal=True)).entries
    stored = json.loads(entry.after["body"])
    assert stored == {
        **given,
        "card": BEFORE,
        "phone": BEFORE,
        "address": {"city": "X", "street": BEFORE},
        "pin": {"owner": "X", "pin": BEFORE},
    }


@pytest.mark.parametrize("place", ["module", "store"])
async def test_an_edit_is_refused_that_has_hidden_where_it_stands_for_nothing(
    shell: Shell, url: str, place: str
) -> None:
    async with opened(url) as bus:
        shell.letter = await fill(bus)
    given = {**BODY, "note": HIDDEN, "wrong": HIDDEN}

    code, _, err = await shell.run("dead-letters edit MODULE LETTER", json.dumps(given), *WORDS, place=place)

    named = {"module": "others[0].street, note, wrong", "store": "address.street, others[0].street, pin.pin, wrong"}
    assert (code, f"give the values of {named[place]}, for which" in err) == (1, True), err
    async with Bus(url, settings=Settings(durability="accept")) as bus:
        assert (await letter_of(bus)).status == "open"
        assert (await bus.inspect.audit()).entries == ()


async def test_a_patch_keeps_the_hidden_values_that_it_does_not_give(shell: Shell, url: str) -> None:
    async with opened(url) as bus:
        shell.letter = await fill(bus)
    given = {"note": "other", "card": HIDDEN, "address": {"city": "Z", "street": HIDDEN}}

    code, out, err = await shell.run("sagas patch MODULE hiding.orders A1", json.dumps(given), "--version", "2", *WORDS)

    assert (code, [each for each in SECRETS if each in out + err]) == (0, []), err
    assert '"note":"other"' in out
    async with opened(url) as bus:
        record = await bus.sagas.get(Orders, "A1")
        (entry,) = (await bus.inspect.audit(reveal=True)).entries
    assert record is not None
    assert (record.state.note, record.state.card, record.state.address) == ("other", NOW, Address("Z", BEFORE))
    assert entry.after["fields"] == {"note": "other", "card": NOW, "address": {"city": "Z", "street": BEFORE}}


async def test_a_patch_is_refused_that_has_hidden_where_it_stands_for_nothing(shell: Shell, url: str) -> None:
    async with opened(url) as bus:
        shell.letter = await fill(bus)
    given = {"note": HIDDEN, "others": [{"city": "X", "street": HIDDEN}]}

    code, _, err = await shell.run("sagas patch MODULE hiding.orders A1", json.dumps(given), "--version", "2", *WORDS)

    assert (code, "give the values of note, others[0].street, for which" in err) == (1, True), err
    async with opened(url) as bus:
        record = await bus.sagas.get(Orders, "A1")
        assert record is not None
        assert record.version == 2


@pytest.mark.parametrize("words", ["dead-letters edit MODULE LETTER", "sagas patch MODULE hiding.orders A1"])
async def test_a_text_that_is_no_json_is_not_repeated(shell: Shell, url: str, words: str) -> None:
    async with opened(url) as bus:
        shell.letter = await fill(bus)
    version = ("--version", "2") if "patch" in words else ()

    code, out, err = await shell.run(words, f'{{"card": "{NOW}"', *version, *WORDS)

    assert (code, "this is no JSON: Expecting" in err, NOW in out + err) == (2, True, False)


async def test_what_a_command_says_of_a_change_has_no_hidden_value(shell: Shell, url: str) -> None:
    async with opened(url) as bus:
        shell.letter = await fill(bus)
    fields = json.dumps({"card": BEFORE, "note": "other"})

    for words in ("sagas patch MODULE hiding.orders A1", "sagas complete MODULE hiding.orders A1"):
        more = ["--set", fields] if "complete" in words else [fields]
        version = "3" if "complete" in words else "2"
        code, out, err = await shell.run(words, *more, "--version", version, *WORDS)
        assert (code, [each for each in SECRETS if each in out + err]) == (0, []), err
        assert '"note": "other"' in err


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres", "mysql"])
async def test_a_program_reads_its_own_values_and_a_screen_does_not(kind: str, take: Take) -> None:
    async with opened("memory:" if kind == "memory" else take(kind).url) as bus:
        await fill(bus)
        letter, record = await letter_of(bus), await bus.sagas.get(Orders, "A1")
        (_, transition) = await bus.sagas.history(Orders, "A1")
        assert record is not None
        assert (record.state.card, transition.state["card"]) == (NOW, NOW)
        assert json.loads(letter.envelope.body)["card"] == BEFORE

        assert json.loads(bus.inspect.masked(letter).envelope.body) == BODY
        assert bus.inspect.masked(record).state == STATE
        assert bus.inspect.masked(transition).state == STATE
        assert {each.state["card"] for each in await bus.inspect.history(Orders, "A1")} == {HIDDEN}
        steps = await bus.inspect.history(Orders, "A1", reveal=True)
        assert [each.state["card"] for each in steps] == [BEFORE, NOW]


async def test_the_text_hidden_is_never_stored_by_an_edit_of_a_program_either() -> None:
    async with opened("memory:") as bus:
        await fill(bus)
        with pytest.raises(MendRefused, match="give the values of note"):
            await bus.mend.patch(Orders, "A1", {"note": HIDDEN}, version=2, reason="a test")
        with pytest.raises(MendRefused, match="give the values of key"):
            await bus.dead_letters.edit(1, {"key": HIDDEN}, reason="a test")


async def test_what_every_list_shows_cannot_be_hidden() -> None:
    @event("hiding.keyed")
    class Keyed:
        card: Annotated[str, Hidden]

    class Cards(Saga, name="hiding.cards", key="card"):
        card: Annotated[str, Hidden]
        status: Annotated[str, Hidden] = "new"

        @starts
        def keyed(self, message: Keyed) -> None: ...

    with pytest.raises(ConfigurationError) as refused:
        Bus("memory:", Cards)

    problem = "which lists and logs show: it cannot be Hidden"
    assert list(refused.value.problems) == [
        f"'hiding.cards', message 'hiding.keyed': field 'card' is the key, {problem}",
        f"saga 'hiding.cards': field 'card' is the key, {problem}",
        f"saga 'hiding.cards': field 'status' is the status, {problem}",
    ]


class Checked(pydantic.BaseModel):
    """What an older release has stored, this one refuses with a text that repeats it."""

    number: Annotated[str, Hidden]
    places: dict[Annotated[str, Hidden], int] = {}

    @pydantic.field_validator("number")
    @classmethod
    def is_good(cls, value: str) -> str:
        if _is_new_release:
            raise ValueError(f"{value} is no number of a card")
        return value


_is_new_release = False


@event("hiding.checked")
class Inspected:
    key: str
    card: Checked
    note: str = ""


class Cards(Saga, name="hiding.checks", key="key", history=True, retry=RetryPolicy(attempts=1)):
    key: str
    note: str = ""
    card: Checked | None = None

    @starts
    def inspected(self, message: Inspected) -> None:
        self.card = message.card
        raise_for(message)


def raise_for(message: Inspected) -> None:
    if message.note:
        raise ValueError("wrong")


@asynccontextmanager
async def of_a_new_release() -> AsyncIterator[Bus]:
    """A bus of a release that refuses what an older one has stored: a state, and a dead letter."""
    async with Bus("memory:", Cards, settings=Settings(journal="all")) as bus:
        for key, note in (("A1", ""), ("A2", "bad")):
            await bus.publish(Inspected(key, Checked(number=NOW, places={BEFORE: 1}), note))
        await bus.idle(30)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sys.modules[__name__], "_is_new_release", True)
            yield bus


async def test_a_state_that_cannot_be_read_is_shown_without_the_values_in_its_error() -> None:
    async with of_a_new_release() as bus:
        record = await bus.sagas.get("hiding.checks", "A1")
        assert record is not None
        assert NOW in str(record.error)

        shown = bus.inspect.masked(record)

    assert str(shown.error) == f'hiding.checks: field "card.number": value error, {HIDDEN} is no number of a card'
    assert [each for each in SECRETS if each in repr(shown)] == []


async def test_what_an_edit_or_a_patch_is_refused_for_repeats_no_hidden_value() -> None:
    card = {"number": HIDDEN, "places": HIDDEN}
    says = r'"card.number": value error, \(hidden\) is no number of a card'
    async with of_a_new_release() as bus:
        (letter,) = await bus.dead_letters.list()

        with pytest.raises(MessageInvalid, match=says):
            await bus.dead_letters.edit(letter.id, {"key": "A2", "card": card}, reason="a test")
        with pytest.raises(StateInvalid, match=says):
            await bus.mend.patch("hiding.checks", "A1", {"note": "other"}, version=1, reason="a test")
