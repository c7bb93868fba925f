"""Files of shipped studies of trained runs: found by name or path, read strictly."""

from pathlib import Path
from typing import TypeVar

from think.core.errors import Missing
from think.presets.base import Settings

SWEEPS, STEERING = "sweeps", "steering"
"Folders beside the presets."

S = TypeVar("S", bound=Settings)


def names(folder: str) -> list[str]:
    """Names of the shipped studies of a folder, sorted."""
    return sorted(path.stem for path in _shipped(folder).glob("*.toml"))


def read(given: str, folder: str, into: type[S]) -> S:
    """A study by name, or by the path of its file. Raises Missing with the nearest name, SettingsError."""
    from think.presets.catalog import Header, Link, Preset
    from think.presets.decode import decode
    from think.presets.documents import read_document
    from think.presets.sources import Sources, file_layer

    file, shown = _find(given, folder)
    document = read_document(file, shown)
    sections = {key: value for key, value in document.tree.items() if key != "$schema"}
    link = Link(Preset(file.stem, file, shown, shipped=False), Header(name=file.stem), document, sections)
    return decode(Sources((file_layer(link),)), into).settings


def _shipped(folder: str) -> Path:
    from think.presets import catalog

    return catalog.FOLDER.parent / folder


def _find(given: str, folder: str) -> tuple[Path, str]:
    """The file of a study, and how messages name it."""
    from think.presets.problems import nearest

    if "/" in given or given.endswith((".toml", ".json")):
        return Path(given), given
    if given in names(folder):
        return _shipped(folder) / f"{given}.toml", f"think/presets/{folder}/{given}.toml"
    like = nearest(given, names(folder))
    raise Missing(
        f"there is no study named {given!r}",
        where="--study",
        expected=f"one of {', '.join(names(folder))}, or a file",
        remedy=f"did you mean {like}?" if like else None,
    )
