"""One run that is watched: its index, whether its process lives, and what else its folder says."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from think.core import settings_file
from think.core.runs import RunFolder
from think.core.telemetry.index import Index
from think.core.telemetry.process import Identity
from think.core.telemetry.writer import segments
from think.tui.view import GateBoard, RunRow, RunView, Setting, State
from think.tui.views import gates, run

ALIVE_SECONDS = 1.0
"Between two looks at whether a process lives: a killed one is shown within two."

FILES_SECONDS = 1.0
"Between two looks at files other than telemetry."

FRESH_GATES = ".gates.jsonl"


@dataclass
class Watch:
    """A run folder. `opened`: whether it was looked at; before that only its name is known."""

    name: str
    path: Path
    is_alive: Callable[[Identity], bool | None]
    index: Index = field(init=False)
    opened: bool = False
    changed: bool = True
    files: run.Files = field(default_factory=run.Files)
    board: GateBoard = field(default_factory=GateBoard)
    _lives: bool | None = None
    _asked: float = -ALIVE_SECONDS
    _looked: float = -FILES_SECONDS
    _stamps: dict[str, tuple[int, int, int] | None] = field(default_factory=dict)
    _state: State = "unread"

    def __post_init__(self) -> None:
        self.index = Index(self.path)

    def open(self) -> None:
        """Look at the run for the first time; bounded work."""
        if not self.opened:
            self.opened = self.changed = True
            self.index.open()

    def follow(self, until: Callable[[], bool], now: float, mono: float) -> bool:
        """Read what is new, and ask whether the process lives; whether there is more to read."""
        more = self.index.follow(until)
        state = self.state(now, mono)
        self.changed |= self.index.changed or state != self._state
        self.index.changed = False
        self._state = state
        return more

    def state(self, now: float, mono: float) -> State:
        """The state now; a process is asked about once in ALIVE_SECONDS."""
        if not self.opened:
            return "unread"
        if self.index.gone:
            return "gone"
        if mono - self._asked >= ALIVE_SECONDS:
            self._asked = mono
            who = self.index.latest.who()
            self._lives = self.is_alive(who) if who is not None else None
        return self.index.latest.state(now, lambda who: self._lives)

    def forget_life(self) -> None:
        """Ask at once whether the process lives: another process may have begun."""
        self._asked = -ALIVE_SECONDS

    def read_files(self, now: float, mono: float, *, force: bool = False) -> None:
        """Read settings, plan, samples and verdicts where they changed; see whether a text was deliberated about."""
        if not force and mono - self._looked < FILES_SECONDS:
            return
        self._looked = mono
        if self._moved("settings.toml", "plan.json", "report.md"):
            found: tuple[Setting, ...] = ()
            problem = None
            try:
                found = settings_file.read(self.path / "settings.toml")
            except settings_file.Unreadable as error:
                problem = str(error)
            self.files = run.read_files(self.path, found, problem)
            self._stamps.pop("gates.jsonl", None)
            self.changed = True
        if self._moved("gates.jsonl", f"../{FRESH_GATES}"):
            own, problems = gates.read(self.path / "gates.jsonl")
            fresh, others = gates.read(self.path.parent / FRESH_GATES)
            self.board = gates.board(own, fresh, self.files.digests, self.files.settings, [*problems, *others], now)
            self.changed = True

        newest = segments(RunFolder(self.path).deliberations)[-1:]
        self.changed |= self._moved(*(f"{file.parent.name}/{file.name}" for file in newest))

    def _moved(self, *names: str) -> bool:
        moved = False
        for name in names:
            try:
                stat = os.stat(self.path / name)
                stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            except OSError:
                stamp = None
            if name not in self._stamps or self._stamps[name] != stamp:
                self._stamps[name] = stamp
                moved = True
        return moved

    def row(self, now: float, mono: float) -> RunRow:
        """The run's line in the table."""
        return run.row(
            self.name,
            self.path,
            self.index.latest,
            self.state(now, mono),
            now,
            gates=self.board.counts(),
            anomalies=self.index.curves.event_counts["anomaly"],
            notices=len(run.notices(self.index, self.files)),
        )

    def view(self, row: RunRow, until: int | None) -> RunView:
        """The run in full."""
        return run.view(row, self.index, self.files, until)
