"""Plots of a run as SVG files. Equal records give equal files: no dates, no random ids.

matplotlib is loaded by the first plot, not by importing this module.
"""

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

from think.core.series import Series, series, thinned
from think.core.telemetry.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 600
"Drawn along a line; beyond that, a band from low to high with the mean in it."

SIZE = (7.0, 3.2)
"Inches."

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "think",
    "svg.fonttype": "none",
    "font.size": 9.0,
    "axes.grid": True,
    "grid.alpha": 0.25,
}


def plots(records: list[Record], *, unigram_loss: float | None = None) -> dict[str, bytes]:
    """SVG files by name, for every figure that has records: loss, learning_rate, gradient_norm, components, throughput.

    unigram_loss: nats per token of the model that knows only frequencies, drawn into the loss.
    """
    norms = component_shares(records)
    lines = {
        "loss": {"train": series(records, "step", "loss"), "held-out": series(records, "eval", "loss")},
        "learning_rate": {"learning rate": series(records, "step", "learning_rate")},
        "gradient_norm": {"gradient norm before clipping": series(records, "step", "gradient_norm")},
        "components": norms,
        "throughput": {
            f"{unit} per second": series(records, "step", f"{unit}_per_second") for unit in ("tokens", "rows")
        },
    }
    labels = {
        "loss": "loss" if _of_examples(records) else "nats per token",
        "components": "share of the squared gradient norm",
    }
    drawn = {}
    for name, by_label in lines.items():
        present = {label: line for label, line in by_label.items() if len(line)}
        if present:
            level = unigram_loss if name == "loss" else None
            drawn[name] = _draw(
                present,
                label=labels.get(name, next(iter(present))),
                level=level,
                logarithmic=name == "gradient_norm",
                from_zero=name in ("components", "throughput", "learning_rate"),
            )
    return drawn


def _of_examples(records: list[Record]) -> bool:
    """Whether these are of a stage after the first, whose loss is not counted in tokens."""
    return any(record.kind == "step" and "rows" in record.fields for record in records)


def curves(
    lines: Mapping[str, Series], *, across: str, label: str, logarithmic: bool = False, from_zero: bool = True
) -> bytes:
    """One SVG file with lines over what their steps stand for, such as tokens or parameters.

    across, label: what the axes mean, with units. logarithmic: both axes.
    """
    return _draw(lines, label=label, level=None, logarithmic=logarithmic, from_zero=from_zero, across=across)


def component_shares(records: list[Record]) -> dict[str, Series]:
    """Share of each component in the squared gradient norm, by step, for records of component gradients."""
    names: list[str] = []
    for record in records:
        if record.kind == "component_gradients" and isinstance(norms := record.fields.get("norms"), dict):
            names += [name for name in norms if name not in names]
    by_name = {name: series(records, "component_gradients", "norms", within=name) for name in sorted(names)}
    totals: dict[int, float] = {}
    for line in by_name.values():
        for step, value in zip(line.steps, line.values, strict=True):
            totals[int(step)] = totals.get(int(step), 0.0) + float(value) ** 2
    return {name: _share(line, totals) for name, line in by_name.items()}


def _share(line: Series, totals: Mapping[int, float]) -> Series:
    import numpy as np

    whole = np.array([totals[int(step)] for step in line.steps])
    with np.errstate(divide="ignore", invalid="ignore"):
        return Series(line.steps, line.values**2 / whole)


def figure(draw: "Callable[[Axes], None]", *, size: tuple[float, float] = SIZE) -> bytes:
    """One SVG file with one pair of axes in the style of all plots; `draw` fills them. size: inches."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own style must not change a report
        matplotlib.rcParams.update(_STYLE)
        drawn = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(drawn)
        draw(drawn.add_subplot())
        content = BytesIO()
        drawn.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()


def _draw(
    lines: Mapping[str, Series],
    *,
    label: str,
    level: float | None,
    logarithmic: bool,
    from_zero: bool,
    across: str | None = None,
) -> bytes:
    def fill(axes: "Axes") -> None:
        for name, line in lines.items():
            _draw_line(axes, name, line)
        if level is not None:
            axes.axhline(level, linestyle="--", linewidth=1.0, color="grey", label=f"unigram {level:.3f}")
        if logarithmic and any((line.values > 0).any() for line in lines.values()):
            axes.set_yscale("log")
            axes.set_xscale("log" if across else "linear")
        elif from_zero:
            axes.set_ylim(bottom=0)
        axes.set_xlabel(across or "step")
        axes.set_ylabel(label)
        if len(lines) > 1 or level is not None:
            axes.legend(frameon=False)

    return figure(fill)


def _draw_line(axes: "Axes", name: str, line: Series) -> None:
    steps, means, lows, highs = thinned(line, POINTS)
    few = len(steps) <= 40
    (drawn,) = axes.plot(steps, means, label=name, linewidth=1.2, marker="." if few else None)
    if highs is not means:
        axes.fill_between(steps, lows, highs, alpha=0.25, linewidth=0, color=drawn.get_color())
    if line.not_finite:
        import numpy as np

        where = line.steps[~np.isfinite(line.values)]
        bottom = axes.get_xaxis_transform()
        axes.plot(
            where, [0.02] * len(where), "x", color="red", transform=bottom, label=f"{name}: {len(where)} not finite"
        )
