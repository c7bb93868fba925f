"""The tree of the user's values, arranged for validation: defaults underneath, kinds filled in, "none" made None.

What can be judged without looking at values is judged here: unknown keys (with the nearest legal one, also of another
kind or another table), missing keys, and kinds that do not exist.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from think.presets.catalog import HEADER_KEYS
from think.presets.docstrings import documentation
from think.presets.fields import (
    KIND,
    Shape,
    default_of,
    describe,
    kind_of,
    leaves,
    shape_of,
    switches_off,
)
from think.presets.literals import dotted, literal
from think.presets.positions import Path
from think.presets.problems import Problem, listed, nearest
from think.presets.sources import Origin, Stack

OFF = "none"
'The word that switches an optional setting off; TOML has no null, and "off" must be sayable over a base that is on.'


@dataclass
class Arrangement:
    """The tree to validate, and what is wrong with its keys."""

    tree: dict[str, Any]
    problems: list[Problem] = field(default_factory=list)


def arrange(into: type[BaseModel], stack: Stack) -> Arrangement:
    """Arrange the winners of a stack as a tree for `into`."""
    work = _Arranging(into, stack)
    tree = work.table(into, stack.tree(), (), {})
    return Arrangement(tree, work.problems)


def place_of(stack: Stack, path: Path) -> str | None:
    """Where the user said what stands at `path`, or the nearest thing around it that has a place."""
    for length in range(len(path), 0, -1):
        leaf = stack.winners.get(path[:length])
        if leaf is not None:
            return str(_inside(leaf.inside, path) or leaf.origin)
        heading = stack.tables.get(path[:length])
        below = [value.origin for other, value in stack.winners.items() if other[:length] == path[:length]]
        if heading or below:
            return str(heading or below[-1])
    return str(stack.tables[()]) if () in stack.tables else None


def _inside(places: Mapping[Path, Origin], path: Path) -> Origin | None:
    while path:
        if path in places:
            return places[path]
        path = path[:-1]
    return None


class _Arranging:
    def __init__(self, into: type[BaseModel], stack: Stack):
        self.into, self.stack = into, stack
        self.problems: list[Problem] = []

    def table(self, section: type[BaseModel], given: Mapping[str, Any], path: Path, base: Mapping[str, Any]) -> Any:
        """One table against its class; `base` holds the values of a default instance, which lie under the user's."""
        fields = section.model_fields
        arranged = {key: value for key, value in given.items() if key not in fields}
        meant = {self.unknown(section, key, (*path, key)) for key in arranged}
        for name, info in fields.items():
            if name in given:
                arranged[name] = self.field(info, given[name], (*path, name), base.get(name))
            elif name in base:
                arranged[name] = base[name]
            elif info.is_required() and name not in meant:
                self.missing(section, info, (*path, name))
        return arranged

    def field(self, info: FieldInfo, value: Any, path: Path, base: Any) -> Any:
        if value == OFF and switches_off(info.annotation):
            return None
        shape = shape_of(info.annotation)
        if shape is None:
            return value
        if shape.many:
            if not isinstance(value, list):
                return value
            items = enumerate(value)
            return [
                self.section(shape, item, (*path, at), {}) if isinstance(item, dict) else item for at, item in items
            ]
        if not isinstance(value, dict):
            return value
        if base is None:
            default = default_of(info)
            base = default.model_dump(mode="json") if isinstance(default, BaseModel) else {}
        return self.section(shape, value, path, base)

    def section(self, shape: Shape, given: dict[str, Any], path: Path, base: Mapping[str, Any]) -> Any:
        if not shape.tagged:
            return self.table(shape.variants[None], given, path, base)
        if KIND not in given and KIND in base:
            given = {KIND: base[KIND], **given}
        section = shape.chosen(given)
        if section is None:
            self.unknown_kind(shape, given, path)
            return given
        return self.table(section, given, path, base if base.get(KIND) == given[KIND] else {})

    def unknown(self, section: type[BaseModel], key: str, path: Path) -> str | None:
        """Report an unknown key; the answer is the key that was probably meant."""
        preset = not HEADER_KEYS.keys() & self.into.model_fields.keys()  # files of another kind have their own
        legal = [*section.model_fields, *(HEADER_KEYS if len(path) == 1 and preset else ())]
        like = nearest(key, legal)
        remedy = f"did you mean {dotted((*path[:-1], like))}?" if like else self.elsewhere(key, path)
        here = dotted(path[:-1]) or ("a preset" if preset else "the file")
        if KIND in section.model_fields:
            here += f' with kind = "{kind_of(section)}"'
        self.problems.append(
            Problem(
                f"{dotted(path)} is not a setting",
                where=place_of(self.stack, path),
                expected=f"{here} has {listed(legal)}" if legal else f"{here} has no settings",
                remedy=remedy,
            )
        )
        return like

    def elsewhere(self, key: str, path: Path) -> str | None:
        """Whether the key exists under another kind of the same table, or in another table."""
        for leaf in leaves(self.into):
            if leaf.path == path and path[:-1] in leaf.kinds:
                return f'{key} belongs to kind = "{leaf.kinds[path[:-1]]}"'
        others = [leaf.dotted for leaf in leaves(self.into) if leaf.path[-1] == key]
        return f"there is {listed(dict.fromkeys(others), limit=3)}" if others else None

    def missing(self, section: type[BaseModel], info: FieldInfo, path: Path) -> None:
        shape = shape_of(info.annotation)
        if shape is not None and shape.tagged and not shape.many:
            expected = f"a table with kind = one of {', '.join(literal(kind) for kind in shape.variants)}"
        else:
            expected = describe(info.annotation, info.metadata)
        about = documentation(section, str(path[-1]))
        self.problems.append(
            Problem(
                f"{dotted(path)} is missing" + (f" ({about})" if about else ""),
                where=place_of(self.stack, path[:-1]),
                expected=expected,
                remedy=f"add it to the preset, or give --set {dotted(path)}=…",
            )
        )

    def unknown_kind(self, shape: Shape, given: Mapping[str, Any], path: Path) -> None:
        kinds = [str(kind) for kind in shape.variants]
        expected = f"one of {', '.join(literal(kind) for kind in kinds)}"
        key = (*path, KIND)
        if KIND not in given:
            self.problems.append(Problem(f"{dotted(key)} is missing", place_of(self.stack, path), expected))
            return
        like = nearest(str(given[KIND]), kinds)
        what = f"{dotted(key)} = {literal(given[KIND])} does not exist"
        remedy = f"did you mean {literal(like)}?" if like else None
        self.problems.append(Problem(what, place_of(self.stack, key), expected, remedy))
