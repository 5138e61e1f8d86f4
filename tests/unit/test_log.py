"""Nothing that a stranger wrote reaches a log or a terminal raw: no line break, no control character."""

import ast
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sagabus
from sagabus.log import SafeText, make_safe, traceback_text
from sagabus.text import printable

FORGED = "x\n2026-01-01 ERROR forged\r\x1b[31m\0\x85\u2028\u202e\ud800"
SOURCES = Path(sagabus.__file__).parent


class Odd(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.fixture
def lines() -> Iterator[Callable[[], list[str]]]:
    """What a handler and a formatter of the application's write, which know nothing of all this."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log = logging.getLogger("sagabus")
    log.addHandler(handler)
    yield lambda: stream.getvalue().splitlines()
    log.removeHandler(handler)


@pytest.mark.parametrize(
    "argument", [FORGED, ValueError(FORGED), [FORGED], Odd(FORGED)], ids=lambda some: type(some).__name__
)
@pytest.mark.parametrize("template", ["%s is dead", "%r is dead", "%(x)s is dead"])
def test_an_argument_writes_one_line_without_control_characters(
    lines: Callable[[], list[str]], argument: object, template: str
) -> None:
    logging.getLogger("sagabus").error(template, {"x": argument} if "x" in template else argument)

    (line,) = lines()
    assert line.startswith("ERROR ")
    assert line.isprintable()


def test_a_message_without_arguments_is_made_safe_too(lines: Callable[[], list[str]]) -> None:
    logging.getLogger("sagabus").error(FORGED)

    assert [line.isprintable() for line in lines()] == [True]


def test_a_traceback_holds_no_line_that_an_error_text_made(lines: Callable[[], list[str]]) -> None:
    error = ExceptionGroup(FORGED, [ValueError(FORGED), KeyError(FORGED)])
    error.add_note(FORGED)
    try:
        try:
            raise ValueError(FORGED)
        except ValueError as cause:
            raise error from cause
    except ExceptionGroup:
        logging.getLogger("sagabus").exception("broke off")

    assert lines()[0] == "ERROR broke off"
    assert any("ValueError: x\\n2026" in line for line in lines())
    assert not [line for line in lines() if line.strip(" |").startswith("2026") or not line.isprintable()]


def test_records_keep_their_template_and_numbers_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("sagabus").error("%d of %s in %.2f s", 3, "a\nb", 0.5)

    (record,) = caplog.records
    assert (record.msg, record.args) == ("%d of %s in %.2f s", (3, "a\\nb", 0.5))
    assert record.getMessage() == "3 of a\\nb in 0.50 s"


@given(st.text())
def test_a_traceback_has_one_line_for_a_text_whatever_it_is(text: str) -> None:
    first, second = traceback_text(ValueError(text)).split("\n")

    assert first == "Traceback (most recent call last):"
    assert second == f"ValueError: {printable(text)}"
    assert printable(second) == second


def test_the_logger_is_made_safe_once_and_no_other_is_used_but_that_of_messages() -> None:
    make_safe()
    names: set[str] = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "getLogger" and "cli" not in path.parts:
                names |= {ast.unparse(argument) for argument in node.args}

    assert [type(each) for each in logging.getLogger("sagabus").filters].count(SafeText) == 1
    assert names <= {"'sagabus'", "'sagabus.messages'", "NAME"}  # the second one makes its own fields and lines safe
