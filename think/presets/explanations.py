"""pydantic's errors in a user's words, each at the place where its value was written."""

import re
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from think.presets.arrange import Arrangement, place_of
from think.presets.fields import describe, leaves, shape_of
from think.presets.literals import dotted, literal
from think.presets.positions import Path
from think.presets.problems import Problem, nearest
from think.presets.sources import Stack

_ALREADY_SAID = {"extra_forbidden", "missing", "union_tag_invalid", "union_tag_not_found"}
_RANGE = {
    "greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of", "finite_number",
    "too_long", "too_short", "string_too_long", "string_too_short", "string_pattern_mismatch",
}  # fmt: skip
_WORDS = {"literal_error", "enum"}
_SHOWN = 80
"Characters of a wrong value that a message quotes."


def explain_errors(
    error: ValidationError, into: type[BaseModel], arrangement: Arrangement, stack: Stack
) -> list[Problem]:
    """One problem for each wrong leaf (whichever members of a union it failed) and each broken rule between leaves."""
    groups: dict[Path, list[tuple[Any, FieldInfo | None]]] = {}
    for found in error.errors(include_url=False, include_context=True):
        path, info = _locate(into, found["loc"], arrangement.tree)
        groups.setdefault(path, []).append((found, info))
    problems = []
    for path, members in groups.items():
        if all(found["type"] in _ALREADY_SAID for found, _ in members):
            continue
        rule = next((found for found, _ in members if found["type"] in ("value_error", "assertion_error")), None)
        info = members[0][1]
        if rule is not None:
            problems.append(_rule(path, rule, into, stack))
        elif info is not None:
            problems.append(_leaf(path, {found["type"] for found, _ in members}, info, arrangement.tree, stack))
        else:  # no kind of mistake that we know: better in pydantic's words than not at all
            problems.append(Problem(f"{dotted(path)}: {members[0][0]['msg']}", place_of(stack, path)))
    if not problems and not arrangement.problems:
        problems = [Problem(f"{'.'.join(map(str, found['loc']))}: {found['msg']}") for found in error.errors()]
    return problems


def _locate(into: type[BaseModel], location: tuple[int | str, ...], tree: Mapping[str, Any]) -> tuple[Path, Any]:
    """Path and field of an error. pydantic's locations also hold kinds and names of union members; those go."""
    path: Path = ()
    section: type[BaseModel] | None = into
    rest = list(location)
    info: FieldInfo | None = None
    value: Any = tree
    while rest and section is not None:
        name = rest.pop(0)
        path = (*path, name)
        if name not in section.model_fields:
            return path, None
        info = section.model_fields[str(name)]
        value = value.get(name) if isinstance(value, Mapping) else None
        shape, section = shape_of(info.annotation), None
        if shape is None:
            break
        if shape.many and rest and isinstance(rest[0], int):
            at = rest.pop(0)
            path = (*path, at)
            value = value[at] if isinstance(value, list) and isinstance(at, int) and at < len(value) else None
        if shape.tagged:
            section = shape.variants.get(str(rest.pop(0))) if rest else None
        elif rest:
            section = shape.variants[None]
            if rest[0] not in section.model_fields and len(rest) > 1:
                rest.pop(0)  # the name of a union member
        elif isinstance(value, Mapping):
            return path, None  # the error is about the whole table
    for part in rest:
        inside = part in value if isinstance(value, Mapping) else isinstance(value, list) and part in range(len(value))
        if inside:
            path, value = (*path, part), value[part]
    return path, info


def _leaf(path: Path, types: set[str], info: FieldInfo, tree: Mapping[str, Any], stack: Stack) -> Problem:
    value = _at(tree, path)
    came = literal(value)
    came = came if len(came) <= _SHOWN else f"{came[:_SHOWN]}…"
    if types & _RANGE:
        verdict = "is out of range"
    elif types <= _WORDS:
        verdict = "is not one of its words" if isinstance(value, str) else f"is {_type_name(value)}"
    else:
        verdict = f"is {_type_name(value)}"
    words = [str(word) for word in _words(info.annotation)]
    like = nearest(value, words) if isinstance(value, str) and words else None
    return Problem(
        f"{dotted(path)} = {came} {verdict}",
        where=place_of(stack, path),
        expected=describe(info.annotation, info.metadata),
        remedy=f"did you mean {literal(like)}?" if like else None,
    )


def _rule(path: Path, found: Mapping[str, Any], into: type[BaseModel], stack: Stack) -> Problem:
    """A rule of our own that the values break; the places of all keys that its message names are added."""
    message = str(found["ctx"]["error"]) if "error" in found.get("ctx", {}) else str(found["msg"])
    places = {dotted(key): _written(stack, key) for key in _named(path, message, into)}
    where = next((place for place in places.values() if place != "default"), place_of(stack, path))
    remedy = "these stand at " + ", ".join(f"{key}: {place}" for key, place in places.items()) if places else None
    return Problem(f"{dotted(path)}: {message}" if path else message, where, remedy=remedy)


def _named(path: Path, message: str, into: type[BaseModel]) -> list[Path]:
    """Keys that a message names, in its order: relative to the table of the rule, or from the root."""
    legal = {leaf.path for leaf in leaves(into)}
    keys = [tuple(word.split(".")) for word in re.findall(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", message)]
    found = [(*path, *key) if (*path, *key) in legal else key for key in keys]
    if path in legal:
        found = [path, *found]
    return list(dict.fromkeys(key for key in found if key in legal))


def _written(stack: Stack, path: Path) -> str:
    return str(stack.winners[path].origin) if path in stack.winners else "default"


def _at(tree: Any, path: Path) -> Any:
    for part in path:
        tree = tree[part]
    return tree


def _type_name(value: Any) -> str:
    names = {
        bool: "true or false", int: "a whole number", float: "a number", str: "text",
        list: "a list", dict: "a table", type(None): "nothing",
    }  # fmt: skip
    return "a date" if isinstance(value, (date, datetime, time)) else names.get(type(value), type(value).__name__)


def _words(annotation: Any) -> list[Any]:
    """The literal words that an annotation allows."""
    found: list[Any] = []
    for argument in get_args(annotation):
        found += [argument] if isinstance(argument, str) else _words(argument)
    return found
