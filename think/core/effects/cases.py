"""One case for each setting: the tiny run with what the setting needs, and other values to try.

Also the kinds of every choice, optional tables that are left out, and the settings inside lists of tables, each kind
of which gets a case of its own.
"""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic_core import PydanticUndefined

from think.core import plugins
from think.core.effects import fixtures
from think.core.effects.fixtures import Tree
from think.core.gates.checks import FAMILY as GATES
from think.core.settings import LATER, RunSettings, stage_of
from think.presets.base import Channel
from think.presets.fields import KIND, Choice, Leaf, choices, knob_facts, leaves, shape_of
from think.presets.literals import dotted

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Case:
    """A setting to be changed: `tree` is the run around it, `others` the values to try in turn."""

    key: str
    channel: Channel
    tree: Tree
    place: Place
    others: list[Any]
    kinds: dict[str, str]

    def changed(self, other: Any) -> Tree:
        """The run with another value of the setting."""
        found = deepcopy(self.tree)
        put(found, self.place, other)
        return found


def cases(workspace: Path) -> list[Case]:
    """A case for every leaf, every kind and every optional table of a run's settings."""
    every = list(leaves(RunSettings))
    found = [_of_leaf(leaf, workspace) for leaf in every]
    for choice in choices(RunSettings):
        found += _of_choice(choice, every, workspace)
    return [*found, *_of_sources(workspace), *_of_curriculum(workspace)]


def concerning(every: Iterable[Case], settings: RunSettings) -> list[Case]:
    """The cases of settings that a run has: those of its kinds, its tables and its sources."""
    tree = settings.model_dump(mode="json")
    sources = {source[KIND] for source in tree["data"]["sources"]}

    def has(case: Case) -> bool:
        if case.key.startswith("data.sources."):
            return case.kinds["data.sources"] in sources
        if case.key.startswith("stage1.curriculum."):
            return bool(tree["stage1"]["curriculum"])
        chosen = all(get(tree, (*table.split("."), KIND)) == kind for table, kind in case.kinds.items())
        there = get(tree, case.place)
        return chosen and there is not PydanticUndefined and not (case.others == [None] and there is None)

    return [case for case in every if has(case)]


def put(tree: Tree, place: Place, value: Any) -> None:
    """Set what stands at a place, making tables on the way."""
    node: Any = tree
    for part in place[:-1]:
        if isinstance(part, str) and not isinstance(node.get(part), (dict, list)):
            node[part] = {}
        node = node[part]
    node[place[-1]] = value


def get(tree: Tree, place: Place) -> Any:
    """What stands at a place; PydanticUndefined when nothing does."""
    node: Any = tree
    for part in place:
        inside = part in node if isinstance(node, dict) else isinstance(node, list) and part in range(len(node))
        if not inside:
            return PydanticUndefined
        node = node[part]
    return node


def _around(kinds: dict[Place, str], workspace: Path, key: str) -> Tree:
    """The tiny run with these kinds chosen, and with what makes the setting `key` matter."""
    tree = fixtures.tree(workspace)
    if stage_of(key) in LATER:
        fixtures.on_puzzles(tree, workspace)
    for table, kind in sorted(kinds.items(), key=lambda item: len(item[0])):
        if get(tree, (*table, KIND)) != kind:
            put(tree, table, deepcopy({KIND: kind, **_needs(dotted(table), kind)}))
    for place, value in fixtures.crossing(key).items():
        put(tree, tuple(place.split(".")), deepcopy(value))
    return tree


def _needs(table: str, kind: str) -> Tree:
    if kind not in fixtures.VARIANTS.get(table, {}):
        raise LookupError(f"{table}.kind = {kind!r} has no entry in VARIANTS of {fixtures.__name__}")
    return fixtures.VARIANTS[table][kind]


def _of_leaf(leaf: Leaf, workspace: Path) -> Case:
    key, channel = leaf.dotted, _channel_of(leaf.channel, f"{leaf.dotted} of {leaf.owner.__module__}")
    tree = _around(dict(leaf.kinds), workspace, key)
    kinds = {dotted(table): kind for table, kind in leaf.kinds.items()}
    if leaf.path[0] == "gates":
        _, gate, *rest = (str(part) for part in leaf.path)
        turn = plugins.load(GATES, gate).turns[".".join(rest)]
        put(tree, leaf.path, turn.mild)
        return Case(key, channel, tree, leaf.path, [turn.strict], kinds)
    if key == "data.path":
        return Case(key, channel, tree, leaf.path, [str(workspace / "other-pack")], kinds)
    if key == "data.sources":
        other = [{KIND: "text", "path": str(workspace / "other.txt")}]
        return Case(key, channel, tree, leaf.path, [other], kinds)
    if key == "runtime.device":
        return Case(key, channel, tree, leaf.path, ["cuda:63"], kinds)
    value = get(tree, leaf.path)
    value = leaf.default if value is PydanticUndefined else value
    others = fixtures.others(key) or list(_others(leaf.info.annotation, value))
    return Case(key, channel, tree, leaf.path, others, kinds)


def _of_choice(choice: Choice, every: list[Leaf], workspace: Path) -> Iterator[Case]:
    """Another kind, and absence, act on the channel of what stands in the table."""
    key = dotted(choice.path)
    inside = [leaf for leaf in every if leaf.path[: len(choice.path)] == choice.path]
    channel = _channel_of(inside[0].channel, key)
    kinds = {dotted(table): kind for table, kind in choice.kinds.items()}
    tree = _around(dict(choice.kinds), workspace, key)
    if choice.optional and key not in LATER:  # a preset without a stage has nothing to run for it
        yield Case(key, channel, tree, choice.path, [None], kinds)
    if choice.shape.tagged:
        here = get(tree, (*choice.path, KIND))
        for kind, needs in fixtures.VARIANTS[key].items():
            if kind != here:
                other = deepcopy({KIND: kind, **needs})
                yield Case(f"{key}.kind", channel, tree, choice.path, [other], {**kinds, key: kind})


def _of_sources(workspace: Path) -> Iterator[Case]:
    tried = fixtures.sources(workspace)
    shape = shape_of(RunSettings.model_fields["data"].annotation.model_fields["sources"].annotation)  # type: ignore
    assert shape is not None
    for kind, section in shape.variants.items():
        for name, info in section.model_fields.items():
            if name == KIND:
                continue
            source, others = tried[str(kind)][name]
            tree = fixtures.tree(workspace)
            beside, tree["tokenizer"] = fixtures.around_source(str(kind), workspace)
            tree["data"]["sources"] = [source, beside] if name == "weight" else [source]
            channel = _channel_of(knob_facts(info).get("acts_on"), f"data.sources.{name} of {section.__module__}")
            yield Case(
                f"data.sources.{name}", channel, tree, ("data", "sources", 0, name), others, {"data.sources": str(kind)}
            )


def _of_curriculum(workspace: Path) -> Iterator[Case]:
    for name, other in (("from_share", 0.8), ("length", 9)):
        tree = fixtures.tree(workspace)
        tree["stage1"]["curriculum"] = [{"from_share": 0.5, "length": 10}]
        yield Case(f"stage1.curriculum.{name}", "schedule", tree, ("stage1", "curriculum", 0, name), [other], {})


def _channel_of(declared: str | None, whose: str) -> Channel:
    if declared not in get_args(Channel):
        raise TypeError(f"{whose} does not say what it acts on: declare it with knob(...)")
    return cast(Channel, declared)


def _others(annotation: Any, value: Any) -> Iterator[Any]:
    """Values of the type that differ from the one given, likely legal ones first."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        for argument in get_args(annotation):
            yield from _others(argument, value)
        return
    if get_origin(annotation) is Literal:
        yield from (word for word in get_args(annotation) if word != value)
    elif annotation is type(None):
        if value is not None:
            yield None
    elif annotation is bool:
        yield not value
    elif annotation is int:
        number = value if isinstance(value, int) else 2
        yield from (other for other in (number * 2, number // 2, number + 1, number - 1) if other != value)
    elif annotation is float:
        real = float(value) if isinstance(value, (int, float)) else 0.5
        yield from (other for other in (real / 2, real * 2, real + 0.1, real - 0.1) if other != value)
