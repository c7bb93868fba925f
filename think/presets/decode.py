"""Flat sources to a settings object; every mistake in one report, each with its place, what is legal, and a remedy.

Three steps: lay the layers over each other (`Sources.stack`, which needs to know the default kinds); arrange the tree,
which finds unknown keys, missing keys and unknown kinds; let pydantic judge the values, in JSON mode, so that lists,
enums and paths behave, and strictly, so that nothing is guessed. pydantic's errors are said in our own words.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from think.presets.arrange import Arrangement, arrange
from think.presets.catalog import Header
from think.presets.digest import digest
from think.presets.explanations import explain_errors
from think.presets.fields import default_of, shape_of
from think.presets.literals import dotted
from think.presets.positions import Path
from think.presets.problems import Problem, SettingsError
from think.presets.sources import DEFAULT, NO_KINDS, Dropped, Origin, Sources, Stack, Value

__all__ = ["Resolved", "SettingsError", "decode"]

S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True)
class Resolved(Generic[S]):
    """Settings, and for each leaf (by dotted key) what was said about it, the winner first."""

    settings: S
    history: Mapping[str, list[Value]]
    dropped: list[Dropped]
    header: Header | None

    @property
    def origins(self) -> dict[str, list[Origin]]:
        """Origin of each leaf's winner, then of what it shadows."""
        return {key: [value.origin for value in values] for key, values in self.history.items()}

    @property
    def overrides(self) -> dict[str, Value]:
        """Leaves that the environment, `--set` or a flag decided: to be shown when a run starts."""
        above = ("environment", "set", "flag")
        return {key: values[0] for key, values in self.history.items() if values[0].origin.layer in above}

    @cached_property
    def digests(self) -> dict[str, str]:
        """The digest of each section that is present; one section's digest does not depend on another's."""
        sections = {name: getattr(self.settings, name) for name in type(self.settings).model_fields}
        return {name: digest(section) for name, section in sections.items() if isinstance(section, BaseModel)}


def decode(sources: Sources, into: type[S]) -> Resolved[S]:
    """The settings that the sources describe. Raises SettingsError with all mistakes."""
    stack = sources.stack(lambda path: _kind_at(into, path))
    problems = [*sources.problems, *_unfit(stack)]
    if problems and len(problems) > len(sources.problems):
        raise SettingsError(problems)  # such a value cannot even be handed to the validation
    arrangement = arrange(into, stack)
    problems += arrangement.problems
    settings = _validate(arrangement, into, stack, problems)
    if problems or settings is None:
        raise SettingsError(_in_reading_order(problems))
    return Resolved(settings, _history(settings, stack), stack.dropped, sources.header)


def _validate(arrangement: Arrangement, into: type[S], stack: Stack, problems: list[Problem]) -> S | None:
    try:
        return into.model_validate_json(json.dumps(arrangement.tree, default=str))
    except ValidationError as error:
        problems += explain_errors(error, into, arrangement, stack)
        return None


def _unfit(stack: Stack) -> list[Problem]:
    """Values that are not data at all: half characters, numbers of thousands of digits."""
    problems = []
    for path, value in stack.winners.items():
        try:
            text = json.dumps(value.raw, ensure_ascii=False, default=str)
        except ValueError:
            problems.append(Problem(f"{dotted(path)} is a number too long to use", value.origin.place))
            continue
        if re.search("[\ud800-\udfff]", text + dotted(path)):
            shown = dotted(path).encode("utf-8", "replace").decode("utf-8")
            problems.append(Problem(f"{shown} is not valid text", value.origin.place, "text in UTF-8"))
    return problems


def _kind_at(into: type[BaseModel], path: Path) -> str | None:
    """Kind of the table at `path` when nobody names one; NO_KINDS where there is no choice to make."""
    classes: list[type[BaseModel]] = [into]
    kind: str | None = NO_KINDS
    for key in path:
        fields = [section.model_fields[str(key)] for section in classes if str(key) in section.model_fields]
        classes, kind = [], NO_KINDS
        for info in fields:
            shape = shape_of(info.annotation)
            if shape is None or shape.many:
                continue
            classes += shape.variants.values()
            if shape.tagged and not kind:
                default = default_of(info)
                kind = getattr(default, "kind", None) if isinstance(default, BaseModel) else None
    return kind


def _history(settings: BaseModel, stack: Stack) -> dict[str, list[Value]]:
    found: dict[str, list[Value]] = {}
    _walk(settings, (), stack, found)
    return found


def _walk(section: BaseModel, path: Path, stack: Stack, found: dict[str, list[Value]]) -> None:
    for name in type(section).model_fields:
        here, value = (*path, name), getattr(section, name)
        if isinstance(value, BaseModel):
            _walk(value, here, stack, found)
            continue
        values = [
            said
            for other, winner in stack.winners.items()
            if other[: len(here)] == here  # a leaf that is a free table is written leaf by leaf
            for said in (winner, *stack.shadowed.get(other, ()))
        ]
        found[dotted(here)] = values or [Value(value, DEFAULT)]


def _in_reading_order(problems: list[Problem]) -> list[Problem]:
    def order(problem: Problem) -> tuple[str, int]:
        file, _, line = (problem.where or "").rpartition(":")
        return (file, int(line)) if line.isdigit() else (problem.where or "", 0)

    return sorted(problems, key=order)
