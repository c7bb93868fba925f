"""Plots of a study as SVG files: differences with their intervals, and the curves of all variants."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from think.core.ablations.report import Report, Row
from think.core.plots import SIZE, curves, figure
from think.core.series import Series, series
from think.core.telemetry.tail import read

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW_INCHES, FRAME_INCHES = 0.32, 1.1


def plots(report: Report, root: Path) -> dict[str, bytes]:
    """SVG files by name. root: the folder that the runs of cells are named from."""
    drawn: dict[str, bytes] = {}
    rows = [row for row in report.rows if row.comparison is not None]
    if rows:
        drawn["differences"] = _differences(rows, report)
    lines = {row.variant: line for row in report.rows if len(line := _curve(report, row, root))}
    if lines:
        drawn["curves"] = curves(
            lines, across="tokens", label="held-out loss, nats per token, mean over seeds", from_zero=False
        )
    return drawn


def _differences(rows: list[Row], report: Report) -> bytes:
    def fill(axes: "Axes") -> None:
        for place, row in enumerate(reversed(rows)):
            assert row.comparison is not None
            found = row.comparison.difference
            known = found.count > 1
            spread = [[found.value - found.low], [found.high - found.value]] if known else None
            axes.errorbar(found.value, place, xerr=spread, fmt="o" if known else "x", capsize=3, color="C0")
        axes.set_yticks(range(len(rows)), [f"{row.variant}: {row.said}" for row in reversed(rows)])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.axvline(0, color="grey", linewidth=1.0)
        axes.set_xlabel(
            f"{report.study.settings.metric} minus that of {report.study.base.name}\n"
            f"{report.metric.unit}, {report.metric.better} is better"
        )

    return figure(fill, size=(SIZE[0], FRAME_INCHES + ROW_INCHES * len(rows)))


def _curve(report: Report, row: Row, root: Path) -> Series:
    """Held-out loss over tokens read, mean over the seeds that have an evaluation there."""
    found: dict[int, list[float]] = {}
    for cell, entry in report.cells:
        if cell.variant.name != row.variant or entry.state != "finished":
            continue
        stage = cell.settings.stage1
        clock = stage.clock()
        line = series(read(root / entry.run), "eval", "loss")
        for step, loss in zip(line.steps, line.values, strict=True):
            if step < stage.steps:  # the last evaluation reads all of the split, those before it perhaps a part
                found.setdefault(stage.rows * clock.position(int(step) + 1), []).append(float(loss))
    tokens = sorted(found)
    return Series(np.array(tokens, dtype=np.int64), np.array([np.mean(found[token]) for token in tokens]))
