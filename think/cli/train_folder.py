"""Which folder a training writes to: that of a run to go on with, or a new one."""

from pathlib import Path
from typing import TYPE_CHECKING

from think.cli.console import console

if TYPE_CHECKING:
    from think.core.runs import RunFolder


def existing(root: Path, stage: str, out: str | None, preset: str | None) -> "RunFolder | None":
    """The run to go on with: the one named, else the newest of this stage, which is then said.

    None when the one named was killed before it wrote anything, so that it can only start over.
    """
    from think.core import runs
    from think.core.errors import Missing

    if out is not None:
        named = runs.RunFolder(runs.locate(root, out))
        if named.path.is_dir() and named.is_blank():
            if preset is None:
                raise Missing(
                    "this run was stopped before it wrote its settings",
                    where=str(named.path),
                    remedy=f"start it over: think train {stage} --preset NAME --out {out}",
                )
            console.note(f"run {named.path} was stopped before it wrote anything; it starts over")
            return None
        found = runs.RunFolder.open(root, out)
        _refuse_other_stage(found, stage, out)
        return with_settings(found)
    newest = runs.newest(root, stage=stage)
    if newest is None:
        raise Missing("there is no run to go on with", where=str(root), remedy="start one without --resume")
    console.note(f"going on with the newest run, {newest.path}")
    return with_settings(newest)


def _refuse_other_stage(folder: "RunFolder", stage: str, out: str) -> None:
    from think.core.errors import UsageError

    trained = folder.summary().stage
    if trained not in (None, stage):
        raise UsageError(
            f"this is a run of {trained}",
            where=str(folder.path),
            expected=f"a run of {stage}",
            remedy=f"think train {trained} --resume --out {out}",
        )


def with_settings(folder: "RunFolder") -> "RunFolder":
    """The same run. Raises Missing where its settings are gone."""
    from think.core.errors import Missing

    if not folder.settings_file.is_file():
        raise Missing(
            "the settings of this run are gone, and it cannot go on without them",
            where=str(folder.settings_file),
            expected="the settings.toml that training wrote",
            remedy="restore it from a copy, or start a new run with another --out",
        )
    return folder


def new(root: Path, out: str | None, preset: str) -> "RunFolder":
    """A folder for a new run, numbered after its preset where no name was given."""
    from think.core import runs

    if out is None:
        return runs.RunFolder.numbered(root, preset)
    busy = runs.RunFolder(runs.locate(root, out))
    if busy.lock_file.exists():
        with busy.lock():  # whoever is writing there is named, before "there is something in this folder"
            pass
    return runs.RunFolder.create(root, out)
