"""Everything the user said about settings, before anything is understood: flat values, each with its origin.

Layers, low to high:  default < preset, along its `extends` chain < THINK_SECTION__KEY < --set key=value < a flag.
Merging is by leaf: a higher layer's leaf shadows the lower one's; a list replaces a list as a whole. One thing is more
than a leaf: a higher layer that changes the `kind` of a table starts that table afresh, and what lower layers said for
the other kind is dropped (`Stack.dropped` keeps it, `think preset explain` shows it). Keys of the wrong kind in one and
the same layer stay where they are, and are refused on decoding.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Literal

from think.presets.catalog import Header, Link, chain
from think.presets.literals import dotted, parse_change, parse_value
from think.presets.positions import Path
from think.presets.problems import Problem, nearest

LayerName = Literal["default", "preset", "environment", "set", "flag"]

PREFIX = "THINK_"


@dataclass(frozen=True)
class Origin:
    """Where a value comes from: its layer, and the place as a user would look for it (`tiny.toml:14`, `--seed`)."""

    layer: LayerName
    place: str

    def __str__(self) -> str:
        return self.place


DEFAULT = Origin("default", "default")


@dataclass(frozen=True)
class Value:
    """What one layer says about one leaf. `inside` holds the origins of what lies in a list."""

    raw: object
    origin: Origin
    inside: Mapping[Path, Origin] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Layer:
    """One file, the environment, all `--set` options, or all flags: leaves in the order given, and table headings."""

    entries: Sequence[tuple[Path, Value]]
    tables: Mapping[Path, Origin] = field(default_factory=dict)


@dataclass(frozen=True)
class Flag:
    """The value of a command-line option, with the option's name for messages."""

    option: str
    value: object


@dataclass(frozen=True)
class Dropped:
    """A lower layer's value that lost its meaning when a higher layer changed the kind of its table."""

    path: Path
    value: Value
    kind: str
    changed_to: str
    changed_by: Origin


@dataclass
class Stack:
    """Layers laid over each other: the winner of each leaf, what it shadows (nearest first), and what was dropped."""

    winners: dict[Path, Value] = field(default_factory=dict)
    shadowed: dict[Path, list[Value]] = field(default_factory=dict)
    dropped: list[Dropped] = field(default_factory=list)
    tables: dict[Path, Origin] = field(default_factory=dict)

    def tree(self) -> dict[str, object]:
        """The winners as nested tables."""
        root: dict[str, object] = {}
        for path, value in self.winners.items():
            table = root
            for key in path[:-1]:
                table = table.setdefault(str(key), {})  # type: ignore[assignment]
            if value.raw == {}:
                table.setdefault(str(path[-1]), {})
            else:
                table[str(path[-1])] = value.raw
        return root


KindAt = Callable[[Path], str | None]
"Kind that a table has when no layer names one: None when it has none, NO_KINDS when its `kind` is a plain setting."
NO_KINDS = ""


def unknown_default(path: Path) -> str | None:
    """The `KindAt` of somebody who knows no schema: every `kind` is a choice, and none has a default."""
    return None


@dataclass(frozen=True)
class Sources:
    """All layers, lowest first, the header of the preset on top, and the mistakes met outside preset files."""

    layers: tuple[Layer, ...]
    header: Header | None = None
    problems: tuple[Problem, ...] = ()

    def stack(self, kind_at: KindAt = unknown_default) -> Stack:
        """Lay the layers over each other."""
        stack = Stack()
        for layer in self.layers:
            _drop_other_kinds(stack, layer, kind_at)
            for path, value in layer.entries:
                _lay(stack, path, value)
            stack.tables.update(layer.tables)
        return stack

    @property
    def values(self) -> dict[str, Value]:
        """The winners by dotted key."""
        return {dotted(path): value for path, value in self.stack().winners.items()}


def read(
    preset: str | File | None,
    changes: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    own_names: Collection[str] = (),
) -> Sources:
    """Read a preset with all it extends, and what the environment, `--set` options and flags change about it.

    changes      `key=value` texts of `--set`
    environment  every THINK_* name in it is looked at; others are not
    flags        option values (plain, or `Flag`) by dotted key; None means that the option was not given
    own_names    THINK_* names of the user's own environment, which are no settings

    Raises SettingsError when a preset file cannot be read. Mistakes in changes and in the environment are kept in
    `problems`, so that decoding reports them beside all others.
    """
    links = chain(preset) if preset is not None else []
    problems: list[Problem] = []
    layers = [file_layer(link) for link in links]
    layers.append(_environment_layer(environment or {}, own_names, problems))
    layers.append(_changes_layer(changes, problems))
    layers.append(_flags_layer(flags or {}))
    return Sources(tuple(layers), links[-1].header if links else None, tuple(problems))


def file_layer(link: Link) -> Layer:
    """The leaves of one preset file with their lines."""
    document = link.document
    origins = {path: Origin("preset", document.place(path)) for path in document.lines}
    entries: list[tuple[Path, Value]] = []
    _flatten((), link.sections, origins, Origin("preset", document.place(())), entries)
    leaves = {path for path, _ in entries}
    tables = {path: origin for path, origin in origins.items() if path not in leaves}
    tables[()] = Origin("preset", document.shown)
    return Layer(entries, tables)


def _flatten(
    path: Path, node: object, origins: Mapping[Path, Origin], near: Origin, into: list[tuple[Path, Value]]
) -> None:
    origin = origins.get(path, near)
    if isinstance(node, dict) and (node or not path):
        for key, child in node.items():
            _flatten((*path, key), child, origins, origin, into)
    else:
        inside = {}
        if isinstance(node, list):
            inside = {other: place for other, place in origins.items() if other != path and _under(other, path)}
        into.append((path, Value(node, origin, inside)))


def _environment_layer(environment: Mapping[str, str], own_names: Collection[str], problems: list[Problem]) -> Layer:
    entries: list[tuple[Path, Value]] = []
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name in own_names:
            continue
        path = tuple(name.removeprefix(PREFIX).lower().split("__"))
        if len(path) < 2 or not all(path):
            like = nearest(name, own_names)
            problems.append(
                Problem(
                    f"{name} is not a name that think knows",
                    where=f"environment, {name}",
                    expected="THINK_SECTION__KEY, such as THINK_MODEL__WIDTH"
                    + (f", or one of {', '.join(sorted(own_names))}" if own_names else ""),
                    remedy=f"did you mean {like}?" if like else f"unset {name}",
                )
            )
            continue
        _read_one(path, environment[name], Origin("environment", name), entries, problems)
    return Layer(entries)


def _changes_layer(changes: Sequence[str], problems: list[Problem]) -> Layer:
    entries: list[tuple[Path, Value]] = []
    for change in changes:
        found = parse_change(change)
        if found is None:
            what = f"{change!r} does not say which key to set to what"
            problems.append(Problem(what, where="--set", expected="key=value, such as model.width=256"))
            continue
        path, text = found
        _read_one(path, text, Origin("set", f"--set {dotted(path)}"), entries, problems)
    return Layer(entries)


def _flags_layer(flags: Mapping[str, object]) -> Layer:
    entries: list[tuple[Path, Value]] = []
    for key, given in flags.items():
        flag = given if isinstance(given, Flag) else Flag(f"flag for {key}", given)
        if flag.value is None:
            continue
        path = tuple(key.split("."))
        raw = flag.value if isinstance(flag.value, (bool, int, float, str, list, dict)) else str(flag.value)
        origin = Origin("flag", flag.option)
        _flatten(path, raw, {path: origin}, origin, entries)
    return Layer(entries)


def _read_one(
    path: Path, text: str, origin: Origin, entries: list[tuple[Path, Value]], problems: list[Problem]
) -> None:
    try:
        raw = parse_value(text)
    except ValueError as error:
        problems.append(
            Problem(
                f"{dotted(path)} = {text.strip()} is {error}",
                where=origin.place,
                expected='a TOML value: 1, 0.5, true, "text", [1, 2], {kind = "adamw"}; or a bare word',
            )
        )
        return
    _flatten(path, raw, {path: origin}, origin, entries)


def _drop_other_kinds(stack: Stack, layer: Layer, kind_at: KindAt) -> None:
    """Where this layer changes a table's kind, forget what lower layers said in that table."""
    for path, value in layer.entries:
        if path[-1] != "kind" or not isinstance(value.raw, str):
            continue
        table = path[:-1]
        default = kind_at(table)
        lower = stack.winners[path].raw if path in stack.winners else default
        if default == NO_KINDS or lower is None or lower == value.raw:
            continue
        for other in [other for other in stack.winners if len(other) > len(table) and _under(other, table)]:
            if other == path:
                continue
            gone = stack.winners.pop(other)
            for lost in [gone, *stack.shadowed.pop(other, [])]:
                stack.dropped.append(Dropped(other, lost, str(lower), value.raw, value.origin))


def _lay(stack: Stack, path: Path, value: Value) -> None:
    """Put one leaf over what is there: the same leaf, a leaf above it, or the leaves under it."""
    if value.raw == {} and any(len(other) > len(path) and _under(other, path) for other in stack.winners):
        return  # an empty table over a full one says only that the table is there
    under = stack.shadowed.setdefault(path, [])
    for other in [other for other in stack.winners if _under(other, path) or _under(path, other)]:
        hidden = [stack.winners.pop(other), *(stack.shadowed.pop(other, []) if other != path else [])]
        under[:0] = [lower for lower in hidden if lower.raw != {}]  # a heading is no value to shadow
    stack.winners[path] = value
    if not under:
        del stack.shadowed[path]


def _under(path: Path, table: Path) -> bool:
    return path[: len(table)] == table
