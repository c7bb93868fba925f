"""What can be wrong with settings, in words: one `Problem` per mistake, one `SettingsError` for all of them.

Standard library only, so that a command that merely lists presets, and the place that prints errors, stay fast.
"""

import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass

BAD_SETTINGS = 78
MISSING = 66

_CODES = {BAD_SETTINGS: "bad_settings", MISSING: "missing"}


@dataclass(frozen=True)
class Problem:
    """One mistake: where it stands, what came, what would be right, and the next thing to do."""

    what: str
    where: str | None = None
    expected: str | None = None
    remedy: str | None = None

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.expected:
            lines.append(f"expected: {self.expected}")
        if self.remedy:
            lines.append(f"remedy: {self.remedy}")
        return "\n    ".join(lines)


class SettingsError(Exception):
    """All the mistakes that one reading of settings found.

    Exit code 78; 66 when what the user named is not there. The package `presets` imports nothing of ours, so this is
    no ThinkError; it has the same face (`exit`, `what`, `where`, `expected`, `remedy`, `as_json`).
    """

    def __init__(self, problems: Iterable[Problem], *, exit: int = BAD_SETTINGS):
        self.problems: Sequence[Problem] = tuple(problems)
        if not self.problems:
            raise ValueError("a SettingsError needs at least one problem")
        self.exit = exit
        super().__init__(str(self))

    @property
    def what(self) -> str:
        return self.problems[0].what if len(self.problems) == 1 else f"{len(self.problems)} mistakes in the settings"

    @property
    def where(self) -> str | None:
        return self.problems[0].where

    @property
    def expected(self) -> str | None:
        return self.problems[0].expected

    @property
    def remedy(self) -> str | None:
        return self.problems[0].remedy

    def __str__(self) -> str:
        listed = "\n".join(str(problem) for problem in self.problems)
        return listed if len(self.problems) == 1 else f"{len(self.problems)} mistakes in the settings\n{listed}"

    def as_json(self) -> dict[str, object]:
        """The `error` object of a JSON envelope, with every problem."""
        return {
            "code": _CODES[self.exit],
            "exit": int(self.exit),
            "where": self.where,
            "message": self.what,
            "expected": self.expected,
            "remedy": self.remedy,
            "problems": [asdict(problem) for problem in self.problems],
        }


def nearest(word: str, legal: Collection[str]) -> str | None:
    """The legal word most like `word`, or None when nothing is like it; case and dashes do not count."""
    folded = {_fold(name): name for name in sorted(legal, reverse=True)}
    found = difflib.get_close_matches(_fold(word), list(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def listed(names: Collection[str], limit: int = 24) -> str:
    """Names in one line, cut with a count when there are too many to read."""
    ordered = sorted(names)
    shown = ", ".join(ordered[:limit])
    return shown if len(ordered) <= limit else f"{shown} and {len(ordered) - limit} more"


def _fold(word: str) -> str:
    return word.lower().replace("-", "_")
