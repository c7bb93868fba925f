"""One preset file as a tree with the line of every key. TOML for people, JSON for machines; both must be UTF-8.

Everything that can be wrong with a file before its keys mean anything is found here: missing, a folder, unreadable,
not UTF-8, bad syntax, repeated keys, numbers that are no numbers.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as File

from think.presets.positions import Path, json_lines, toml_lines
from think.presets.problems import BAD_SETTINGS, MISSING, Problem, SettingsError

Tree = dict[str, object]


@dataclass(frozen=True)
class Document:
    """A preset file, read but not yet understood. `shown` is how messages name it."""

    shown: str
    tree: Tree
    lines: Mapping[Path, int]

    def place(self, path: Path) -> str:
        """`file:line` of a key, or of the nearest table around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.shown}:{self.lines.get(path, 1)}"


def read_document(file: File, shown: str) -> Document:
    """Read one file. Raises SettingsError; exit 66 when there is no such file."""
    text = _text(file, shown)
    try:
        return _json(text, shown) if file.suffix == ".json" else _toml(text, shown)
    except RecursionError:
        raise SettingsError([Problem("is nested too deeply to read", where=shown)]) from None


def _text(file: File, shown: str) -> str:
    if file.suffix not in (".toml", ".json"):
        raise _refused(f"{file.name!r} is neither TOML nor JSON", shown, "a name that ends in .toml or .json")
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        raise _refused("there is no such file", shown, "a file, or a name of what comes with think", MISSING) from None
    except IsADirectoryError:
        raise _refused("this is a folder, not a preset", shown, "a .toml or .json file") from None
    except OSError as error:
        raise _refused(f"cannot be read ({error.strerror})", shown, "a readable file") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        what = f"byte {raw[error.start]:#04x} is not UTF-8"
        raise _refused(what, f"{shown}:{line}", "text in UTF-8") from None


def _toml(text: str, shown: str) -> Document:
    try:
        tree = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and int() of thousands of digits
        found = re.search(r" \(at line (\d+), column (\d+)\)$", str(error))
        line = int(found.group(1)) if found else text.count("\n") + 1
        column = f", column {found.group(2)}" if found else ""
        said = re.sub(r" \(at .*\)$", "", str(error))
        what = f"not valid TOML: {said[:1].lower()}{said[1:]}{column}"
        raise _refused(what, f"{shown}:{line}", "key = value lines under [section] headings") from None
    return Document(shown, tree, toml_lines(text.replace("\r\n", "\n")))


def _json(text: str, shown: str) -> Document:
    unfit: list[str] = []
    try:
        tree = json.loads(text, parse_constant=unfit.append)
    except json.JSONDecodeError as error:
        what = f"not valid JSON: {error.msg[:1].lower()}{error.msg[1:]}, column {error.colno}"
        raise _refused(what, f"{shown}:{error.lineno}", "one JSON object") from None
    except ValueError as error:
        raise _refused(f"not valid JSON: {error}", shown, "one JSON object") from None
    if not isinstance(tree, dict):
        raise _refused("the whole file must be one JSON object", f"{shown}:1", 'an object such as {"model": {…}}')
    lines, repeated = json_lines(text)
    problems = [
        Problem(f"{path[-1]!r} is given twice, first on line {first}", f"{shown}:{line}", expected="each key once")
        for path, line, first in repeated
    ]
    problems += [
        Problem(f"{word} is not a number that settings may hold", where=shown, expected="a finite number")
        for word in unfit
    ]
    if problems:
        raise SettingsError(problems)
    return Document(shown, tree, lines)


def _refused(what: str, where: str, expected: str, exit: int = BAD_SETTINGS) -> SettingsError:
    return SettingsError([Problem(what, where=where, expected=expected)], exit=exit)
