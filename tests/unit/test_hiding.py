"""What databases and drivers quote of a row, and how it is left out. The first of each pair is what they really say."""

import pytest

from sagabus.text import discreet

SAID = [
    ('duplicate key value violates unique constraint "u"\nDETAIL:  Key (mail)=(a@b) already exists.', "DETAIL: …"),
    ('null value in column "a"\nDETAIL:  Failing row contains (1, a@b,\nHINT: a@b).', "DETAIL: …"),
    ("doppelter Schlüsselwert\nDETAIL:  Schlüssel »(mail)=(a@b)« existiert bereits.\nTIP: a@b", "DETAIL: …"),
    ("(1062, \"Duplicate entry 'a@b' for key 'u'\")", "Duplicate entry '…' for key 'u'"),
    ("(1062, 'Duplicate entry \\'a@b\\' for key \\'a@b\\' for key \\'u\\'')", "for key \\'u\\'"),
    ("(1366, \"Incorrect integer value: 'a@b' for column `t`.`a` at row 1\")", "value: … for column `t`.`a` at row 1"),
    ("(1292, \"Truncated incorrect DOUBLE value: 'a@b'\")", "Truncated incorrect DOUBLE value: …"),
    ("(1064, \"check the manual for the right syntax to use near 'a@b'' at line 1\")", "near '…' at line 1"),
    (
        "invalid input for query argument $1: 'a@b (' (an integer is required)",
        "$1: … (an integer",
    ),
    ('invalid input syntax for type integer: "a@b"', 'type integer: "…"'),
    ('invalid input value for enum mood: "a@b"', 'enum mood: "…"'),
    ('date/time field value out of range: "a@b"', 'out of range: "…"'),
    ("(sqlite3.E) failed\n[SQL: INSERT]\n[parameters: ('a@b', ']a@b')]\n(see e/20)", "[parameters: …]\n(see e/20)"),
    ("cut off: Duplicate entry 'a@b", "Duplicate entry '…"),
    (
        "cannot reach mysql://root:a@b/test: Duplicate entry 'a@b' for key",
        "mysql://…@b/test: Duplicate entry '…'",
    ),
]


@pytest.mark.parametrize(("said", "kept"), SAID)
def test_no_value_that_a_database_quotes_is_kept(said: str, kept: str) -> None:
    found = discreet(said)

    assert kept in found
    assert "a@b" not in found
    assert discreet(found) == found


@pytest.mark.parametrize(
    "said",
    ["UNIQUE constraint failed: placed.id", "CHECK constraint failed: amount >= 0", "(1048, \"Column 'a' is null\")",
     "invalid input syntax for type json", "Duplicate entry", "a value out of range"],
)  # fmt: skip
def test_a_text_without_a_value_stays_as_it_is(said: str) -> None:
    assert discreet(said) == said
