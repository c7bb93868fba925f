"""The line of every key in a TOML or JSON text that its own parser has already accepted.

`tomllib` and `json` say what a text means, not where; these two scanners say where. They rely on the text being valid
and decide nothing about meaning, except that JSON's repeated keys are reported, which `json` swallows.

A path is a tuple of keys and list indices: `("stage1", "curriculum", 0, "length")`.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t\r\n]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_TOML_STRINGS = re.compile(
    r'"""(?:\\[\s\S]|[^\\])*?"""(?:"{0,2})'  # up to two quotes may touch the closing three
    r"|'''[\s\S]*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
)
_TOML_SCALAR = re.compile(r"\d{4}-\d\d-\d\d \d\d:[^,\]}\s#]*|[^,\]}\s#]+")
_JSON_SCALAR = re.compile(r"[^,\]}\s]+")


class _Lines:
    def __init__(self, text: str):
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def at(self, offset: int) -> int:
        return bisect_right(self._starts, offset)


def toml_lines(text: str) -> dict[Path, int]:
    """Line (from 1) of every table header, key and list element of a valid TOML text."""
    return _Toml(text).lines


class _Toml:
    def __init__(self, text: str):
        self.text, self.at, self.number = text, 0, _Lines(text)
        self.lines: dict[Path, int] = {}
        self.lengths: dict[Path, int] = {}  # of arrays of tables met so far
        self.statements()

    def statements(self) -> None:
        table: Path = ()
        while self.skip():
            line = self.number.at(self.at)
            if self.text.startswith("[", self.at):
                repeated = self.text.startswith("[[", self.at)
                self.at += 2 if repeated else 1
                table = self.header(self.keys(), repeated, line)
                self.at = self.text.index("]", self.at) + (2 if repeated else 1)
            else:
                self.pair(table)

    def skip(self) -> bool:
        """Step over blanks and comments; False at the end of the text."""
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.at < len(self.text)

    def header(self, keys: list[str], repeated: bool, line: int) -> Path:
        path: Path = ()
        for depth, key in enumerate(keys, start=1):
            path = (*path, key)
            if repeated and depth == len(keys):
                self.lengths[path] = self.lengths.get(path, 0) + 1
            self.lines.setdefault(path, line)
            if path in self.lengths:
                path = (*path, self.lengths[path] - 1)
                self.lines.setdefault(path, line)
        return path

    def keys(self) -> list[str]:
        """A dotted key; leaves the scan behind its last part."""
        parts = []
        while True:
            self.skip()
            quoted = _TOML_STRINGS.match(self.text, self.at)
            match = quoted or _BARE.match(self.text, self.at)
            assert match is not None, "the text was validated before"
            parts.append(tomllib.loads(f"key = {match.group()}")["key"] if quoted else match.group())
            self.at = match.end()
            self.skip()
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def pair(self, table: Path) -> None:
        line = self.number.at(self.at)
        path = table
        for key in self.keys():
            path = (*path, key)
            self.lines.setdefault(path, line)
        self.at = self.text.index("=", self.at) + 1
        self.skip()
        self.value(path)

    def value(self, path: Path) -> None:
        opening = self.text[self.at]
        if opening == "[":
            self.at += 1
            for index in self.members("]"):
                self.lines[(*path, index)] = self.number.at(self.at)
                self.value((*path, index))
        elif opening == "{":
            self.at += 1
            for _ in self.members("}"):
                self.pair(path)
        else:
            match = _TOML_STRINGS.match(self.text, self.at) or _TOML_SCALAR.match(self.text, self.at)
            assert match is not None, "the text was validated before"
            self.at = match.end()

    def members(self, closing: str) -> Iterator[int]:
        index = 0
        while self.skip() and self.text[self.at] != closing:
            yield index
            index += 1
            self.skip()
            if self.text[self.at] == ",":
                self.at += 1
        self.at += 1


def json_lines(text: str) -> tuple[dict[Path, int], list[tuple[Path, int, int]]]:
    """Line (from 1) of every key and element of a valid JSON text; and the repeated keys as (path, line, first)."""
    scan = _Json(text)
    return scan.lines, scan.repeated


class _Json:
    def __init__(self, text: str):
        self.text, self.at, self.number = text, 0, _Lines(text)
        self.lines: dict[Path, int] = {}
        self.repeated: list[tuple[Path, int, int]] = []
        self.skip()
        self.value(())

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def value(self, path: Path) -> None:
        opening = self.text[self.at]
        if opening == "{":
            self.at += 1
            seen: dict[str, int] = {}
            for _ in self.members("}"):
                line = self.number.at(self.at)
                key, self.at = scanstring(self.text, self.at + 1)
                if key in seen:
                    self.repeated.append(((*path, key), line, seen[key]))
                seen.setdefault(key, line)
                self.lines[(*path, key)] = line
                self.skip()
                self.at += 1  # the colon
                self.skip()
                self.value((*path, key))
        elif opening == "[":
            self.at += 1
            for index in self.members("]"):
                self.lines[(*path, index)] = self.number.at(self.at)
                self.value((*path, index))
        elif opening == '"':
            _, self.at = scanstring(self.text, self.at + 1)
        else:
            match = _JSON_SCALAR.match(self.text, self.at)
            assert match is not None, "the text was validated before"
            self.at = match.end()

    def members(self, closing: str) -> Iterator[int]:
        index = 0
        self.skip()
        while self.text[self.at] != closing:
            yield index
            index += 1
            self.skip()
            if self.text[self.at] == ",":
                self.at += 1
                self.skip()
        self.at += 1
