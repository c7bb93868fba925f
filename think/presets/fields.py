"""What a settings class allows: which keys a table may have, which kinds a choice offers, and each leaf in words.

A *section* is a field that holds another settings class, a choice among several (told apart by `kind`), or a list of
those. Every other field is a *leaf*.
"""

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path as File
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from think.presets.docstrings import documentation
from think.presets.literals import dotted, literal
from think.presets.positions import Path

KIND = "kind"


@dataclass(frozen=True)
class Shape:
    """What a section holds. `variants` has the single key None unless the section is a choice of kinds."""

    variants: Mapping[str | None, type[BaseModel]]
    many: bool = False
    also_plain: bool = False

    @property
    def tagged(self) -> bool:
        return None not in self.variants

    def chosen(self, table: Mapping[str, Any]) -> type[BaseModel] | None:
        """The class for this table, None when its kind is absent or unknown."""
        kind = table.get(KIND) if self.tagged else None
        return self.variants.get(kind) if kind is None or isinstance(kind, str) else None


@dataclass(frozen=True)
class Leaf:
    """One leaf of a settings tree, with the kinds that must be chosen for it to exist.

    `default` is what holds when nobody says anything, which a default of the table around it may decide;
    PydanticUndefined when somebody must.
    """

    path: Path
    owner: type[BaseModel]
    info: FieldInfo
    kinds: Mapping[Path, str]
    default: Any

    @property
    def dotted(self) -> str:
        return dotted(self.path)

    @property
    def documentation(self) -> str:
        return documentation(self.owner, str(self.path[-1]))

    @property
    def channel(self) -> str | None:
        return knob_facts(self.info).get("acts_on")

    @property
    def may_change_on_resume(self) -> bool:
        return bool(knob_facts(self.info).get("may_change_on_resume"))


def knob_facts(info: FieldInfo) -> Mapping[str, Any]:
    """What `knob` recorded about a field; empty for a field declared without it."""
    return info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}


def shape_of(annotation: Any) -> Shape | None:
    """The section that an annotation describes, or None for a leaf."""
    annotation = _bare(annotation)
    if _is_settings(annotation):
        return Shape({None: annotation})
    origin = get_origin(annotation)
    if origin in (list, tuple):
        inner = [argument for argument in get_args(annotation) if argument is not Ellipsis]
        shape = shape_of(inner[0]) if len(inner) == 1 else None
        return Shape(shape.variants, many=True, also_plain=shape.also_plain) if shape and not shape.many else None
    if origin in (Union, types.UnionType):
        return _of_union(get_args(annotation))
    return None


def _of_union(arguments: tuple[Any, ...]) -> Shape | None:
    members, plain, many = [], False, False
    for argument in arguments:
        shape = shape_of(argument)
        if shape is None:
            plain = True
        else:
            many = many or shape.many
            members += [*shape.variants.values()]
    if not members:
        return None
    if len(members) == 1:
        return Shape({None: members[0]}, many, plain)
    return Shape({kind_of(member): member for member in members}, many, plain)


def kind_of(section: type[BaseModel]) -> str:
    """The word that chooses this class among others."""
    info = section.model_fields.get(KIND)
    words = get_args(_bare(info.annotation)) if info else ()
    if len(words) != 1:
        raise TypeError(f"{section.__name__} is one of several choices and needs `kind: Literal[...]`")
    return cast(str, words[0])


def default_of(info: FieldInfo) -> Any:
    """The default of a field; PydanticUndefined when it is required."""
    return PydanticUndefined if info.is_required() else info.get_default(call_default_factory=True, validated_data={})


def leaves(section: type[BaseModel]) -> Iterator[Leaf]:
    """Every leaf that can exist under a class, over all kinds of all choices; a list of sections is one leaf.

    The `kind` of a choice is no leaf of its own: each other leaf says which kinds it needs.
    """
    return _leaves(section, (), {}, None)


def _leaves(section: type[BaseModel], path: Path, kinds: Mapping[Path, str], instance: Any) -> Iterator[Leaf]:
    for name, info in section.model_fields.items():
        here = (*path, name)
        default = getattr(instance, name) if isinstance(instance, section) else default_of(info)
        shape = shape_of(info.annotation)
        if shape is None or shape.many:
            if name != KIND or len(get_args(_bare(info.annotation))) != 1:
                yield Leaf(here, section, info, kinds, default)
            continue
        for kind, member in shape.variants.items():
            yield from _leaves(member, here, {**kinds, here: kind} if kind is not None else kinds, default)


@dataclass(frozen=True)
class Choice:
    """A table that can be of several kinds, or be absent, or both. `kinds` must be chosen for it to exist."""

    path: Path
    shape: Shape
    optional: bool
    kinds: Mapping[Path, str]


def choices(section: type[BaseModel], path: Path = (), kinds: Mapping[Path, str] | None = None) -> Iterator[Choice]:
    """Every choice of kinds, and every optional table, under a class."""
    for name, info in section.model_fields.items():
        here, shape = (*path, name), shape_of(info.annotation)
        if shape is None or shape.many:
            continue
        optional = switches_off(info.annotation)
        if shape.tagged or optional:
            yield Choice(here, shape, optional, kinds or {})
        for kind, member in shape.variants.items():
            yield from choices(member, here, {**(kinds or {}), here: kind} if kind is not None else kinds)


def switches_off(annotation: Any) -> bool:
    """Whether the annotation allows None, which presets write as the word "none"."""
    annotation = _bare(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return any(switches_off(argument) for argument in get_args(annotation))
    return annotation is type(None)


def describe(annotation: Any, metadata: tuple[Any, ...] | list[Any] = ()) -> str:
    """A type with its bounds in words: "a whole number, at least 1"."""
    bounds = list(metadata)
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        bounds += more
    if get_origin(annotation) in (Union, types.UnionType):
        arguments = sorted(get_args(annotation), key=lambda argument: argument is type(None))
        return " or ".join(dict.fromkeys(describe(argument, bounds) for argument in arguments))
    return _describe_one(annotation) + _describe_bounds(bounds)


def _describe_one(annotation: Any) -> str:
    named = {int: "a whole number", float: "a number", bool: "true or false", str: "text", File: "a path"}
    if annotation in named:
        return named[annotation]
    if annotation is type(None):
        return '"none" (off)'
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        words = [literal(word) for word in arguments]
        return words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return f"one of {', '.join(literal(member.value) for member in annotation)}"
    if _is_settings(annotation):
        kind = kind_of(annotation) if KIND in annotation.model_fields else None
        return f'a table with kind = "{kind}"' if kind else f"a table with {', '.join(annotation.model_fields)}"
    if origin in (list, set, frozenset) or (origin is tuple and arguments[-1:] == (Ellipsis,)):
        return f"a list, each {describe(arguments[0])}"
    if origin is tuple:
        return f"a list of {len(arguments)}: {', '.join(describe(argument) for argument in arguments)}"
    if origin in (dict, Mapping):
        return f"a table, each value {describe(arguments[1])}"
    return getattr(annotation, "__name__", str(annotation))


_BOUND_WORDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "multiple_of": "a multiple of"}


def bounds_of(metadata: tuple[Any, ...] | list[Any]) -> dict[str, Any]:
    """The limits among the metadata of an annotation, by pydantic's names (ge, gt, le, lt, min_length, pattern …)."""
    found: dict[str, Any] = {}
    for item in metadata:
        if isinstance(item, FieldInfo):
            found |= bounds_of(item.metadata)
        else:
            for name in (*_BOUND_WORDS, "min_length", "max_length", "pattern"):
                value = vars(item).get(name) if hasattr(item, "__dict__") else getattr(item, name, None)
                if value is not None:
                    found[name] = value
    return found


def _describe_bounds(metadata: list[Any]) -> str:
    bounds = bounds_of(metadata)
    text = ""
    if "ge" in bounds and "le" in bounds:
        text = f" from {bounds.pop('ge'):g} to {bounds.pop('le'):g}"
    words = [f"{words} {bounds[name]:g}" for name, words in _BOUND_WORDS.items() if name in bounds]
    if "min_length" in bounds:
        words.append(f"with at least {bounds['min_length']} in it")
    if "max_length" in bounds:
        words.append(f"with at most {bounds['max_length']} in it")
    if "pattern" in bounds:
        words.append(f"like {getattr(bounds['pattern'], 'pattern', bounds['pattern'])}")
    return text + (f", {' and '.join(words)}" if words else "")


def _bare(annotation: Any) -> Any:
    """The annotation without its notes."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def _is_settings(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
