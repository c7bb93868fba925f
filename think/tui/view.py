"""What one frame of the monitor shows: immutable values, filled by the feed and read by the screens.

No input or output here and no textual. Every text in a view was made harmless (see core/text.py): it may be drawn as it
is, as text and never as markup. Arrays are read-only. Times are seconds since 1970, durations are seconds, losses are
nats per token. None says "not known (yet)".

    View            one frame: everything below, with a sequence number and the time at which it was made
      runs          a RunRow for each run that is watched, in the order of their names
      run           RunView of the selected run, with its curves
      other         RunView of the run it is compared with;  comparison: the settings in which the two differ
      gates         GateBoard of the selected run
      log           LogPage: the records that pass the filter
      handoff       HandoffView of the project; None where there is no handoff log
      extra         what further screens show, by the name of their file in think/tui/views/extra/
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from think.core.settings_file import Setting as Setting
from think.tui.boards import Finding as Finding
from think.tui.boards import GateBoard as GateBoard
from think.tui.boards import GateRow as GateRow
from think.tui.boards import HandoffView as HandoffView
from think.tui.boards import Level as Level
from think.tui.boards import Notice as Notice
from think.tui.boards import SessionRow as SessionRow
from think.tui.boards import TaskRow as TaskRow
from think.tui.boards import nothing

Array = NDArray[np.float64]
State = Literal[
    "created", "running", "stalled", "dead", "finished", "interrupted", "diverged", "failed", "gone", "unread"
]
"""unread: not looked at yet, the first frames of a folder with many runs;   gone: the folder was removed meanwhile."""

LIVE: frozenset[State] = frozenset({"running", "stalled"})


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One curve in at most some 4,096 buckets, ascending in step: the lowest, highest and last value of each.

    name       kind and field, such as "step.loss", "eval.loss", "component_gradients.norms.rwkv"
    steps      [n] last step in each bucket          times     [n] when that was, seconds since 1970
    minimum, maximum, mean, last   [n] of the finite values in the bucket; NaN where it has none
    count      [n] values in the bucket, those that are not finite included
    non_finite [n] how many of them were NaN or infinite: mark them, never hide them
    width      steps that share a bucket: 1 while the run is short
    sampled    true: so far made of probes, a short spike may be missing;   false: every record counted
    """

    name: str
    steps: Array
    times: Array
    minimum: Array
    maximum: Array
    mean: Array
    last: Array
    count: Array
    non_finite: Array
    width: int = 1
    sampled: bool = False

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def latest(self) -> float | None:
        """The newest value, finite or not; None without any."""
        if not len(self.steps):
            return None
        return float(self.last[-1]) if not self.non_finite[-1] or self.count[-1] > self.non_finite[-1] else math.nan


@dataclass(frozen=True, slots=True)
class RunRow:
    """One line of the table of runs.

    name       of the folder;  path: of the folder, as text
    step, steps  done and planned          speed      tokens per second over the last steps
    loss, held_out  newest                 time_left  only of a running run
    gates      word -> how many gates have it, such as {"PASS": 3, "FAIL": 1}; empty without verdicts
    updated    time of the newest record   started    of the run's newest process
    silence    seconds without a training record, at the time of the frame; stalled_after: when that is a stall
    notices    warnings and errors about its files
    """

    name: str
    path: str
    state: State
    stage: str | None = None
    preset: str | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    held_out: float | None = None
    held_out_step: int | None = None
    speed: float | None = None
    time_left: float | None = None
    gates: Mapping[str, int] = field(default_factory=nothing)
    updated: float | None = None
    started: float | None = None
    silence: float | None = None
    stalled_after: float | None = None
    parameters: int | None = None
    pid: int | None = None
    host: str | None = None
    message: str | None = None
    anomalies: int = 0
    notices: int = 0

    @property
    def progress(self) -> float | None:
        """Share of the planned steps, 0 to 1; None where either is unknown."""
        if self.step is None or not self.steps:
            return None
        return min(max(self.step / self.steps, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Event:
    """One record worth a line of its own: an anomaly, a checkpoint, a gate, a log line, a start, an end.

    limit, value: of an anomaly
    """

    kind: str
    time: float
    step: int | None
    level: Level
    text: str
    value: float | None = None
    limit: float | None = None
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """Text that the model wrote, or had to write, with where it comes from."""

    title: str
    text: str
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """A threshold of a gate or of an anomaly rule, drawn as a dashed line into the curve of that name."""

    curve: str
    value: float
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """The newest figures by layer: a row for each layer and branch ("" where there is none), a column for each figure.

    values  [rows, columns], NaN where it was not measured          steps  [rows] step of each row's newest record
    """

    rows: tuple[tuple[int, str], ...]
    columns: tuple[str, ...]
    values: Array
    steps: Array


@dataclass(frozen=True, slots=True, eq=False)
class RunView:
    """Everything about one run.

    curves     by name, as Series says; new kinds of records bring curves of their own
    shares     component -> share of the squared gradient norm, as a curve, 0 to 1
    layers     kind of record -> its newest figures by layer;   health: those of "state_health", None without any
    anomalies, events   newest last, at most some hundreds; `anomaly_count` counts all that were read
    counts     kind -> records read so far
    records    read so far;  exact: the whole history is read and every curve is exact; done: share of it, 0 to 1
    """

    row: RunRow
    curves: Mapping[str, Series] = field(default_factory=nothing)
    shares: Mapping[str, Series] = field(default_factory=nothing)
    limits: tuple[Limit, ...] = ()
    layers: Mapping[str, Matrix] = field(default_factory=nothing)
    anomalies: tuple[Event, ...] = ()
    anomaly_count: int = 0
    events: tuple[Event, ...] = ()
    samples: tuple[Sample, ...] = ()
    settings: tuple[Setting, ...] = ()
    facts: Mapping[str, str] = field(default_factory=nothing)
    counts: Mapping[str, int] = field(default_factory=nothing)
    records: int = 0
    bytes: int = 0
    done: float = 0.0
    exact: bool = False
    notices: tuple[Notice, ...] = ()

    def curve(self, name: str) -> Series | None:
        return self.curves.get(name)

    @property
    def health(self) -> Matrix | None:
        return self.layers.get("state_health")


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting in which two runs differ; "(absent)" where one does not have it."""

    key: str
    left: str
    right: str
    left_origin: str = ""
    right_origin: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side; their curves are in View.run and View.other."""

    left: str
    right: str
    settings: tuple[Difference, ...] = ()
    results: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class LogLine:
    """One record of the log. text: what it says in one line;   raw: the line as it stands in the file, at most 4 kB."""

    number: int
    kind: str
    step: int | None
    time: float
    text: str
    raw: str
    level: Level = "info"


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What the log screen asks for.

    text       words that must occur in the line as it stands in the file, all of them, in any case; "" for all.
               A word `kind:NAME` asks for records of that kind, a word with "!" before it must not occur
    newest     how far above the newest match the last line of the page is: 0 follows the end
    lines      lines of a page
    """

    text: str = ""
    newest: int = 0
    lines: int = 200


@dataclass(frozen=True, slots=True)
class LogPage:
    """One page of records, oldest first.

    total      records that match as far as was looked;   complete: all of the history was looked at
    newest     matches newer than the last line of this page
    """

    query: LogQuery = field(default_factory=LogQuery)
    lines: tuple[LogLine, ...] = ()
    total: int = 0
    newest: int = 0
    complete: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One whole frame.

    number     counts the frames of this feed from 1           time    when it was made
    target     the folder that is watched, as text             selected, compared  names of runs, None for none
    one_run    the target is one run's folder and not a folder of runs
    until      replay: nothing later than this step is shown; None: everything
    """

    number: int
    time: float
    target: str
    runs: tuple[RunRow, ...] = ()
    selected: str | None = None
    compared: str | None = None
    one_run: bool = False
    run: RunView | None = None
    other: RunView | None = None
    comparison: Comparison | None = None
    gates: GateBoard = field(default_factory=GateBoard)
    handoff: HandoffView | None = None
    log: LogPage = field(default_factory=LogPage)
    notices: tuple[Notice, ...] = ()
    until: int | None = None
    extra: Mapping[str, Any] = field(default_factory=nothing)

    def find(self, name: str) -> RunRow | None:
        """The row of a run."""
        return next((row for row in self.runs if row.name == name), None)


def read_only(values: Any) -> Array:
    """An array of float64 that nobody can write to."""
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array
