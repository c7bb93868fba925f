"""Runs the cells of a study one after another. What is finished is never run twice; what was begun goes on.

A cell is in one of four hands: nobody's, ours, another runner's (which holds its claim), or that of a training whose
runner was killed a moment ago (which holds its run folder). The last two are passed over and looked at again later.
"""

import json
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from think.core import plugins
from think.core.ablations import child
from think.core.ablations.cells import Cell, Study, deciding, run_folder
from think.core.ablations.ledger import Entry, Ledger
from think.core.ablations.measures import FAMILY
from think.core.assembled import read_settings
from think.core.errors import BadData, Exit, Interrupted, Terminated, ThinkError
from think.core.provenance import commit, digest_of
from think.core.runs import RunFolder
from think.core.training.stop import Stop

TRAINED_BY = ("kernels", "core/models", "core/training", "core/data")
"Source whose digest is kept with each cell, so that a report can say where the two of a pair had other code."

WAIT_SECONDS = 1.0
"Between two looks at a cell that somebody else is training."


@dataclass(frozen=True)
class Seen:
    """What a watcher hears: the cell under way, how much of it is done (0 to 1), and a few words."""

    cell: Cell
    share: float
    note: str


@dataclass
class Outcome:
    """How a run of a study ended: names of cells."""

    finished: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return not self.failed and not self.left


@dataclass
class Runner:
    """Runs cells of one study here.

    program  how `think` is started, without its arguments; it must stop when its standard input closes
    retry    try cells again that failed
    seconds  begin no further cell after so long
    """

    study: Study
    root: Path
    program: Sequence[str]
    retry: bool = False
    seconds: float | None = None
    watch: Callable[[Seen], None] = lambda seen: None
    say: Callable[[str], None] = lambda text: None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.root)
        self.began = self.clock()
        self.total = 0

    def run(self, cells: Sequence[Cell]) -> Outcome:
        """Run what is not finished. Raises Interrupted or Terminated once the cell under way has saved itself."""
        outcome, waiting, self.total = Outcome(), deque(cells), len(cells)
        passed_over = 0
        with Stop() as stop:
            while waiting:
                cell = waiting.popleft()
                if self._settled(cell, outcome):
                    passed_over = 0
                    continue
                if self._late():
                    outcome.left.append(cell.name)
                    continue
                self._obey(stop, outcome)
                with self.ledger.claim(cell.name) as ours:
                    busy = not ours or RunFolder(run_folder(self.root, cell)).holder() is not None
                    if not busy and self._train(cell, stop, outcome):
                        passed_over = 0
                        self._obey(stop, outcome)
                        continue
                waiting.append(cell)
                passed_over += 1
                if passed_over >= len(waiting):  # everything that is left is in other hands
                    self.watch(Seen(cell, 0.0, f"{cell.name} is trained by another process; waiting"))
                    time.sleep(WAIT_SECONDS)
        return outcome

    def _settled(self, cell: Cell, outcome: Outcome) -> bool:
        """Whether there is nothing to do for this cell, which is then written into the outcome."""
        entry = self.ledger.read().of(cell.id)
        if entry.state == "finished":
            try:
                self._measure_more(cell, entry)
                outcome.already.append(cell.name)
            except ThinkError as error:
                outcome.failed[cell.name] = f"trained, but not measured: {error.what}"
        elif entry.state == "failed" and not self.retry:
            outcome.failed[cell.name] = entry.message or "failed"
        else:
            return False
        self.watch(Seen(cell, 1.0, f"{cell.name} was done before"))
        return True

    def _late(self) -> bool:
        return self.seconds is not None and self.clock() - self.began >= self.seconds

    def _obey(self, stop: Stop, outcome: Outcome) -> None:
        if stop.asked is None:
            return
        done = len(outcome.finished) + len(outcome.already)
        kind = Terminated if stop.asked == signal.SIGTERM else Interrupted
        raise kind(
            f"stopped, as asked: {done} of {self.total} cells are finished",
            where=self.study.where,
            remedy=f"go on with: {self.study.command('run')}",
        )

    def _train(self, cell: Cell, stop: Stop, outcome: Outcome) -> bool:
        """Train one cell; False when somebody else holds it after all."""
        facts = self._facts(cell)
        self.ledger.append("begun", facts)
        self.watch(Seen(cell, 0.0, cell.name))
        folder = run_folder(self.root, cell)
        ended = child.train(
            self.program,
            ["train", *_arguments(cell, folder), "--json"],
            folder.with_name(f"{cell.name}.log"),
            stop,
            lambda: self.watch(_progress(cell, folder)),
        )
        if ended.code == Exit.LOCKED:
            return False
        told = {**facts, "seconds": round(ended.seconds, 3)}
        killed = ended.code < 0 or ended.code in (Exit.INTERRUPTED, Exit.TERMINATED)
        if ended.code == Exit.DONE:
            self._finish(cell, told, outcome)
        elif killed and stop.asked is not None:
            self.ledger.append("stopped", {**told, "exit": ended.code, "message": ended.message})
            self._obey(stop, outcome)
        else:
            event = "stopped" if killed else "failed"
            self._fail(cell, event, told, ended.code, ended.message or event, outcome)
        return True

    def _finish(self, cell: Cell, told: dict[str, object], outcome: Outcome) -> None:
        folder = RunFolder(run_folder(self.root, cell))
        try:
            _require_asked(cell, folder)
            figures = _measured(folder, self.study.settings.measures)
        except ThinkError as error:
            self._fail(cell, "failed", told, int(error.exit), str(error.what), outcome)
            return
        measures = list(self.study.settings.measures)
        self.ledger.append("finished", {**told, "figures": figures, "measures": measures})
        outcome.finished.append(cell.name)
        metric = self.study.settings.metric
        self.watch(Seen(cell, 1.0, f"{cell.name}: {metric} {figures[metric]:.4f}"))

    def _fail(self, cell: Cell, event: str, told: dict[str, object], code: int, message: str, outcome: Outcome) -> None:
        self.ledger.append(event, {**told, "exit": code, "message": message})
        outcome.failed[cell.name] = message
        self.say(f"{cell.name} failed: {message}")
        self.watch(Seen(cell, 1.0, f"{cell.name} failed"))

    def _measure_more(self, cell: Cell, entry: Entry) -> None:
        """Take figures that the study wants and no earlier study took."""
        missing = [name for name in self.study.settings.measures if name not in entry.measures]
        if missing:
            figures = _measured(RunFolder(self.root / entry.run), missing)
            self.ledger.append("measured", {"cell": cell.id, "figures": figures, "measures": missing})

    def _facts(self, cell: Cell) -> dict[str, object]:
        return {
            "cell": cell.id,
            "study": self.study.name,
            "variant": cell.variant.name,
            "seed": cell.seed,
            "run": str(run_folder(self.root, cell).relative_to(self.root)),
            "parameters": cell.parameters,
            "shared": cell.shared.as_json(),
            "code": digest_of(TRAINED_BY),
            "commit": commit()[0],
        }


def _arguments(cell: Cell, folder: Path) -> list[str]:
    """To begin a cell, or to go on with it: its folder holds all that it needs once it was begun."""
    run = RunFolder(folder)
    if folder.is_dir() and not run.is_blank():
        return ["stage1", "--resume", "--out", str(folder.absolute())]
    return cell.command(str(folder.absolute()))


def _progress(cell: Cell, folder: Path) -> Seen:
    summary = RunFolder(folder).summary()
    if not summary.step or not summary.steps:
        return Seen(cell, 0.0, f"{cell.name} begins")
    loss = "" if summary.loss is None else f", loss {summary.loss:.3f}"
    return Seen(cell, summary.step / summary.steps, f"{cell.name}: step {summary.step:,} of {summary.steps:,}{loss}")


def _require_asked(cell: Cell, folder: RunFolder) -> None:
    """Raises BadData when the run was not made with the settings and data that its cell stands for."""
    trained = read_settings(folder.settings_file)
    pack = json.loads(folder.plan_file.read_text(encoding="utf-8"))["digests"]["pack"]
    if deciding(trained) != deciding(cell.settings) or pack != cell.shared.pack:
        raise BadData(
            "this run was trained with other settings or data than its cell stands for",
            where=str(folder.path),
            expected="a run folder that only the study wrote",
            remedy="delete the folder, and run the study again with --retry",
        )


def _measured(run: RunFolder, names: Sequence[str]) -> dict[str, float]:
    return {figure: value for name in names for figure, value in plugins.load(FAMILY, name).measure(run).items()}


def states(ledger: Ledger, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Entry]]:
    """Each cell with what the ledger says of it."""
    contents = ledger.read()
    for cell in cells:
        yield cell, contents.of(cell.id)
