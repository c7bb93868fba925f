"""Deletes what nobody will miss: old checkpoints, and runs that died before they saved anything.

Never a run that somebody is writing, nor the checkpoint that a run would resume from.
"""

import os
import shutil
from pathlib import Path

from think.core.errors import InputOutput, Locked
from think.core.runs import RunFolder
from think.core.training.checkpoint import Checkpoints

DEAD = ("dead", "created", "failed")
"States in which nothing more will come by itself."


def doomed(run: RunFolder, *, keep: int | None, dead: bool) -> list[Path]:
    """What `remove` would delete: the run itself, or its old checkpoints. Raises Locked while somebody writes it.

    keep: checkpoints that stay, the newest good one always among them; None leaves them all.
    dead: whether a run goes that died and has no checkpoint. Raises BadData when all its checkpoints are damaged.
    """
    who = run.holder()
    if who is not None:
        raise Locked(f"it is being written by {who}", where=str(run.path))
    return _doomed(run, keep, dead)


def remove(run: RunFolder, *, keep: int | None, dead: bool) -> list[Path]:
    """Delete it, and return what was deleted. Raises Locked, BadData as above, InputOutput when deleting fails."""
    with run.lock():
        gone = _doomed(run, keep, dead)
        try:
            for path in gone:
                if path == run.path:
                    # Renamed first: a run that is deleted half-way must not look like a run.
                    grave = path.with_name(f".deleting-{path.name}")
                    os.rename(path, grave)
                    shutil.rmtree(grave)
                else:
                    Checkpoints(run.checkpoints).remove(path)
        except OSError as error:
            raise InputOutput(
                f"cannot delete: {error.strerror or error}",
                where=str(run.path),
                expected="a folder that can be changed",
                remedy="change its permissions",
            ) from error
    return gone


def _doomed(run: RunFolder, keep: int | None, dead: bool) -> list[Path]:
    checkpoints = Checkpoints(run.checkpoints)
    found = checkpoints.find()
    if found is None:
        return [run.path] if dead and run.summary().state in DEAD else []
    if keep is None:
        return []
    others = [path for path in checkpoints.all() if path != found.path]
    return others[: max(len(others) - (keep - 1), 0)]
