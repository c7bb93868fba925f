"""A scene to look at: two runs with everything in it, made of formulas, at a frozen time. And a feed that plays it."""

import math
import threading
from collections.abc import Iterable
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from think.tui.view import (
    Comparison,
    Difference,
    Event,
    Finding,
    GateBoard,
    GateRow,
    Limit,
    LogLine,
    LogPage,
    LogQuery,
    Matrix,
    Notice,
    RunRow,
    RunView,
    Sample,
    Series,
    Setting,
    View,
    read_only,
)

NOW = 1_800_000_000.0
STARTED = NOW - 400.0


def series(name: str, values: Iterable[float], every: int = 1, *, sampled: bool = False) -> Series:
    value = np.array(list(values))
    steps = (np.arange(len(value)) + 1) * every
    finite = np.where(np.isfinite(value), value, np.nan)
    return Series(
        name,
        steps=read_only(steps),
        times=read_only(STARTED + steps),
        minimum=read_only(finite),
        maximum=read_only(finite),
        mean=read_only(finite),
        last=read_only(value),
        count=read_only(np.ones(len(value))),
        non_finite=read_only((~np.isfinite(value)).astype(float)),
        sampled=sampled,
    )


def falling(start: float, end: float, count: int, wobble: float = 0.0) -> list[float]:
    return [
        end + (start - end) * math.exp(-4 * place / count) + wobble * math.sin(place * 12.9898)
        for place in range(count)
    ]


def row(name: str = "first", **changes: object) -> RunRow:
    held = RunRow(
        name=name,
        path=f"runs/{name}",
        state="running",
        stage="stage1",
        preset="cpu_smoke",
        step=412,
        steps=1000,
        loss=4.1849,
        held_out=4.5744,
        held_out_step=400,
        speed=2690.6,
        time_left=571.0,
        gates=MappingProxyType({"PASS": 3, "NO_EVIDENCE": 1}),
        updated=NOW - 1.0,
        started=STARTED,
        silence=1.0,
        stalled_after=5.0,
        parameters=201_292,
        pid=4242,
        host="bench",
        anomalies=1,
    )
    return replace(held, **changes)  # type: ignore[arg-type]


def run(of: RunRow, *, exact: bool = True, spike: bool = True) -> RunView:
    loss = falling(6.24, 4.2, 412, 0.05)
    if spike:
        loss[200] = 7.9
    norms = falling(3.0, 0.6, 412, 0.1)
    norms[300] = math.nan
    curves = {
        "step.loss": series("step.loss", loss, sampled=not exact),
        "eval.loss": series("eval.loss", falling(6.2, 4.5, 41), every=10),
        "step.learning_rate": series("step.learning_rate", [0.004 * min(1, (n + 1) / 20) for n in range(412)]),
        "step.gradient_norm": series("step.gradient_norm", norms),
        "step.tokens_per_second": series("step.tokens_per_second", [2690 + 40 * math.sin(n / 7) for n in range(412)]),
        "step.entropy": series("step.entropy", falling(6.2, 5.1, 412)),
    }
    shares = {
        name: series(f"share.{name}", [share + 0.02 * math.sin(n) for n in range(41)], every=10)
        for name, share in (("embedding", 0.55), ("rwkv", 0.2), ("mamba", 0.15), ("ffn", 0.1))
    }
    health = Matrix(
        rows=tuple((layer, branch) for layer in range(3) for branch in ("rwkv", "mamba")),
        columns=("norm", "largest", "participation", "rank", "cosine"),
        values=read_only([[25.2 - n, 168.8 + n, 2.2, 10.8, 0.89 + n / 100] for n in range(6)]),
        steps=read_only([400.0] * 6),
    )
    anomaly = Event("anomaly", NOW - 212, 201, "warning", "loss 7.9 is above 3 deviations", 7.9, 5.2, "loss_spike")
    return RunView(
        row=of,
        curves=MappingProxyType(curves),
        shares=MappingProxyType(shares),
        limits=(
            Limit("step.gradient_norm", 2.5, "g3 passes to"),
            Limit("eval.loss", 1.0, "g3 passes to"),
        ),
        layers=MappingProxyType({"state_health": health}),
        anomalies=(anomaly,),
        anomaly_count=1,
        events=(
            Event("run_start", STARTED, None, "info", "stage1, cpu_smoke, seed 0, process 4242 on bench"),
            anomaly,
            Event("checkpoint", NOW - 12, 400, "info", "checkpoints/step-00000400, 2.2 MB in 0.05 s"),
        ),
        samples=(Sample("report.md, seed 0", "Once upon a time there was [b]a cat[/b] with a red hat.", 400),),
        settings=(
            Setting("model.width", "64", "think/presets/files/cpu_smoke.toml:6"),
            Setting("stage1.steps", "1000", "--set stage1.steps"),
            Setting("stage1.rows", "4", "THINK_STAGE1__ROWS"),
        ),
        facts=MappingProxyType({"seed": "0", "device": "cpu", "threads": "1"}),
        records=480,
        done=1.0 if exact else 0.4,
        exact=exact,
    )


def gates() -> GateBoard:
    finding = Finding("entropy", "PASS", "entropy 6.223 nats of ln 512 = 6.238 (n = 1,536)", "at least 0.95 of ln V")
    return GateBoard(
        rows=(
            GateRow(
                "g0", "the ground that everything stands on", "PASS", "one id each (n = 8)", age=90.0, blocks=("g1",)
            ),
            GateRow(
                "g1",
                "what every model must keep",
                "FAIL",
                "full == chunks: error 0.2, wanted at most 1e-4",
                findings=(finding, Finding("chunks", "FAIL", "error 0.2", "at most 1e-4", 0.2, 7)),
                time="2027-01-15T08:00:00Z",
                age=80.0,
                after="g0",
                blocks=("g2", "g3"),
                remedy="look at the state handed on between chunks",
                source=MappingProxyType({"run": "first", "seed": "0"}),
            ),
            GateRow("g2", "entropy at the start", "BLOCKED", "g1 is FAIL", after="g1", blocked_by="g1", blocks=("g3",)),
            GateRow("g3", "learning at all", after="g2", blocked_by="g1"),
        )
    )


def log(query: LogQuery, count: int = 500) -> LogPage:
    lines = [
        LogLine(n, "step", n, STARTED + n, f"loss {6 - n / 1000:.4f}", f'{{"kind":"step","step":{n},"loss":"nan"}}')
        for n in range(count)
    ]
    lines[count - 2] = replace(lines[count - 2], kind="anomaly", text="loss spike", level="warning")
    words = query.text.split()
    kept = [line for line in lines if all(word in line.raw or word in line.kind for word in words)]
    end = len(kept) - query.newest
    page = kept[max(end - query.lines, 0) : end]
    return LogPage(query, tuple(page), len(kept), query.newest, complete=True)


def view(number: int = 1, **changes: object) -> View:
    first, second = (
        row(),
        row("second", state="finished", step=1000, time_left=None, held_out=4.41, loss=4.0, anomalies=0),
    )
    third = row("third", state="dead", step=12, speed=None, time_left=None, gates=MappingProxyType({}), held_out=None)
    held = View(
        number=number,
        time=NOW,
        target="runs",
        runs=(first, second, third),
        selected="first",
        run=run(first),
        gates=gates(),
        log=log(LogQuery()),
    )
    return replace(held, **changes)  # type: ignore[arg-type]


def compared() -> View:
    second = row("second", state="finished", step=1000)
    comparison = Comparison(
        "first",
        "second",
        settings=(Difference("stage1.rows", "4", "16", "--set stage1.rows", "think/presets/files/cpu_smoke.toml:35"),),
        results=(Difference("held-out loss", "4.5744", "4.4100"),),
    )
    return view(compared="second", other=run(second, spike=False), comparison=comparison)


HOSTILE = "\\x1b[31mred [bold]not bold[/bold] [link=file:///etc/passwd]x"
"What a view makes of an escape sequence and markup in a file."


class FakeFeed:
    """Plays views that a test hands in, and remembers what it was asked."""

    def __init__(self, *views: View) -> None:
        self.views = list(views) or [view()]
        self.asked: list[tuple[str, object]] = []
        self.error: Exception | None = None
        self.closed = False
        self._wanted: list[View] = []
        self._roused = threading.Event()

    def give(self, *views: View) -> None:
        self.views += views

    def select(self, name: str | None) -> None:
        self.asked.append(("select", name))

    def compare(self, name: str | None) -> None:
        self.asked.append(("compare", name))

    def filter(self, query: LogQuery) -> None:
        self.asked.append(("filter", query))

    def replay(self, until: int | None) -> None:
        self.asked.append(("replay", until))

    def give_way(self) -> None:
        """There is nothing to rest from."""

    def tick(self) -> View | None:
        if self.error is not None:
            raise self.error
        return self.views.pop(0) if self.views else None

    @property
    def busy(self) -> bool:
        return bool(self.views)

    def rest(self) -> None:
        self._roused.wait(0.1)
        self._roused.clear()

    def rouse(self) -> None:
        self._roused.set()

    def close(self) -> None:
        self.closed = True


def notice(text: str) -> Notice:
    return Notice("warning", text)
