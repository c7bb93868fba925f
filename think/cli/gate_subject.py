"""Which model, data and run a `think gate` command is about, and where its verdicts are kept.

--run R                 that run: its own settings, its own verdict file
--preset P              gates of fresh models: the preset; gates of runs: the newest run that was trained from it
neither                 the newest run; without any run there is no evidence, and the way to make some is said
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Any

from think.cli import environment
from think.core import runs
from think.core.errors import BadData, Missing
from think.core.gates import run as engine
from think.core.gates import store
from think.core.gates.checks import Gate, file_name
from think.core.gates.evidence import Absent, Exhibit
from think.core.gates.run import Question
from think.core.gates.store import Stored

if TYPE_CHECKING:
    from think.core.evidence import Twin
    from think.core.settings import RunSettings
    from think.presets.decode import Resolved

FIRST_PRESET = "cpu_smoke"
"What a user without any run is told to begin with."
UNPACKED = "unpacked"
"Stands for the vocabulary where nothing is packed, so that packing makes earlier verdicts on it stale."


@dataclass
class GateSubject:
    """What is asked about; `resolved` is None when there is nothing to ask about.

    chosen    the run was named, or is the newest: all verdicts are about it
    """

    root: Path
    resolved: "Resolved[RunSettings] | None"
    run: runs.RunFolder | None
    chosen: bool
    place: str
    announcement: str
    preset_name: str | None = None
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    baseline: str | None = None

    def __post_init__(self) -> None:
        self.digests = {} if self.resolved is None else _digests(self.resolved)
        self.question = Question(self.digests, self._thresholds(), self.place, self.notes)

    @property
    def run_name(self) -> str | None:
        return None if self.run is None else self.run.name

    def stored(self) -> list[Stored]:
        """Verdicts that may count: of fresh models, and of the run."""
        files = [store.fresh_file(self.root)]
        if self.run is not None:
            files.append(self.run.gates_file)
        return store.read(files)

    def keep(self, gate: Gate, record: Stored) -> None:
        """Store one verdict where it belongs. Raises InputOutput."""
        if self.resolved is None:
            return
        about_run = self.run is not None and (self.chosen or gate.needs_run)
        file = self.run.gates_file if about_run and self.run is not None else store.fresh_file(self.root)
        store.append(file, record)

    def produce(self, name: str, gate: Gate) -> Exhibit | Absent:
        """Make the evidence that a gate needs."""
        if self.resolved is None:
            return _nothing(name, gate)
        from think.core import plugins
        from think.core.evidence import FAMILY, Subject

        settings = self.resolved.settings
        settings = settings.model_copy(update={"runtime": environment.prefer(settings.runtime)})
        subject = Subject(
            settings=settings,
            digests=self.digests,
            data=Path(settings.data.path),
            run=self.run if self.chosen or gate.needs_run else None,
            place=self.place,
            root=self.root,
            twin=_twin(self.resolved),
            baseline=self.baseline,
        )
        shown: Exhibit | Absent = plugins.load(FAMILY, gate.needs.name).produce(subject)
        return shown

    def _thresholds(self) -> dict[str, Any]:
        if self.resolved is None:
            return {name: engine.load(name).Settings() for name in engine.gates()}
        return {name: getattr(self.resolved.settings.gates, file_name(name)) for name in engine.gates()}


def find(
    wanted: Sequence[str],
    run: str | None,
    preset: str | None,
    changes: list[str] | None,
    data: Path | None,
    baseline: str | None = None,
) -> GateSubject:
    """What the options mean. Raises Missing for a run that is not there, SettingsError for bad settings."""
    root = environment.runs_folder()
    if baseline is not None:
        runs.RunFolder.open(root, baseline)
    found = _find(root, wanted, run, preset, changes, data)
    found.baseline = baseline
    return found


def _find(
    root: Path,
    wanted: Sequence[str],
    run: str | None,
    preset: str | None,
    changes: list[str] | None,
    data: Path | None,
) -> GateSubject:
    if run is not None:
        folder = runs.RunFolder.open(root, run)
        return _of_run(root, folder, preset, changes, data, f"judging the run {folder.path}")
    if preset is not None:
        return _of_preset(root, wanted, preset, changes, data)
    newest = runs.newest(root, stage="stage1")
    if newest is None:
        text = f"there is no run below {root} and no --preset was given"
        return GateSubject(root, None, None, False, "--preset NAME", text)
    return _of_run(root, newest, None, changes, data, f"judging the newest run, {newest.path}")


def recheck_for(folder: runs.RunFolder | None) -> Callable[[Stored], tuple[Sequence[str], Sequence[str]]]:
    """Hold the evidence of stored verdicts against what it was taken from."""
    from think.core import plugins
    from think.core.evidence import FAMILY

    def recheck(stored: Stored) -> tuple[Sequence[str], Sequence[str]]:
        if stored.evidence is None or stored.source.run is None:
            return (), ()
        found = plugins.load(FAMILY, stored.evidence["name"]).recheck(stored, folder)
        return found.wrong, found.gone

    return recheck


def _of_run(
    root: Path,
    folder: runs.RunFolder,
    preset: str | None,
    changes: list[str] | None,
    data: Path | None,
    announcement: str,
) -> GateSubject:
    own = _own_settings(folder)
    if preset is None:
        resolved = _own_settings(folder, changes, data) if changes or data is not None else own
    else:
        resolved = _load(preset, changes, data)
        announcement += f" by the settings of {preset}"
    place = " ".join(["--run", folder.name, *(["--preset", preset] if preset else []), *_changes(changes, data)])
    name = None if preset is None else _name(resolved, preset)
    return GateSubject(root, resolved, folder, True, place, announcement, name, _moved(own, resolved))


def _of_preset(
    root: Path, wanted: Sequence[str], preset: str, changes: list[str] | None, data: Path | None
) -> GateSubject:
    resolved = _load(preset, changes, data)
    text = f"judging fresh models of {preset}"
    folder: runs.RunFolder | None = None
    moved: dict[str, tuple[str, ...]] = {}
    if any(engine.load(name).needs_run for name in wanted):
        folder = _trained_from(root, _digests(resolved))
        if folder is None:
            text += f"; no run below {root} was trained from exactly these settings and data"
        else:
            text += f", and the newest run trained from it, {folder.path}"
            moved = _moved(_own_settings(folder), resolved)
    place = " ".join(["--preset", preset, *_changes(changes, data)])
    return GateSubject(root, resolved, folder, False, place, text, _name(resolved, preset), moved)


def _trained_from(root: Path, digests: dict[str, str]) -> runs.RunFolder | None:
    """The newest run whose plan has these digests; which ones count is the gate's own business, so all that it has."""
    found = []
    for folder in runs.runs(root):
        try:
            plan = loads(folder.plan_file.read_text(encoding="utf-8"))
            planned = plan["digests"]
        except (OSError, ValueError, KeyError):
            continue
        if plan.get("stage", "stage1") != "stage1":
            continue  # gates judge the backbone; what stands on one has its digests too
        names = ("model", "tokenizer", "data", "stage1", "pack")
        if all(planned.get(name) is not None and planned.get(name) == digests.get(name) for name in names):
            found.append((folder.summary().started or 0.0, folder.name, folder))
    return max(found, key=lambda each: each[:2])[2] if found else None


def _digests(resolved: "Resolved[RunSettings]") -> dict[str, str]:
    """Of the settings sections, of the packed data where there are any, and of the code that measures."""
    from think.core.data.store import Packed
    from think.core.provenance import code_digest

    digests = {name: resolved.digests[name] for name in ("model", "tokenizer", "data", "stage1")}
    digests["code"] = code_digest()
    digests["vocabulary"] = UNPACKED
    try:
        packed = Packed.open(resolved.settings.data.path)
        digests |= {"pack": packed.digest, "vocabulary": packed.tokenizer.digest}
    except Missing:
        pass
    except BadData as error:
        # Damaged data have no identity; whoever needs them will say what is wrong.
        digests["vocabulary"] = f"damaged: {error.where}"
    return digests


def _own_settings(
    folder: runs.RunFolder, changes: list[str] | None = None, data: Path | None = None
) -> "Resolved[RunSettings]":
    """The settings that the run was trained with. The environment has no say: the run's file is what was used."""
    from think.core.settings import RunSettings
    from think.presets.decode import decode
    from think.presets.sources import Flag, read

    if not folder.settings_file.is_file():
        raise Missing("the run has no settings.toml", where=str(folder.path), remedy="name another run with --run")
    flags = {"data.path": Flag("--data", None if data is None else str(data))}
    return decode(read(folder.settings_file, changes or (), None, flags), RunSettings)


def _load(preset: str, changes: list[str] | None, data: Path | None) -> "Resolved[RunSettings]":
    from think.cli.settings import announce, load
    from think.presets.sources import Flag

    resolved = load(preset, changes, {"data.path": Flag("--data", None if data is None else str(data))})
    announce(resolved)
    return resolved


def _moved(own: "Resolved[RunSettings]", asked: "Resolved[RunSettings]") -> dict[str, tuple[str, ...]]:
    """For each gate whose thresholds are not those that the run was started with: which ones moved."""
    notes: dict[str, tuple[str, ...]] = {}
    for name in engine.gates():
        before, after = (getattr(each.settings.gates, file_name(name)) for each in (own, asked))
        if before != after:
            notes[name] = (
                f"thresholds are not those that the run was started with: {before.model_dump(mode='json')} then",
            )
    return notes


def _twin(resolved: "Resolved[RunSettings]") -> "Twin | None":
    """The baseline preset that these settings name, and what model it has now."""
    from think.core.evidence import Twin
    from think.core.settings import RunSettings
    from think.presets.decode import decode
    from think.presets.sources import read

    if resolved.header is None or resolved.header.twin is None:
        return None
    return Twin(resolved.header.twin, decode(read(resolved.header.twin), RunSettings).digests["model"])


def _nothing(name: str, gate: Gate) -> Absent:
    if gate.needs_run:
        return Absent(why="there is no run", remedy=f"`think train stage1 --preset {FIRST_PRESET}`")
    return Absent(why="there is no run and no preset was named", remedy=f"`think gate {name} --preset {FIRST_PRESET}`")


def _name(resolved: "Resolved[RunSettings]", preset: str) -> str:
    return Path(preset).stem if resolved.header is None else resolved.header.name


def _changes(changes: list[str] | None, data: Path | None) -> list[str]:
    from shlex import quote

    words = [word for change in changes or [] for word in ("--set", quote(change))]
    return words + (["--data", quote(str(data))] if data is not None else [])
