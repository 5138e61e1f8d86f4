"""Nothing that strangers wrote reaches the terminal as it is."""

import json
import re
import sys
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagabus.cli.output import Refused, emit_json, one_line
from sagabus.cli.rendering import show_fields, show_table
from sagabus.cli.text import body_text, printable, printable_lines, readable_body, time_text

HOSTILE = "\x1b[2J\x9b31m\x07\r\n\u202eevil\u2028\x7f"


def is_obeyed(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(st.text())
def test_printable_text_has_nothing_that_a_terminal_would_obey(text: str) -> None:
    shown = printable(text)

    assert not any(map(is_obeyed, shown))
    assert all(character in shown for character in text if not is_obeyed(character))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcode, 漢字", "plain, ünïcode, 漢字"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b", "\\x9b"),
        ("\u202e", "\\u202e"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_what_is_escaped_is_readable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_traceback_keeps_its_lines() -> None:
    assert printable_lines("a\n\tb\x1b\n") == "a\n    b\\x1b\n"


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'{"a":[1,null]}', {"a": [1, None]}),
        (b"not json", "not json"),
        (b'{"a":', '{"a":'),
        (b"\xff\x00", "\\xff\x00"),
        (b"[" * 100_000, "[" * 100_000),
        (b"NaN", "NaN"),
    ],
    ids=["json", "text", "cut", "bytes", "deep", "nan"],
)
def test_any_body_can_be_read(body: bytes, read: object) -> None:
    assert readable_body(body) == read


def test_a_body_shown_as_text_is_the_stored_one() -> None:
    assert body_text(b'{"a": 1}') == '{"a": 1}'


def test_times_are_shown_in_utc() -> None:
    assert time_text(0) == "1970-01-01T00:00:00.000Z"
    assert time_text(datetime(2026, 1, 2, 3, 4, 5, 600_000, UTC)) == "2026-01-02T03:04:05.600Z"
    assert time_text(None) is None
    assert time_text(2**62) == "beyond the year 9999"


def test_tables_and_fields_in_a_pipe_are_neither_wrapped_nor_cut(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("id", "reason"), [(1, "x" * 5_000 + HOSTILE), (2, None)])
    show_fields({"a": True, "bc": {"k": HOSTILE}, "d": {}})

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ID  REASON"
    assert lines[1] == f"1   {'x' * 5_000}{printable(HOSTILE)}"
    assert lines[2:] == ["2   -", "a:  yes", f"bc: k = {printable(printable(HOSTILE))}", "d:  -"]


def test_json_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json({"a": HOSTILE, 1: None})

    shown = capsys.readouterr().out
    assert shown.isascii()
    assert shown.rstrip("\n").isprintable()
    assert json.loads(shown) == {"a": HOSTILE, "1": None}


def test_a_refusal_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Refused(f"two\nlines {HOSTILE}").show()

    assert capsys.readouterr().err.count("\n") == 1
    assert one_line("a\n\n b ") == "a; b"


@pytest.mark.parametrize("columns", range(20, 201, 15))
def test_no_id_is_broken_however_narrow_the_terminal_is(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    ids = [f"{number}-49bbde5c34da150494f2b9d32a3d2714" for number in range(3)]

    show_table(
        ("id", "key", "reason", "message id"), [(each, "漢字" * 9, "it failed " * 20, f"m{each}") for each in ids]
    )

    shown = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out)
    assert all(each in shown and f"m{each}" in shown for each in ids)
    assert shown.count("漢字" * 9) == 3
    assert shown.count("failed") == 60


def test_a_table_with_room_for_its_ids_stays_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    show_table(("id", "reason"), [("49bbde5c34da150494f2b9d32a3d2714", "it failed " * 20)])
    wide = capsys.readouterr().out
    show_table(("id", "key"), [])
    empty = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "5")
    show_table(("id", "key"), [])
    narrow = capsys.readouterr().out

    assert "reason:" not in wide
    assert max(map(len, re.sub("\x1b\\[[0-9;]*m", "", wide).splitlines())) <= 60
    assert "key" in empty
    assert narrow == "ID  KEY\n"
