"""Presets by name (those that are shipped) and by file (the user's own), with the header of each.

A preset file begins with header keys, which are no settings:

    summary     one line for `think preset list`
    extends     a preset's name, or a file relative to this one, whose values this one changes
    parameters  the parameter count that the name promises
    twin        the preset of the baseline that this one is compared with
    after       the preset of the rung below on the scale ladder, whose gates must stand before this one is trained

Needs neither pydantic nor torch: listing presets is fast.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from think.presets.documents import Document, Tree, read_document
from think.presets.problems import MISSING, Problem, SettingsError, listed, nearest

FOLDER = Path(__file__).parent / "files"
SHOWN_FOLDER = "think/presets/files"
"How messages and run folders name shipped files, wherever the package is installed."

HEADER_KEYS: Mapping[str, str] = {
    "summary": "one line for `think preset list`",
    "extends": "a preset's name, or a file relative to this one, whose values this one changes",
    "parameters": "the parameter count that the name promises",
    "twin": "the preset of the baseline that this one is compared with",
    "after": "the preset of the rung below on the scale ladder, whose gates must stand before this one is trained",
}
_IGNORED = ("$schema",)  # editors of JSON files look for it


@dataclass(frozen=True)
class Preset:
    """Where a preset is: its name, its file, and how messages name the file."""

    name: str
    file: Path
    shown: str
    shipped: bool


@dataclass(frozen=True)
class Header:
    """What a preset says about itself."""

    name: str
    summary: str | None = None
    extends: str | None = None
    parameters: int | None = None
    twin: str | None = None
    after: str | None = None


@dataclass(frozen=True)
class Link:
    """One file of an `extends` chain, header and settings apart."""

    preset: Preset
    header: Header
    document: Document
    sections: Tree


def names() -> list[str]:
    """Names of the shipped presets, sorted."""
    return sorted(path.stem for path in FOLDER.iterdir() if path.suffix in (".toml", ".json"))


def find(name_or_file: str | Path, *, beside: Preset | None = None) -> Preset:
    """The preset of that name, or that file; a relative file is taken beside the preset that mentions it, if any.

    Raises SettingsError (exit 66) naming the nearest and all presets. Whether a file exists is found on reading it.
    """
    text = str(name_or_file)
    if "/" in text or "\\" in text or text.endswith((".toml", ".json")):
        file = Path(text)
        if beside is not None and not file.is_absolute():
            return _from_file(beside.file.parent / file, str(Path(beside.shown).parent / file), beside.shipped)
        return _from_file(file, text, shipped=False)
    for suffix in (".toml", ".json"):
        if text and (FOLDER / f"{text}{suffix}").is_file():
            return _from_file(FOLDER / f"{text}{suffix}", f"{SHOWN_FOLDER}/{text}{suffix}", shipped=True)
    raise SettingsError([_unknown(text)], exit=MISSING)


def header(name_or_file: str | Path) -> Header:
    """The header of one preset, without looking at its settings."""
    return _link(find(name_or_file)).header


def chain(name_or_file: str | Path) -> list[Link]:
    """The preset and all that it extends, lowest first. A ring is an error that names every link of it."""
    links = [_link(find(name_or_file))]
    while (extends := links[-1].header.extends) is not None:
        current = links[-1]
        place = current.document.place(("extends",))
        try:
            preset = find(extends, beside=current.preset)
            file = preset.file.resolve()
            met = [link.preset.file.resolve() for link in links]
            if file in met:
                raise SettingsError([_ring(links[met.index(file) :])])
            links.append(_link(preset))
        except SettingsError as error:
            if error.exit == MISSING:  # the user's preset is there; what it refers to is not
                raise SettingsError(
                    [_dangling("extends", extends, place, problem) for problem in error.problems]
                ) from None
            raise
    return links[::-1]


def check_relatives(name_or_file: str | Path) -> None:
    """Make sure that the twin and the rung below that a preset names are there.

    Raises SettingsError at the line that names one that is not.
    """
    link = _link(find(name_or_file))
    problems: list[Problem] = []
    for key, name in (("twin", link.header.twin), ("after", link.header.after)):
        if name is None:
            continue
        try:
            _link(find(name, beside=link.preset))
        except SettingsError as error:
            place = link.document.place((key,))
            problems += [_dangling(key, name, place, problem) for problem in error.problems]
    if problems:
        raise SettingsError(problems)


def _from_file(file: Path, shown: str, shipped: bool) -> Preset:
    return Preset(name=file.stem, file=file, shown=shown, shipped=shipped)


def _link(preset: Preset) -> Link:
    document = read_document(preset.file, preset.shown)
    sections = {key: value for key, value in document.tree.items() if key not in HEADER_KEYS and key not in _IGNORED}
    given = {key: document.tree[key] for key in HEADER_KEYS if key in document.tree}
    problems = [
        Problem(f"{key} = {value!r} is not {wanted}", where=document.place((key,)), expected=HEADER_KEYS[key])
        for key, value in given.items()
        if (wanted := _unlike(key, value))
    ]
    if problems:
        raise SettingsError(problems)
    return Link(preset, Header(name=preset.name, **given), document, sections)  # type: ignore[arg-type]


def _unlike(key: str, value: object) -> str | None:
    if key == "parameters":
        return None if type(value) is int and value > 0 else "a whole number above 0"
    return None if isinstance(value, str) and value.strip() else "text"


def _unknown(name: str) -> Problem:
    like = nearest(name, names())
    local = next((f"./{name}{suffix}" for suffix in (".toml", ".json") if Path(f"{name}{suffix}").is_file()), None)
    remedy = f"a file is given by its path: {local}" if name and local else f"did you mean {like}?" if like else None
    return Problem(f"there is no preset named {name!r}", expected=f"one of {listed(names())}, or a file", remedy=remedy)


def _dangling(key: str, name: str, place: str, problem: Problem) -> Problem:
    what = f"{key} {name!r}: {problem.what}"
    return Problem(what, where=place, expected=problem.expected, remedy=problem.remedy)


def _ring(ring: list[Link]) -> Problem:
    steps = [f"{link.document.place(('extends',))} extends {link.header.extends!r}" for link in ring]
    if len(ring) == 1:
        what = "the preset extends itself"
    else:
        what = "the presets extend each other in a ring: " + ", ".join(steps)
    return Problem(
        what,
        where=ring[-1].document.place(("extends",)),
        expected="a chain that ends in a preset without `extends`",
        remedy="take one `extends` out",
    )
