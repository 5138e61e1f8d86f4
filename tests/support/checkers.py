"""mypy and pyright, both strict, over Python that is no part of the library: what they report, file by file."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
_MYPY_LINE = re.compile(r"^(?P<file>.+?):(?P<line>\d+): error: (?P<text>.*?)(?:  \[(?P<rule>[a-z-]+)\])?$")


class Complaint(NamedTuple):
    file: str
    line: int
    checker: str
    rule: str
    text: str


def complaints_of_mypy(*files: Path, also: tuple[str, ...] = ()) -> list[Complaint]:
    """What mypy reports with the options of this project, `also` added."""
    options = ["--no-pretty", "--no-error-summary", "--show-error-codes", "--hide-error-context", *also]
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *options, *map(str, files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    found = map(_MYPY_LINE.match, done.stdout.splitlines())
    return [Complaint(Path(m["file"]).name, int(m["line"]), "mypy", m["rule"] or "", m["text"]) for m in found if m]


def complaints_of_pyright(folder: Path, *files: Path, options: Mapping[str, object] | None = None) -> list[Complaint]:
    """What pyright's strict mode reports; its configuration is written to `folder`."""
    config = folder / "pyrightconfig.json"
    project: dict[str, object] = {
        "include": [str(file) for file in files],
        "extraPaths": [str(ROOT / "src")],
        "pythonVersion": "3.11",
        "typeCheckingMode": "strict",
        "reportMissingModuleSource": "none",
    }
    config.write_text(json.dumps(project | dict(options or {})), encoding="utf-8")
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(config)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(files), done.stdout
    return [
        Complaint(
            Path(each["file"]).name,
            each["range"]["start"]["line"] + 1,
            "pyright",
            each.get("rule", ""),
            each["message"],
        )
        for each in report["generalDiagnostics"]
        if each["severity"] == "error"
    ]
