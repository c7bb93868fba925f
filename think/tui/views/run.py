"""One run: its line in the table, its curves, what happened, what it is made of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from think.core.samples import samples
from think.core.telemetry.columns import figures
from think.core.telemetry.index import Index
from think.core.telemetry.latest import Latest
from think.core.telemetry.records import Record
from think.core.text import one_line
from think.tui.view import Event, Level, Limit, Matrix, Notice, RunRow, RunView, Sample, Setting, State, read_only
from think.tui.views.curves import LazyCurves, shares

LARGEST_TEXT = 256 * 1024

SETTINGS_AS_LIMITS = (
    ("gates.g3.gradient.warns_low", "step.gradient_norm", "g3 fails below"),
    ("gates.g3.gradient.passes_low", "step.gradient_norm", "g3 passes from"),
    ("gates.g3.gradient.passes_high", "step.gradient_norm", "g3 passes to"),
    ("gates.g3.gradient.warns_high", "step.gradient_norm", "g3 fails above"),
    ("stage1.anomalies.saturated_share", "state_health.saturated", "anomaly above"),
    ("stage1.anomalies.component_ratio", "component_gradients.ratio", "anomaly above"),
)
"Settings that are thresholds of a curve: key, curve, what the line says."


@dataclass(frozen=True)
class Files:
    """What else the run folder says, read when the files change."""

    settings: tuple[Setting, ...] = ()
    plan: Mapping[str, Any] | None = None
    samples: tuple[Sample, ...] = ()
    notices: tuple[Notice, ...] = ()

    @property
    def digests(self) -> dict[str, str]:
        held = self.plan.get("digests") if self.plan else None
        return {str(name): str(value) for name, value in held.items()} if isinstance(held, dict) else {}


def row(
    name: str,
    path: Path,
    latest: Latest,
    state: State,
    now: float,
    *,
    gates: Mapping[str, int],
    anomalies: int,
    notices: int,
) -> RunRow:
    """The line of a run in the table of runs."""
    start = latest.start.fields if latest.start is not None else {}
    step, steps = latest.step(), _whole(start.get("steps"))
    newest, evaluation, seconds = latest.newest_step(), latest.evaluation, latest.seconds_per_step()
    left = (steps - step) * seconds if steps is not None and step is not None and seconds is not None else None
    return RunRow(
        name=one_line(name),
        path=one_line(str(path)),
        state=state,
        stage=_text(start.get("stage")),
        preset=_text(start.get("preset")),
        step=step,
        steps=steps,
        loss=newest.loss if newest is not None else None,
        held_out=evaluation.number("loss") if evaluation is not None else None,
        held_out_step=evaluation.step if evaluation is not None else None,
        speed=latest.tokens_per_second(),
        time_left=left if state == "running" else None,
        gates=gates,
        updated=latest.updated,
        started=latest.start.time if latest.start is not None else None,
        silence=latest.silence(now),
        stalled_after=latest.stalled_after() if state in ("running", "stalled") else None,
        parameters=_whole(start.get("parameters")),
        pid=_whole(start.get("pid")),
        host=_text(start.get("host")),
        message=_text(latest.end.text("message")) if latest.end is not None else None,
        anomalies=anomalies,
        notices=notices,
    )


def view(row: RunRow, index: Index, files: Files, until: int | None = None) -> RunView:
    """Everything about a run of which the curves are read; `until`: nothing later than this step."""
    tables = index.tables()
    if until is not None:
        tables = {kind: table.up_to(until) for kind, table in tables.items()}
        row = _as_of(row, LazyCurves(tables, sampled=False), until)
    curves = LazyCurves(tables, sampled=not index.exact)
    shown = [event for event in map(_event, index.curves.newest(("anomaly",))) if _within(event, until)]
    events = [
        _event(record)
        for record in index.curves.newest(("checkpoint", "gate", "log", "run_start", "run_end", "anomaly"))
    ]
    layers = {
        one_line(kind): _matrix(
            {key: record for key, record in newest.items() if until is None or (record.step or 0) <= until}
        )
        for kind, newest in index.curves.layers.items()
    }
    return RunView(
        row=row,
        curves=curves,
        shares=shares(curves),
        limits=_limits(files.settings, index.latest),
        layers={kind: matrix for kind, matrix in layers.items() if matrix.rows},
        anomalies=tuple(shown),
        anomaly_count=index.curves.event_counts["anomaly"],
        events=tuple(event for event in events if _within(event, until)),
        samples=files.samples,
        settings=files.settings,
        facts=_facts(index.latest, files.plan),
        counts={one_line(kind): count for kind, count in index.curves.counts.items()},
        records=sum(index.curves.counts.values()),
        bytes=index.size,
        done=index.done,
        exact=index.exact,
        notices=notices(index, files),
    )


def notices(index: Index, files: Files) -> tuple[Notice, ...]:
    """What is wrong with the files of a run."""
    found = [Notice("warning", one_line(text), count) for text, count in index.notices.items() if count]
    if index.gone:
        found.append(Notice("error", "the run's folder is gone; what was read of it is shown"))
    if index.curves.left_out:
        count = len(index.curves.left_out)
        found.append(Notice("warning", "figures are not drawn, there are too many", count))
    return (*found, *files.notices)


def read_files(folder: Path, settings: tuple[Setting, ...], problem: str | None) -> Files:
    """The plan and the samples of a run folder beside its settings; what cannot be used becomes a notice."""
    found = [Notice("warning", problem)] if problem else []
    plan: dict[str, Any] | None = None
    shown: tuple[Sample, ...] = ()
    try:
        plan = json.loads(_read(folder / "plan.json"))
        if not isinstance(plan, dict):
            raise ValueError("no object")
    except FileNotFoundError:
        plan = None
    except (OSError, ValueError, RecursionError):
        plan, found = None, [*found, Notice("warning", "plan.json cannot be read")]
    try:
        report = _read(folder / "report.md").decode("utf-8", errors="replace")
        shown = tuple(Sample(title, text) for title, text in samples(report))
    except FileNotFoundError:
        shown = ()
    except OSError:
        found.append(Notice("warning", "report.md cannot be read"))
    return Files(settings, plan, shown, tuple(found))


def _read(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(LARGEST_TEXT)


def _as_of(row: RunRow, curves: Mapping[str, Any], until: int) -> RunRow:
    """The line of a run as it was after a step; speed and time left belong to the present and are left out."""

    def latest(name: str) -> tuple[float | None, int | None, float | None]:
        curve = curves.get(name)
        if curve is None or not len(curve):
            return None, None, None
        return float(curve.last[-1]), int(curve.steps[-1]), float(curve.times[-1])

    loss, step, time = latest("step.loss")
    held_out, held_out_step, _ = latest("eval.loss")
    speed, _, _ = latest("step.tokens_per_second")
    return replace(
        row,
        step=None if step is None else min(step, until),
        loss=loss,
        held_out=held_out,
        held_out_step=held_out_step,
        speed=speed,
        updated=time,
        time_left=None,
    )


def _within(event: Event, until: int | None) -> bool:
    return until is None or event.step is None or event.step <= until


LEVELS: dict[str, Level] = {"info": "info", "warning": "warning", "error": "error"}


def _event(record: Record) -> Event:
    level: Level = "info"
    match record.kind:
        case "anomaly":
            level, text = "warning", record.text("message") or record.text("rule") or "an anomaly without a message"
        case "checkpoint":
            text = f"saved {record.text('path') or 'a checkpoint'}"
        case "gate":
            text = f"{record.text('gate') or 'a gate'} {record.text('verdict') or ''} {record.text('reason') or ''}"
            level = "error" if record.text("verdict") == "FAIL" else "info"
        case "log":
            text, level = record.text("message") or "", LEVELS.get(record.text("level") or "info", "warning")
        case "run_start":
            resumed = record.fields.get("resumed_from_step")
            text = "started" if resumed is None else f"resumed from step {resumed}"
        case "run_end":
            status = record.text("status") or "ended"
            text, level = " ".join(filter(None, (status, record.text("message")))), _level_of_end(status)
        case _:
            text = "a record of a kind that this version does not know"
    return Event(
        kind=one_line(record.kind),
        time=record.time,
        step=record.step,
        level=level,
        text=one_line(text.strip()),
        value=record.number("value"),
        limit=record.number("limit"),
        rule=_text(record.text("rule")),
    )


def _level_of_end(status: str) -> Level:
    return "info" if status == "finished" else "error" if status in ("diverged", "failed") else "warning"


def _matrix(newest: Mapping[tuple[int, str], Record]) -> Matrix:
    keys = sorted(newest)
    numbers = [figures(newest[key]) for key in keys]
    columns = tuple(dict.fromkeys(name for found in numbers for name in found if name != "layer"))
    values = np.full((len(keys), len(columns)), np.nan)
    for number, found in enumerate(numbers):
        for column, name in enumerate(columns):
            if name in found:
                values[number, column] = found[name]
    steps = [newest[key].step or 0 for key in keys]
    rows = tuple((layer, one_line(branch, 64)) for layer, branch in keys)
    return Matrix(rows, tuple(map(one_line, columns)), read_only(values), read_only(steps))


def _limits(settings: tuple[Setting, ...], latest: Latest) -> tuple[Limit, ...]:
    values = {setting.key: setting.value for setting in settings}
    found = []
    for key, curve, label in SETTINGS_AS_LIMITS:
        try:
            found.append(Limit(curve, float(values[key]), label))
        except (KeyError, ValueError):
            continue
    baseline = latest.evaluation.number("unigram_loss") if latest.evaluation is not None else None
    if baseline is not None:
        found += [Limit(curve, baseline, "unigram model") for curve in ("eval.loss", "step.loss")]
    return tuple(found)


def _facts(latest: Latest, plan: Mapping[str, Any] | None) -> dict[str, str]:
    """What the run is, as label and text."""
    start = latest.start.fields if latest.start is not None else {}
    found: dict[str, str] = {}
    for label, value in (
        ("stage", start.get("stage")),
        ("preset", start.get("preset")),
        ("seed", start.get("seed")),
        ("device", start.get("device")),
        ("threads", start.get("threads")),
        ("parameters", start.get("parameters")),
        ("tokens per step", start.get("tokens_per_step")),
        ("version", start.get("version")),
        ("process", start.get("pid")),
        ("host", start.get("host")),
        ("resumed from step", start.get("resumed_from_step")),
        ("tokens planned", plan.get("tokens") if plan else None),
        ("epochs", plan.get("epochs") if plan else None),
    ):
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, int) and label != "process":
            found[label] = f"{value:,}"
        elif isinstance(value, float):
            found[label] = f"{value:.4g}"
        elif isinstance(value, (str, int)):
            found[label] = one_line(str(value), 200)
    return found


def _text(value: Any) -> str | None:
    return one_line(value, 200) if isinstance(value, str) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
