"""Resolved settings for people: as TOML with origins, one key explained, two presets compared.

What `as_toml` writes is a preset: reading it gives an equal object. Every leaf is written, those that are off as
"none", so that a later change of a default cannot change an old run; but for leaves that came later and have their
default, which never changes.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from think.presets.decode import Resolved
from think.presets.digest import plain
from think.presets.fields import KIND, Leaf, describe, leaves
from think.presets.literals import bare, dotted, literal
from think.presets.positions import Path
from think.presets.problems import Problem, SettingsError, listed, nearest
from think.presets.sources import Dropped, Origin, Value

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def as_toml(resolved: Resolved[Any]) -> str:
    """The resolved tree as a preset, each value with its origin, each section with its digest."""
    lines = ["# Resolved settings; behind each value, where it comes from.", ""]
    if resolved.header is not None:
        header = {field.name: getattr(resolved.header, field.name) for field in fields(resolved.header)}
        kept = {key: header[key] for key in ("summary", "parameters", "twin") if header[key] is not None}
        lines += [f"{key} = {literal(value)}" for key, value in kept.items()] + [""] * bool(kept)
    lines += _table(resolved.settings, resolved.settings.model_dump(mode="json"), (), resolved)
    return "\n".join(lines).rstrip("\n") + "\n"


def _table(section: BaseModel, dump: Mapping[str, Any], path: Path, resolved: Resolved[Any]) -> Iterator[str]:
    """Leaves first: in TOML everything below a heading belongs to it."""
    inner = {
        name: value for name in type(section).model_fields if isinstance(value := getattr(section, name), BaseModel)
    }
    outer = [name for name in type(section).model_fields if name in dump and name not in inner]
    if path:
        yield f"[{dotted(path)}]"
    if len(path) == 1:
        yield f"# digest {resolved.digests[str(path[0])]}"
    for name in outer:
        origins = resolved.origins[dotted((*path, name))]
        yield f"{bare(name)} = {_wrapped(dump[name])}  # {_CONTROL.sub('?', ', '.join(map(str, origins[:1])))}"
    if path or outer:
        yield ""
    for name, value in inner.items():
        yield from _table(value, dump[name], (*path, name), resolved)


def _wrapped(value: Any) -> str:
    """A list of tables has one table a line."""
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return "[\n" + "".join(f"    {literal(item)},\n" for item in value) + "]"
    return literal(value)


class _Absent:
    """Stands for the value of a key that a preset does not have, because it chose another kind."""

    def __repr__(self) -> str:
        return "(no such key)"


ABSENT = _Absent()


@dataclass(frozen=True)
class Difference:
    """One leaf in which two resolved trees differ; ABSENT where one does not have it."""

    key: str
    left: Any
    right: Any
    left_origin: Origin | None
    right_origin: Origin | None
    channel: str | None
    may_change_on_resume: bool


def diff(left: Resolved[Any], right: Resolved[Any]) -> list[Difference]:
    """Every leaf whose value differs, in the order of the tree; how a value was spelt does not count."""
    values = [_leaf_values(side.settings) for side in (left, right)]
    facts: dict[str, Leaf] = {}
    for side in (left, right):
        facts |= {leaf.dotted: leaf for leaf in leaves(type(side.settings))}
    found = []
    for key in dict.fromkeys([*values[0], *values[1]]):
        one, other = (side.get(key, ABSENT) for side in values)
        if one is ABSENT or other is ABSENT or plain(one) != plain(other):
            origins = [side.origins[key][0] if key in side.origins else None for side in (left, right)]
            leaf = facts.get(key)
            channel, may = (leaf.channel, leaf.may_change_on_resume) if leaf else (None, _whole_may_change(key, facts))
            found.append(Difference(key, one, other, origins[0], origins[1], channel, may))
    return found


def _whole_may_change(key: str, facts: Mapping[str, Leaf]) -> bool:
    """Whether a table that is there or not, or its kind, may change on resume: when all that it holds may."""
    table = key.removesuffix(f".{KIND}")
    held = [leaf.may_change_on_resume for name, leaf in facts.items() if name.startswith(f"{table}.")]
    return bool(held) and all(held)


def _leaf_values(section: BaseModel) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def walk(section: BaseModel, dump: Mapping[str, Any], path: Path) -> None:
        for name in type(section).model_fields:
            value, here = getattr(section, name), (*path, name)
            if isinstance(value, BaseModel):
                walk(value, dump[name], here)
            else:
                found[dotted(here)] = dump.get(name, value)

    walk(section, section.model_dump(mode="json"), ())
    return found


@dataclass(frozen=True)
class Explanation:
    """Everything there is to say about one key. `kinds` are the choices under which the key exists."""

    key: str
    documentation: str
    allowed: str
    channel: str | None
    may_change_on_resume: bool
    required: bool
    default: Any
    kinds: Mapping[str, list[str]]
    history: list[Value]
    dropped: list[Dropped]


def explain(into: type[BaseModel], key: str, resolved: Resolved[Any] | None = None) -> list[Explanation]:
    """What a key means, or each key of a table; with a resolved preset, also its value and what that shadows.

    A key that several kinds share has one explanation for each kind that declares it in its own way; where a preset
    chose a kind, only that one's. Raises SettingsError naming the nearest key.
    """
    every = list(leaves(into))
    found = [leaf for leaf in every if leaf.dotted == key] or [
        leaf for leaf in every if leaf.dotted.startswith(f"{key}.")
    ]
    if not found:
        raise SettingsError([_unknown(key, every)])
    if resolved is not None:
        chosen = [leaf for leaf in found if _exists(leaf, resolved.settings)]
        found = chosen or found
    same: dict[str, list[Leaf]] = {}
    for leaf in found:
        same.setdefault(repr((leaf.dotted, leaf.info, leaf.default)), []).append(leaf)
    return [_explain(alike, resolved) for alike in same.values()]


def _explain(alike: list[Leaf], resolved: Resolved[Any] | None) -> Explanation:
    """One explanation for a leaf that several kinds declare alike."""
    leaf = alike[0]
    kinds: dict[str, list[str]] = {}
    for path, kind in (item for other in alike for item in other.kinds.items()):
        kinds.setdefault(dotted(path), [])
        kinds[dotted(path)] += [kind] if kind not in kinds[dotted(path)] else []
    exists = resolved is not None and _exists(leaf, resolved.settings)
    return Explanation(
        key=leaf.dotted,
        documentation=leaf.documentation,
        allowed=describe(leaf.info.annotation, leaf.info.metadata),
        channel=leaf.channel,
        may_change_on_resume=leaf.may_change_on_resume,
        required=leaf.default is PydanticUndefined,
        default=None if leaf.default is PydanticUndefined else _jsonable(leaf, leaf.default),
        kinds=kinds,
        history=resolved.history[leaf.dotted] if resolved is not None and exists else [],
        dropped=[gone for gone in resolved.dropped if gone.path == leaf.path] if resolved is not None else [],
    )


def _jsonable(leaf: Leaf, value: Any) -> Any:
    """A default as a preset would write it."""
    name = str(leaf.path[-1])
    return leaf.owner.__pydantic_serializer__.to_python(
        leaf.owner.model_construct(**{name: value}), mode="json", include={name}, warnings=False
    )[name]


def _exists(leaf: Leaf, settings: BaseModel) -> bool:
    """Whether the kinds that a tree chose have this leaf."""
    node: Any = settings
    for depth, part in enumerate(leaf.path):
        if not isinstance(node, BaseModel) or str(part) not in type(node).model_fields:
            return False
        if leaf.path[:depth] in leaf.kinds and getattr(node, "kind", None) != leaf.kinds[leaf.path[:depth]]:
            return False
        node = getattr(node, str(part))
    return True


def _unknown(key: str, every: list[Leaf]) -> Problem:
    keys = {leaf.dotted for leaf in every}
    tables = {dotted(leaf.path[:length]) for leaf in every for length in range(1, len(leaf.path))}
    like = nearest(key, keys | tables)
    same_name = sorted(other for other in keys if other.rpartition(".")[2] == key.rpartition(".")[2])
    remedy = f"did you mean {listed(same_name, 4)}?" if same_name else f"did you mean {like}?" if like else None
    roots = dict.fromkeys(str(leaf.path[0]) for leaf in every)
    return Problem(f"there is no setting {key!r}", expected=f"a key of {', '.join(roots)}", remedy=remedy)
