"""Everything that can go wrong on purpose, and the exit code of each.

    ThinkError            where, what, expected, remedy
    ├── UsageError        2    the command line asks for something that does not exist
    ├── NoVerdict         3    a gate has no evidence, or an earlier gate blocks it
    ├── Diverged          4    a loss or gradient is not finite
    ├── MachineCannot     5    this machine lacks what was asked for by name
    ├── BadData           65   the input is not what it claims to be
    ├── Missing           66   a needed run, file or package is not there
    ├── InputOutput       74   the disk is full, read-only or failing
    ├── Locked            75   somebody else is writing
    ├── BadSettings       78   settings contradict each other or the run they meet
    ├── Interrupted       130  Ctrl-C, after a checkpoint
    └── Terminated        143  SIGTERM, after a checkpoint

`cli/app.py` is the only place that turns these into text and an exit code. Standard library only.
"""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the `think` command; a public contract."""

    DONE = 0
    GATE_FAILED = 1
    USAGE = 2
    NO_VERDICT = 3
    DIVERGED = 4
    MACHINE_CANNOT = 5
    BAD_DATA = 65
    MISSING = 66
    BUG = 70
    INPUT_OUTPUT = 74
    LOCKED = 75
    BAD_SETTINGS = 78
    INTERRUPTED = 130
    TERMINATED = 143


class ThinkError(Exception):
    """An error that a user can act on.

    what      what is wrong, with the value that came
    where     file:line, key, run or record; None when the command itself is the place
    expected  what would have been right
    remedy    the next thing to do, a command where there is one
    rank      where a run has several processes: the one that says this for all; None when only this one knows of it
    """

    exit: Exit = Exit.BUG
    rank: int | None = None

    def __init__(self, what: str, *, where: str | None = None, expected: str | None = None, remedy: str | None = None):
        super().__init__(what)
        self.what, self.where, self.expected, self.remedy = what, where, expected, remedy

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.expected:
            lines.append(f"expected: {self.expected}")
        if self.remedy:
            lines.append(f"remedy: {self.remedy}")
        return "\n    ".join(lines)

    def as_json(self) -> dict[str, str | int | None]:
        """The `error` object of a JSON envelope."""
        return {
            "code": self.exit.name.lower(),
            "exit": int(self.exit),
            "where": self.where,
            "message": self.what,
            "expected": self.expected,
            "remedy": self.remedy,
        }


class UsageError(ThinkError):
    exit = Exit.USAGE


class GateFailed(ThinkError):
    exit = Exit.GATE_FAILED


class NoVerdict(ThinkError):
    exit = Exit.NO_VERDICT


class Diverged(ThinkError):
    """Training met a number that is not finite; names the last good checkpoint."""

    exit = Exit.DIVERGED


class MachineCannot(ThinkError):
    exit = Exit.MACHINE_CANNOT


class BadData(ThinkError):
    exit = Exit.BAD_DATA


class Missing(ThinkError):
    exit = Exit.MISSING


class InputOutput(ThinkError):
    exit = Exit.INPUT_OUTPUT


class Locked(ThinkError):
    exit = Exit.LOCKED


class BadSettings(ThinkError):
    exit = Exit.BAD_SETTINGS


class Interrupted(ThinkError):
    exit = Exit.INTERRUPTED


class Terminated(ThinkError):
    exit = Exit.TERMINATED
