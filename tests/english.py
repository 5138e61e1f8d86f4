"""What people read of the project, cut into sentences: pages, docstrings, comments, texts in the code, and names."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src" / "sagabus").rglob("*.py"))
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *DOCS]

CODE = re.compile(r"``.+?``|`[^`]*`|\]\([^)]*\)")
END = re.compile(r"[.!?…][\"”')*_]*\s+(?=[\"“'(*_\[]*([A-Z0-9\x01]|--[a-z]))")
GOES_ON = re.compile(r"\*\*[^*]+\*\*|.*(\b(e\.g|i\.e|etc|vs|cf)|(^|\W)[A-Z])\.[\"”')*_]*", re.DOTALL)
MARK = re.compile(r"^\s*([-*] |\d+\. |#+ )")
STOP = re.compile(r"[.!?:…][\"”')*_]*$")
DIRECTIVE = re.compile(r"(noqa|type:|pyright:|basedpyright|pragma|fmt:|!|-{5,})")
IS_SQL = re.compile(
    r"\b(SELECT|INSERT INTO|UPDATE \{|DELETE FROM|CREATE|ALTER|DROP|PRAGMA|FROM \{|WHERE|COLLATE)\b|\b(bigint|text),"
)


class Sentence(NamedTuple):
    path: Path
    line: int
    text: str

    @property
    def file(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"


def without_code(text: str) -> str:
    """Code spans and addresses of links are names: other rules hold for them."""
    return CODE.sub(lambda found: "]" if found.group().startswith("]") else "`x`", text)


def words(text: str) -> int:
    """A code span is one word; the address of a link is none, nor is a bold lead."""
    text = re.sub(r"^\*\*[^*]+[.:]\*\* ", "", without_code(text))
    return sum(1 for word in text.split() if re.search(r"\w", word))


def sentences(text: str) -> Iterator[str]:
    """The sentences of one paragraph. A bold lead belongs to the sentence after it."""
    flat = " ".join(text.split())
    spans = [found.group() for found in CODE.finditer(flat)]
    numbers = iter(range(len(spans)))
    hidden = CODE.sub(lambda _: f"\x01{next(numbers)}\x02", flat)
    start = 0
    for end in [*(found.end() for found in END.finditer(hidden)), len(hidden)]:
        part = hidden[start:end].strip()
        if part and (end == len(hidden) or not GOES_ON.fullmatch(part)):
            yield re.sub(r"\x01(\d+)\x02", lambda found: spans[int(found.group(1))], part)
            start = end


# --- pages ----------------------------------------------------------------------------------------


def paragraphs(page: Path) -> Iterator[tuple[int, list[str]]]:
    """Paragraphs, headings, items and rows, each with the number of its first line; blocks of code are left out."""
    block, start, is_code = list[str](), 0, False
    for number, line in enumerate([*page.read_text(encoding="utf-8").splitlines(), ""], start=1):
        is_fence = line.lstrip().startswith("```")
        if block and (is_fence or not line.strip() or re.match(r"\s*([-*] |\d+\. |\||#|<!--)", line)):
            yield start, block
            block = []
        is_code ^= is_fence
        if is_code or is_fence or not line.strip() or re.match(r"\s*(<!--.*-->|\|[-| :]+\|)\s*$", line):
            continue
        start = start if block else number
        block.append(line)


def of_page(page: Path) -> Iterator[Sentence]:
    for start, lines in paragraphs(page):
        text = MARK.sub("", "\n".join(lines), count=1)
        cells = re.split(r"(?<!\\)\|", text) if text.startswith("|") else [text]
        for cell in cells:
            yield from (Sentence(page, start, each) for each in sentences(cell))


def not_a_sentence_a_line(page: Path) -> Iterator[str]:
    for start, lines in paragraphs(page):
        texts = [MARK.sub("", line, count=1).strip() for line in lines]
        for number, text in enumerate(texts):
            where = f"{page.relative_to(ROOT)}:{start + number}"
            if not text.startswith("|") and len(list(sentences(text))) > 1:
                yield f"{where}: more than one sentence: {text}"
            elif number and not STOP.search(texts[number - 1]):
                yield f"{where}: the sentence began on the line before: {text}"


# --- code -----------------------------------------------------------------------------------------


def docstrings(nodes: Sequence[ast.AST]) -> Iterator[ast.Constant]:
    """Docstrings of modules, classes and functions, and the texts below an assignment."""
    for node in nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value


def prose(doc: str) -> Iterator[tuple[int, str]]:
    """The paragraphs and items of a docstring, each with its line; what is indented further is an example."""
    lines = doc.expandtabs().splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), default=0)
    block, start = list[str](), 0
    for number, line in enumerate([*lines, ""]):
        text = line[margin:] if number else line
        if block and (not text.strip() or text.startswith("    ") or MARK.match(text)):
            yield start, MARK.sub("", " ".join(block), count=1)
            block = []
        if text.strip() and not text.startswith("    "):
            start = start if block else number
            block.append(text.strip())


def of_docstrings(source: Path, nodes: Sequence[ast.AST]) -> Iterator[Sentence]:
    for node in docstrings(nodes):
        for line, text in prose(str(node.value)):
            yield from (Sentence(source, node.lineno + line, each) for each in sentences(text))


def comments(source: Path) -> Iterator[tuple[int, list[str]]]:
    """Neighbouring whole-line comments are one text; a comment behind code stands alone."""
    block, start, last = list[str](), 0, -1
    for token in tokenize.generate_tokens(io.StringIO(source.read_text(encoding="utf-8")).readline):
        text = token.string.lstrip("#").strip()
        if token.type != tokenize.COMMENT or DIRECTIVE.match(text):
            continue
        is_whole = not token.line[: token.start[1]].strip()
        if block and not (is_whole and token.start[0] == last + 1):
            yield start, block
            block = []
        start = start if block else token.start[0]
        block.append(text.partition("# ")[0])
        last = token.start[0] if is_whole else -1
    if block:
        yield start, block


def of_comments(source: Path) -> Iterator[Sentence]:
    for start, lines in comments(source):
        yield from (Sentence(source, start, each) for each in sentences(" ".join(lines)))


def of_texts(source: Path, nodes: Sequence[ast.AST]) -> Iterator[Sentence]:
    """Every text in the code that reads like English: errors, logs, help, and what commands print."""
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    parts.update(id(node) for node in docstrings(nodes))
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "`x`" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            text = node.value
        else:
            continue
        if words(text) > 2 and not IS_SQL.search(text):
            for part in [part for part in text.split("\n\n") if not part.startswith("\b")]:  # a list of click's
                yield from (Sentence(source, node.lineno, each) for each in sentences(part))


def names(source: Path, nodes: Sequence[ast.AST]) -> Iterator[Sentence]:
    """The names of modules, and those that a module gives."""
    yield Sentence(source, 1, spaced(source.stem))
    for node in nodes:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield Sentence(source, node.lineno, spaced(node.name))
            case ast.arg():
                yield Sentence(source, node.lineno, spaced(node.arg))
            case ast.Name(ctx=ast.Store()):
                yield Sentence(source, node.lineno, spaced(node.id))
            case ast.Attribute(ctx=ast.Store()):
                yield Sentence(source, node.lineno, spaced(node.attr))
            case _:
                pass


def spaced(name: str) -> str:
    return re.sub(r"([a-z])([A-Z])", r"\1 \2", name).replace("_", " ").lower().strip()
