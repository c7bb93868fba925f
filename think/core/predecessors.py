"""The runs that a stage may stand on, found in the runs folder and read with all that they stand on.

A run is taken by its newest good checkpoint, and known by the sha256 of the weights in there. What a later run was
trained on is found again by name, beside it or where its plan says, and must be the same weights still.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from think.core.assembled import read_settings
from think.core.errors import BadData, Missing
from think.core.runs import RunFolder, runs
from think.core.training.checkpoint import Checkpoints, verify
from think.core.training.predecessor import MUST_AGREE, Predecessor, weights_digest
from think.core.training.sealed import facts

PLAN_KEY = "predecessor"


def read(folder: RunFolder) -> Predecessor:
    """A run as something to stand on. Raises Missing without a checkpoint, BadData when a part of it is damaged."""
    return _read(folder, newest_checkpoint(folder))


def newest_checkpoint(folder: RunFolder) -> Path:
    """The newest good checkpoint of a run. Raises Missing without any, BadData where every one is damaged."""
    found = Checkpoints(folder.checkpoints).find() if folder.checkpoints.is_dir() else None
    if found is None:
        raise Missing(
            "this run has not saved a checkpoint yet",
            where=str(folder.path),
            expected="a run with a checkpoint",
            remedy="wait for its first checkpoint, or name another run",
        )
    return found.path


def recorded(folder: RunFolder) -> Predecessor | None:
    """What a run was begun on, as its plan and checkpoints say; None for one that stands on nothing.

    Raises Missing when that run or its checkpoint is gone, BadData when it holds other weights now.
    """
    plan = _plan(folder)
    named = plan.get(PLAN_KEY)
    return None if named is None else _again(folder, named)


def candidates(root: Path, stage: str) -> Iterator[RunFolder]:
    """Finished runs of a stage below `root`, the newest first."""
    found = [(run.summary(), run) for run in runs(root)]
    for _, run in sorted(
        ((summary, run) for summary, run in found if summary.stage == stage and summary.state == "finished"),
        key=lambda pair: (pair[0].started or 0.0, pair[1].name),
        reverse=True,
    ):
        yield run


def disagreement(predecessor: Predecessor, digests: Mapping[str, str]) -> list[str]:
    """In which of the digests that must agree a run differs from what is asked for."""
    return [name for name in MUST_AGREE if predecessor.digests.get(name) != digests.get(name)]


def as_planned(predecessor: Predecessor) -> dict[str, Any]:
    """For plan.json: what it is, and for each run where it was found."""
    before = None if predecessor.before is None else as_planned(predecessor.before)
    return {**predecessor.as_json(), "path": str(predecessor.path.parent.parent), "before": before}


def _read(folder: RunFolder, checkpoint: Path) -> Predecessor:
    held = facts(checkpoint)
    stage = held["stage"]
    named = held.get("predecessor")
    return Predecessor(
        stage=stage,
        run=folder.name,
        path=checkpoint,
        step=held["step"],
        sha256=weights_digest(checkpoint),
        digests=held["digests"],
        settings=read_settings(folder.settings_file).stage(stage),
        before=None if named is None else _again(folder, named),
    )


def _again(folder: RunFolder, named: Mapping[str, Any]) -> Predecessor:
    """The run that a record names: beside the run that stands on it, else where that one's plan says it was."""
    places = [folder.path.parent / named["run"], *_planned_places(folder, named["run"])]
    other: Predecessor | None = None
    for place in dict.fromkeys(places):
        checkpoint = place / "checkpoints" / f"step-{named['step']:08d}"
        if not checkpoint.is_dir():
            continue
        verify(checkpoint)
        other = _read(RunFolder(place), checkpoint)
        if other.sha256 == named["sha256"]:
            return other
    if other is not None:
        raise BadData(
            f"{named['run']} has other weights at step {named['step']:,} than those that {folder.name} was trained on",
            where=str(other.path),
            expected=f"weights with sha256 {named['sha256'][:16]}…, not {other.sha256[:16]}…",
            remedy=f"restore that run from a copy, or train {folder.name} anew on the run as it is",
        )
    raise Missing(
        f"{folder.name} was trained on {named['run']} at step {named['step']:,}, which is gone",
        where=str(places[0]),
        expected="that run with that checkpoint",
        remedy="restore it from a copy; a run that goes on deletes its older checkpoints, unless its stage's "
        "checkpoint.keep is higher",
    )


def _planned_places(folder: RunFolder, run: str) -> Iterator[Path]:
    node = _plan(folder).get(PLAN_KEY)
    while isinstance(node, dict):
        if node.get("run") == run and isinstance(node.get("path"), str):
            yield Path(node["path"])
        node = node.get("before")


def _plan(folder: RunFolder) -> dict[str, Any]:
    try:
        plan = json.loads(folder.plan_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return plan if isinstance(plan, dict) else {}
