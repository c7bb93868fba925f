"""Ways to run cells elsewhere: one file a launcher, found by its name.

A launcher exports `SPEC = Launcher(launch, about)`. It gets one command for each cell, as a list of arguments, each of
which trains its cell and writes the same ledger; so the folder of runs must be one that all machines see. What it needs
is imported when it is asked for, and MachineCannot says how to install it.
"""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from think.core.errors import MachineCannot

FAMILY = "think.core.ablations.launchers"


@dataclass(frozen=True)
class Job:
    """One cell: its name, the command that trains it, and the folder that its paths are relative to."""

    name: str
    command: tuple[str, ...]
    folder: str


@dataclass(frozen=True)
class Launched:
    """A job as its launcher knows it; `code` is its exit code where the launcher waits for it."""

    job: Job
    id: str
    code: int | None = None


Launch = Callable[[Sequence[Job], Path, Mapping[str, object]], list[Launched]]
"jobs, a folder for logs, resources by the launcher's own names -> the jobs as they are known there"


@dataclass(frozen=True)
class Launcher:
    """What a launcher's file exports. waits: it returns when all jobs have ended."""

    launch: Launch
    waits: bool


def absent(package: str, name: str) -> MachineCannot:
    """The error of a launcher whose package is not installed."""
    return MachineCannot(
        f"the launcher {name} needs the package {package!r}, which is not installed",
        where=f"--launcher {name}",
        expected=f"{package} in this environment",
        remedy=f"pip install {package}; or leave out --launcher, and the cells run here one after another",
    )


def call(command: Sequence[str], folder: str) -> int:
    """Run one job to its end, wherever this is called, and give its exit code."""
    return subprocess.run(list(command), cwd=folder, check=False, stdin=subprocess.DEVNULL).returncode
