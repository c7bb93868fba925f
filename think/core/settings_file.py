"""The settings of a run as they stand in its settings.toml: every leaf with its value and its origin.

For what shows runs without opening their presets. Standard library only.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from think.core.text import one_line

LARGEST_FILE = 4 * 1024 * 1024
_HEADING = re.compile(r"\[([^\[\]]+)\]\s*$")
_LEAF = re.compile(r"([A-Za-z0-9_-]+) = .*?(?:  # (.*))?$")
_CLOSED = re.compile(r"\]  # (.*)$")


@dataclass(frozen=True, slots=True)
class Setting:
    """One resolved setting: dotted key, value as it stands in settings.toml, and where the value comes from."""

    key: str
    value: str
    origin: str


class Unreadable(ValueError):
    """The file is there and cannot be used."""


def read(path: Path) -> tuple[Setting, ...]:
    """Every setting in the order of the file; empty without one. Raises Unreadable."""
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read: {error.strerror}") from error
    try:
        if len(content) > LARGEST_FILE:
            raise ValueError("it is larger than any settings file")
        text = content.decode("utf-8")
        held = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise Unreadable(f"{path.name} is no settings file: {one_line(str(error), 200)}") from error
    origins = dict(_origins(text))
    # Keys beside the sections describe the preset; they are no settings.
    sections = {name: section for name, section in held.items() if isinstance(section, dict)}
    return tuple(
        Setting(one_line(key), one_line(_written(value)), one_line(origins.get(key, "")))
        for key, value in _leaves(sections)
    )


def _origins(text: str) -> Iterator[tuple[str, str]]:
    """Key and the remark behind its value, line by line."""
    section, pending = "", ""
    for line in text.split("\n"):
        if found := _HEADING.match(line):
            section = found[1] + "."
        elif (found := _LEAF.match(line)) and not line.startswith(" "):
            pending = section + found[1]
            if found[2] is not None:
                yield pending, found[2]
        elif found := _CLOSED.match(line):
            yield pending, found[1]


def _leaves(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_written(inner)}" for key, inner in value.items()) + "}"
    return str(value)
