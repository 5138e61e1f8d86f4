"""Plain English in everything that people read: no refused word, at most 25 words a sentence, one sentence a line."""

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from tests import english
from tests.english import PAGES, ROOT, SOURCES, Sentence

MOST_WORDS = 25
REFUSED = re.compile(
    r"\b(whoever|somebody|nobody|anybody|told|anew|in hand|nought|beside|living|takes? itself for|has to be meant"
    r"|the answer is no|leads on|(gone|goes|went) back in time|born again|begun again|longer than nothing)\b",
    re.IGNORECASE,
)

TERMS = {"subscription", "channel", "lane", "lease", "fence", "in flight", "suspect", "stash", "parked", "horizon"}
TERMS |= {"tombstone", "epoch", "dead letter", "envelope", "flush", "inbox", "outcome", "retention", "worker"}


@cache
def nodes(source: Path) -> tuple[ast.AST, ...]:
    """Walked once: that takes longer than to parse."""
    return tuple(ast.walk(ast.parse(source.read_text(encoding="utf-8"))))


def on_pages() -> Iterator[Sentence]:
    for page in PAGES:
        yield from english.of_page(page)


def in_docstrings() -> Iterator[Sentence]:
    for source in SOURCES:
        yield from english.of_docstrings(source, nodes(source))


def in_comments() -> Iterator[Sentence]:
    for source in SOURCES:
        yield from english.of_comments(source)


def in_texts() -> Iterator[Sentence]:
    for source in SOURCES:
        yield from english.of_texts(source, nodes(source))


def in_names() -> Iterator[Sentence]:
    for source in SOURCES:
        yield from english.names(source, nodes(source))


def breach(sentence: Sentence) -> str | None:
    if found := REFUSED.search(english.without_code(sentence.text)):
        return f"{sentence.where}: the word {found.group()!r}: {sentence.text}"
    if (count := english.words(sentence.text)) > MOST_WORDS:
        return f"{sentence.where}: {count} words: {sentence.text}"
    return None


def breaches(sentences: Iterator[Sentence]) -> str:
    found = [text for each in sentences if (text := breach(each)) is not None]
    return "\n".join(found)


@pytest.mark.parametrize("sentences", [on_pages, in_docstrings, in_comments, in_texts, in_names])
def test_sentences_are_short_and_their_words_are_plain(sentences: Callable[[], Iterator[Sentence]]) -> None:
    assert breaches(sentences()) == ""


def test_each_line_of_a_page_is_one_sentence() -> None:
    assert "\n".join(text for page in PAGES for text in english.not_a_sentence_a_line(page)) == ""


def test_the_glossary_defines_each_term_once() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^\| \*\*(.+?)\*\* \|", page, flags=re.MULTILINE)

    assert sorted(terms) == sorted(set(terms), key=str.lower)
    assert set(terms) >= TERMS


@pytest.mark.parametrize(
    ("text", "count"),
    [("One two three.", 3), ("`a b c` is one.", 3), ("See [the page](a%20b.md#c-d) now.", 4), ("lanes — shares", 2)],
)
def test_words_are_counted_as_a_reader_counts(text: str, count: int) -> None:
    assert english.words(text) == count


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("One. Two? Three!", ["One.", "Two?", "Three!"]),
        ("Some 0.1 s, e.g. so. `b. C` too.", ["Some 0.1 s, e.g. so.", "`b. C` too."]),
        ("**A lead.** One. Two.", ["**A lead.** One.", "Two."]),
        ("See [a](b.md). (So.) Then.", ["See [a](b.md).", "(So.)", "Then."]),
    ],
)
def test_sentences_are_cut_where_a_reader_cuts(text: str, cut: list[str]) -> None:
    assert list(english.sentences(text)) == cut
