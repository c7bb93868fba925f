"""Study files: found by name or path, read strictly, their variants resolved; every mistake at its file and line."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from think.cli import environment
from think.core.errors import BadSettings, Missing

if TYPE_CHECKING:
    from think.core.ablations.cells import Study, Variant
    from think.core.ablations.study import StudySettings, VariantSettings
    from think.presets.documents import Document
    from think.presets.problems import Problem


def shipped() -> Path:
    """The folder of the studies that come with think."""
    from think.presets import catalog

    return catalog.FOLDER.parent / "studies"


def names() -> list[str]:
    """Names of the shipped studies, sorted."""
    return sorted(path.stem for path in shipped().glob("*.toml"))


def find(given: str) -> tuple[Path, str]:
    """The file of a study, and how messages name it. Raises Missing with the nearest and all names."""
    from think.presets.problems import nearest

    if "/" in given or given.endswith((".toml", ".json")):
        return Path(given), given
    file = shipped() / f"{given}.toml"
    if given in names():
        return file, f"think/presets/studies/{given}.toml"
    like = nearest(given, names())
    local = f"./{given}.toml" if Path(f"{given}.toml").is_file() else None
    raise Missing(
        f"there is no study named {given!r}",
        expected=f"one of {', '.join(names())}, or a file",
        remedy=f"a file is given by its path: {local}" if local else f"did you mean {like}?" if like else None,
    )


def look(given: str) -> "tuple[StudySettings, Document, Path]":
    """A study file as it stands, checked as far as it can be without its presets. Raises SettingsError."""
    from think.core.ablations.study import StudySettings, mistakes
    from think.presets.catalog import Header, Link, Preset
    from think.presets.decode import decode
    from think.presets.documents import read_document
    from think.presets.problems import Problem, SettingsError
    from think.presets.sources import Sources, file_layer

    file, shown = find(given)
    document = read_document(file, shown)
    name = Preset(file.stem, file, shown, shipped=False)
    sections = {key: value for key, value in document.tree.items() if key != "$schema"}
    link = Link(name, Header(name=file.stem), document, sections)
    settings = decode(Sources((file_layer(link),)), StudySettings).settings
    problems = [
        Problem(found.what, document.place(found.path), found.expected, found.remedy) for found in mistakes(settings)
    ]
    if problems:
        raise SettingsError(problems)
    return settings, document, file


def read(given: str, data: Path | None = None, changes: Sequence[str] = ()) -> "Study":
    """A study with its variants resolved.

    data      wins over what the file says of its data
    changes   key=value for all variants, after the study's own `changes` and below those of a variant

    Raises SettingsError with all mistakes, BadSettings for equal variants.
    """
    from think.core.ablations.cells import Study, refuse_equal
    from think.presets.problems import SettingsError

    _refuse_environment()
    settings, document, file = look(given)
    if data is not None:
        settings = settings.model_copy(update={"data": str(data)})
    places = [document.place(("changes", at)) for at in range(len(settings.changes))] + [_option(c) for c in changes]
    settings = settings.model_copy(update={"changes": (*settings.changes, *changes)})
    problems = [*_forbidden(settings, document, places)]
    variants: list[Variant] = []
    for index, variant in enumerate(settings.variants):
        try:
            variants.append(_resolved(settings, variant, index, document, file, places))
        except SettingsError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise SettingsError(problems)
    refuse_equal(variants)
    named = [given, *(part for change in changes for part in ("--set", change))]
    named += [] if data is None else ["--data", str(data)]
    return Study(file.stem, tuple(named), document.shown, settings, tuple(variants))


def _option(change: str) -> str:
    """How messages name a change of the command line."""
    from think.presets.literals import dotted, parse_change

    found = parse_change(change)
    return "--set" if found is None else f"--set {dotted(found[0])}"


def _refuse_environment() -> None:
    """Settings from the environment would change what a study says of itself."""
    for name in sorted(os.environ):
        if name.startswith(environment.PREFIX) and name not in environment.NAMES:
            raise BadSettings(
                f"{name} is set, and a study takes no settings from the environment",
                where=f"environment, {name}",
                expected="all settings of a study in its file and its presets",
                remedy=f"unset {name}, or write it into the study: changes = [...]",
            )


def _forbidden(settings: "StudySettings", document: "Document", places: Sequence[str]) -> "Iterator[Problem]":
    """Changes that have no place in a study. places: of the changes for all variants."""
    from think.core.ablations.study import forbidden
    from think.presets.literals import dotted, parse_change
    from think.presets.problems import Problem

    made = [(change, place, True) for change, place in zip(settings.changes, places, strict=True)]
    for at, variant in enumerate(settings.variants):
        own = (document.place(("variants", at, "changes", index)) for index in range(len(variant.changes)))
        made += [(change, place, False) for change, place in zip(variant.changes, own, strict=True)]
    for change, place, of_all in made:
        found = parse_change(change)
        if found is None:
            what = f"{change!r} does not say which key to set to what"
            yield Problem(what, place, "key=value, such as model.gamma=1.0")
        elif why := forbidden(dotted(found[0]), of_all=of_all):
            yield Problem(f"{dotted(found[0])} cannot be changed here: {why}", place, "another setting")


def _resolved(
    settings: "StudySettings",
    variant: "VariantSettings",
    index: int,
    document: "Document",
    file: Path,
    places: Sequence[str],
) -> "Variant":
    from think.core.ablations.cells import Variant
    from think.core.settings import RunSettings
    from think.presets.decode import decode
    from think.presets.literals import dotted, parse_change
    from think.presets.problems import SettingsError
    from think.presets.sources import Flag
    from think.presets.sources import read as layers

    own: tuple[str | int, ...] = ("variants", index)
    preset = _preset(variant.preset or settings.preset, file)
    place = document.place((*own, "preset") if variant.preset else ("preset",))
    changes = (*settings.changes, *variant.changes)
    lines: dict[str, str] = {}
    own_places = [document.place((*own, "changes", at)) for at in range(len(variant.changes))]
    for change, line in zip(changes, [*places, *own_places], strict=True):
        found = parse_change(change)
        if found is not None:
            lines[f"--set {dotted(found[0])}"] = line
    try:
        flags = {"data.path": Flag("data", settings.data)}
        understood = [change for change in changes if parse_change(change) is not None]  # others are told already
        resolved = decode(layers(preset, understood, flags=flags), RunSettings).settings
    except SettingsError as error:
        moved = [_moved(problem, lines, place, variant.name) for problem in error.problems]
        raise SettingsError(moved, exit=error.exit) from None
    return Variant(variant.name, document.place(own), preset, changes, resolved, variant.summary)


def _preset(given: str, study: Path) -> str:
    """A preset as `--preset` takes it; a relative file stands beside the study."""
    if "/" not in given and not given.endswith((".toml", ".json")):
        return given
    found = study.parent / given
    return str(found) if "/" in str(found) else f"./{found}"


def _moved(problem: "Problem", lines: dict[str, str], preset: str, variant: str) -> "Problem":
    """A mistake at the line of the study that makes it, where one of its changes does."""
    where = problem.where
    for said, place in lines.items():
        if where == said or (where is not None and where.startswith(f"{said}.")):
            return replace(problem, what=f"variant {variant!r}: {problem.what}", where=place)
    return replace(problem, what=f"variant {variant!r}: {problem.what}", where=where or preset)
