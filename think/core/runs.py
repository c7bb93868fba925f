"""Run folders: where everything about one run lives, and who may write there.

    runs/<name>/
        settings.toml           resolved settings with their origins
        plan.json               everything derived from them
        telemetry-0001.jsonl …  one segment a process start
        checkpoints/            see training/checkpoint.py
        gates.jsonl             verdicts with their evidence
        report.md  plots/       written by `think.core.report`
        deliberations/          telemetry of texts that were written with deliberation, one segment a process
        .lock                   who is writing: process, host and boot

Torch-free and standard library only, so that `think runs list` is quick.
"""

import contextlib
import difflib
import errno
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from think.core.errors import BadSettings, InputOutput, Locked, Missing, UsageError
from think.core.telemetry.process import Identity, alive, identity
from think.core.telemetry.summary import Summary
from think.core.telemetry.writer import segments

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LEFT_BEHIND = re.compile(r"\.lock|\..+\.new")
_NUMBERED = re.compile(r"(.+)-(\d{4,})")

SILENT_SECONDS = 60.0
"A writer on another host whose newest segment did not change for so long is taken for gone: six missed heartbeats."


@dataclass(frozen=True)
class RunFolder:
    """One run's folder; a value that names paths, not a handle."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def settings_file(self) -> Path:
        return self.path / "settings.toml"

    @property
    def plan_file(self) -> Path:
        return self.path / "plan.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def gates_file(self) -> Path:
        return self.path / "gates.jsonl"

    @property
    def report_file(self) -> Path:
        return self.path / "report.md"

    @property
    def plots(self) -> Path:
        return self.path / "plots"

    @property
    def deliberations(self) -> Path:
        return self.path / "deliberations"

    @property
    def lock_file(self) -> Path:
        return self.path / ".lock"

    @classmethod
    def create(cls, root: Path, name: str) -> "RunFolder":
        """Make the folder of a new run; one of that name that is still blank is taken.

        name: a plain name below `root`, or a path of its own when it holds a separator.
        Raises UsageError when there is a run already, InputOutput when the folder cannot be made.
        """
        run = cls(locate(root, name))
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            occupied = not run.is_blank()
        except OSError as error:
            raise _cannot("make the run folder", run.path, error) from error
        if occupied:
            raise UsageError(
                "there is something in this folder already",
                where=str(run.path),
                expected="a new name, or an empty folder",
                remedy="continue that run with --resume, or give another name with --out",
            )
        return run

    @classmethod
    def numbered(cls, root: Path, prefix: str) -> "RunFolder":
        """Make the folder of a new run with the next free number: `prefix`-0001, `prefix`-0002, …

        Numbers need no clock, and two processes that ask at once get different ones.
        """
        prefix = re.sub(r"[^A-Za-z0-9._-]+", "-", prefix).strip("-.") or "run"
        try:
            root.mkdir(parents=True, exist_ok=True)
            while True:
                taken = [int(match[2]) for name in os.listdir(root) if (match := _match_number(name, prefix))]
                path = root / f"{prefix}-{max(taken, default=0) + 1:04d}"
                with contextlib.suppress(FileExistsError):
                    path.mkdir()
                    return cls(path)
        except OSError as error:
            raise _cannot("make a run folder", root, error) from error

    @classmethod
    def open(cls, root: Path, name: str) -> "RunFolder":
        """The folder of an existing run, by name below `root` or by path. Raises Missing with the nearest names."""
        run = cls(locate(root, name))
        try:
            if run.exists():
                return run
        except OSError as error:
            raise _cannot("open the run", run.path, error) from error
        available = [other.name for other in runs(root)]
        nearest = difflib.get_close_matches(name, available, n=1)
        raise Missing(
            f"there is no run {name!r}" if not run.path.is_dir() else "this folder holds no run",
            where=str(run.path),
            expected=f"one of {', '.join(available[-8:])}" if available else "a run; there is none yet",
            remedy=f"did you mean {nearest[0]!r}?" if nearest else "list the runs with `think runs list`",
        )

    def exists(self) -> bool:
        """Whether the folder holds a run: its settings, telemetry or checkpoints."""
        return self.settings_file.is_file() or bool(segments(self.path)) or self.checkpoints.is_dir()

    def is_blank(self) -> bool:
        """Whether nothing was written yet: at most the lock, and files half-written, of a process that was killed.

        Raises OSError when the folder cannot be looked at.
        """
        return all(_LEFT_BEHIND.fullmatch(entry.name) for entry in self.path.iterdir())

    def summary(self) -> Summary:
        """State and latest figures, read from the end of the telemetry."""
        return Summary.of(self.path)

    def holder(self) -> Identity | None:
        """The process that writes this run now, as far as can be seen without disturbing it; None when nobody does."""
        who = _read_identity(self.lock_file)
        if who is None:
            return None
        lives = alive(who)
        return who if lives or (lives is None and self._recently_written()) else None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the run's only writer inside the `with`.

        Raises Locked, naming the holder, when another process is; a lock left by a dead process is taken over.
        """
        descriptor = self._acquire()
        try:
            yield
        finally:
            # Emptied, not removed: a removed file could be locked by somebody who opened it just before.
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
            os.close(descriptor)

    def _acquire(self) -> int:
        try:
            with _guard(self.path):
                return self._acquire_guarded()
        except OSError as error:
            raise _cannot("lock the run", self.path, error) from error

    def _acquire_guarded(self) -> int:
        """Open and lock the lock file. Only one process at a time is in here."""
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            free = _flock(descriptor)
            who = _read_identity(self.lock_file)
            if who is not None and self._still_writes(who, free):
                raise self._locked(who)
            if free is False:
                if who is None:
                    raise self._locked(None)
                # The holder died, but a process it forked keeps its lock open: leave that file to it.
                os.close(descriptor)
                os.unlink(self.lock_file)
                descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
                _flock(descriptor)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(identity().as_json()).encode("ascii") + b"\n", 0)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _still_writes(self, who: Identity, free: bool | None) -> bool:
        lives = alive(who)
        if lives is None:  # another host, whose locks this file system may not show
            return free is False or self._recently_written()
        if who == identity() and free:
            return False  # this very process held it before and could not empty the file
        return lives

    def _recently_written(self) -> bool:
        found = segments(self.path)
        with contextlib.suppress(OSError):
            return bool(found) and time.time() - found[-1].stat().st_mtime < SILENT_SECONDS
        return False

    def _locked(self, who: Identity | None) -> Locked:
        return Locked(
            f"this run is being written by {who or 'another process'}",
            where=str(self.path),
            expected="one writer a run",
            remedy="wait for it or stop it"
            + (f" (kill {who.pid})" if who else "")
            + "; to start beside it, give another --out",
        )


def locate(root: Path, name: str) -> Path:
    """The folder a run name stands for: below `root`, or itself when it is a path."""
    if "\0" not in name and (os.sep in name or name in (".", "..")):
        path = Path(name)  # forgets a leading "./": without a folder before it the path would read like a name
        return path if os.sep in str(path) else path.absolute()
    if not _NAME.fullmatch(name):
        raise BadSettings(
            f"{name!r} cannot name a run",
            expected="letters, digits, dots, dashes and underscores, beginning with a letter or digit",
            remedy="choose another name, or give a path such as ./folder/name",
        )
    return root / name


def runs(root: Path) -> list[RunFolder]:
    """All runs below `root`, sorted by name; empty when there is no such folder."""
    try:
        folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return []
    return [run for run in map(RunFolder, folders) if run.exists()]


def newest(root: Path, *, finished: bool = False, stage: str | None = None) -> RunFolder | None:
    """The run that was started last, of those asked for; None when there is none.

    finished: only runs that ended as planned.   stage: only runs of this stage, such as "stage1".
    """
    found = [(run.summary(), run) for run in runs(root)]
    found = [
        (summary, run)
        for summary, run in found
        if (not finished or summary.state == "finished") and (stage is None or summary.stage == stage)
    ]
    return max(found, key=lambda pair: (pair[0].started or 0.0, pair[1].name))[1] if found else None


def _match_number(name: str, prefix: str) -> re.Match[str] | None:
    match = _NUMBERED.fullmatch(name)
    return match if match and match[1] == prefix else None


def _read_identity(path: Path) -> Identity | None:
    try:
        return Identity.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


@contextmanager
def _guard(folder: Path) -> Iterator[None]:
    """Let one process at a time look at the lock and change it; held for moments only."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: the identity in the file has to do
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _flock(descriptor: int) -> bool | None:
    """Try to lock: true when we have it, false when somebody else has, None when the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL):
            return None
        raise
    return True


def _cannot(what: str, path: Path, error: OSError) -> InputOutput:
    return InputOutput(
        f"cannot {what}: {error.strerror or error}",
        where=str(path),
        expected="a folder that can be written, on a disk with room",
        remedy="free some space or change its permissions, or choose another folder with --out",
    )
