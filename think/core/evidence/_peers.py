"""Other runs that a run can be compared with: found by digests in their plans, never by their names alone."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from think.core.assembled import read_settings
from think.core.errors import Missing, ThinkError
from think.core.evidence import Subject
from think.core.gates.evidence import Absent
from think.core.runs import RunFolder, runs
from think.core.settings import RunSettings


@dataclass(frozen=True)
class Peer:
    """Another run, what it was trained with, and the digests in its plan."""

    run: RunFolder
    settings: RunSettings
    digests: Mapping[str, str]

    def subject(self, asked: Subject) -> Subject:
        """This run as a subject of its own, on the machine and data of the one asked about."""
        settings = self.settings.model_copy(update={"runtime": asked.settings.runtime})
        return replace(
            asked, settings=settings, digests=self.digests, run=self.run, place=f"--run {self.run.name}", notes=()
        )


def peers(root: Path, wanted: Mapping[str, str]) -> Iterator[Peer]:
    """Finished runs whose plans have these digests, the newest first; runs that cannot be read are passed over."""
    found = []
    for folder in runs(root):
        digests = planned(folder)
        if all(digests.get(name) == digest for name, digest in wanted.items()):
            summary = folder.summary()
            if summary.state == "finished":
                found.append((summary.started or 0.0, folder.name, folder, digests))
    for _, _, folder, digests in sorted(found, key=lambda each: each[:2], reverse=True):
        try:
            yield Peer(folder, read_settings(folder.settings_file), digests)
        except ThinkError:
            continue


def planned(folder: RunFolder) -> dict[str, str]:
    """The digests in a run's plan; none where it has no readable plan."""
    try:
        digests = json.loads(folder.plan_file.read_text(encoding="utf-8"))["digests"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return digests if isinstance(digests, dict) else {}


def baseline(subject: Subject) -> Peer | Absent:
    """The run named, or the newest finished run of the twin on the same data with the same seed."""
    root, pack = subject.root, subject.digests.get("pack")
    if root is None or pack is None:
        return Absent(why="there are no packed data, so no run to compare with", remedy="think data pack")
    if subject.baseline is not None:
        try:
            folder = RunFolder.open(root, subject.baseline)
            return Peer(folder, read_settings(folder.settings_file), planned(folder))
        except Missing as error:
            return Absent(why=f"the baseline: {error.what}", remedy="think runs list")
    if subject.twin is None:
        return Absent(why="the preset names no twin to compare with", remedy="name a run: --baseline RUN")
    seed = subject.settings.stage1.seed
    for peer in peers(root, {"model": subject.twin.model, "pack": pack}):
        if peer.settings.stage1.seed == seed:
            return peer
    return Absent(
        why=f"there is no finished run of the baseline {subject.twin.preset} on these data with seed {seed}",
        remedy=f"`{command(subject, subject.twin.preset, seed)}`",
    )


def command(subject: Subject, preset: str, seed: int) -> str:
    """The command that trains `preset` on the same data, for as many steps, with this seed."""
    stage = subject.settings.stage1
    return (
        f"think train stage1 --preset {quote(preset)} --data {quote(str(subject.data))} "
        f"--seed {seed} --set stage1.steps={stage.steps}"
    )
