"""The project that tasks are about: its files by digest, and its commit. Standard library only."""

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from think.core.durable import sha256_of
from think.core.errors import InputOutput, Missing
from think.core.handoff.state import State, Status, Task


def digests(root: Path, patterns: Iterable[str], *, strict: bool = True) -> dict[str, str]:
    """Path -> sha256 of every file that the paths and patterns name, relative to `root`, sorted.

    strict: a pattern that names no file raises Missing. Raises InputOutput for a file that cannot be read.
    """
    found: dict[str, str] = {}
    for pattern in patterns:
        files = [path for path in _named(root, pattern) if path.is_file()]
        if strict and not files:
            raise Missing(
                f"no file is named by {pattern!r}",
                where=str(root),
                expected="the files that the task names" + (" (a folder is named as folder/**/*)"),
                remedy="make the file, or run think in the project's folder",
            )
        for path in files:
            try:
                found[path.relative_to(root).as_posix()] = sha256_of(path)
            except OSError as error:
                raise InputOutput(f"it cannot be read: {error.strerror}", where=str(path)) from error
    return dict(sorted(found.items()))


def _named(root: Path, pattern: str) -> list[Path]:
    return sorted(root.glob(pattern)) if any(mark in pattern for mark in "*?[") else [root / pattern]


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Paths that differ, are gone or are new."""
    return tuple(sorted(path for path in {*before, *now} if before.get(path) != now.get(path)))


def changed_since_done(root: Path, task: Task) -> tuple[str, ...]:
    """Files of a done task that are not what they were when it was done."""
    return changes(task.digests, digests(root, task.files, strict=False))


def overtaken(root: Path, state: State) -> dict[str, tuple[str, ...]]:
    """Done tasks whose files changed -> those files."""
    looked = ((task.id, changed_since_done(root, task)) for task in state.with_status(Status.DONE))
    return {id: files for id, files in looked if files}


def commit(root: Path, own: Iterable[Path] = ()) -> tuple[str | None, bool | None]:
    """The commit of the project and whether it has changes or untracked files; (None, None) outside version control.

    own: files and folders of the handoff log, which are always being changed.
    """
    git = shutil.which("git")
    if git is None:
        return None, None

    def ask(*arguments: str) -> str | None:
        answer = subprocess.run([git, "-C", str(root), *arguments], capture_output=True, text=True, check=False)
        return answer.stdout.strip() if answer.returncode == 0 else None

    head = ask("rev-parse", "HEAD")
    if head is None:
        return None, None
    excluded = [f":(exclude){path.relative_to(root)}" for path in own if path.is_relative_to(root)]
    changed = ask("status", "--porcelain", "--", ".", *excluded)
    return head, None if changed is None else bool(changed)
