"""Loads the bus at `module:attribute`, resolved in the working directory.

The user can correct every error here, so each one is one line that says where, and never a traceback of the library.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

from sagabus.cli.output import Refused
from sagabus.cli.text import printable
from sagabus.errors import ConfigurationError

if TYPE_CHECKING:
    from sagabus.bus import Bus


def load_bus(target: str) -> Bus:
    """The bus at `module:attribute`, or the one that a function there returns.

    Refused with one line for every mistake; a ConfigurationError of a bad definition passes.
    """
    module_name, attribute = _split(target)
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    module = _import(module_name, target)
    return _as_bus(_attribute(module, attribute, target), target)


def _split(target: str) -> tuple[str, str]:
    module_name, colon, attribute = target.partition(":")
    if module_name.endswith(".py") or "/" in module_name or "\\" in module_name:
        dotted = module_name.removesuffix(".py").replace("\\", "/").strip("./").replace("/", ".")
        _refuse(target, f"this is a path; name the module, such as {dotted}:{attribute or 'bus'}")
    if not colon or not module_name or not attribute:
        _refuse(target, "write module:attribute, such as shop:bus")
    if not all(part.isidentifier() for part in [*module_name.split("."), *attribute.split(".")]):
        _refuse(target, "Python cannot import this: write module:attribute, such as shop:bus")
    return module_name, attribute


def _import(name: str, target: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ConfigurationError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            _refuse(target, f"no module named {error.name!r} in {Path.cwd()} or on the Python path")
        _refuse(target, f"importing {name} failed: {_described(error)}")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - every error of the user's code is reported
        _refuse(target, f"importing {name} failed: {_described(error)}")


def _attribute(module: ModuleType, path: str, target: str) -> object:
    found: object = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            known = ", ".join(_buses_in(module))
            hint = f"; it has the bus {known}" if known else ""
            _refuse(target, f"{module.__name__} has no attribute {path!r}{hint}")
    return found


def _as_bus(found: object, target: str) -> Bus:
    from sagabus.bus import Bus

    if isinstance(found, type) or not callable(found) or isinstance(found, Bus):
        return found if isinstance(found, Bus) else _refuse(target, f"this is {_kind(found)}, not a Bus")
    try:
        made: object = found()
    except ConfigurationError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - every error of the user's code is reported
        _refuse(target, f"calling it failed: {_described(error)}")
    if inspect.iscoroutine(made):
        made.close()
        _refuse(target, "this is an async function: name a plain function that returns the bus")
    return made if isinstance(made, Bus) else _refuse(target, f"calling it gave {_kind(made)}, not a Bus")


def _buses_in(module: ModuleType) -> list[str]:
    from sagabus.bus import Bus

    return [name for name, value in vars(module).items() if isinstance(value, Bus)]


def _kind(value: object) -> str:
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _described(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
    if isinstance(error, SyntaxError) or not frames:
        return text
    own = [frame for frame in frames if frame.filename.startswith(str(Path.cwd()))]
    frame = (own or frames)[-1]
    return f"{text} ({os.path.relpath(frame.filename)}, line {frame.lineno})"


def _is_machinery(filename: str) -> bool:
    return filename.startswith("<") or filename in {__file__, importlib.__file__}


def _refuse(target: str, why: str) -> NoReturn:
    raise Refused(f"{printable(target)}: {printable(why)}")
