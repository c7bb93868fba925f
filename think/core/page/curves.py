"""Curves of a run: losses, learning rate, gradient norm with the bounds of g3, throughput, with anomalies marked."""

from collections.abc import Iterator
from typing import Any

from think.core import settings_file
from think.core.facts import Facts
from think.core.page.chart import Chart, Level, Mark
from think.core.page.markup import Html, joined, tag
from think.core.series import series
from think.core.text import one_line

_BOUNDS = {
    "warns_low": "g3 fails below",
    "passes_low": "g3 passes from",
    "passes_high": "g3 passes to",
    "warns_high": "g3 fails above",
}


def curves(facts: Facts) -> Html:
    """Every curve that has a point."""
    drawn = [found for chart in _charts(facts) if (found := chart.svg())]
    return joined(drawn) if drawn else tag("p", "Nothing was recorded yet.")


def steps_of(facts: Facts) -> tuple[int, int]:
    """First and last step that has a loss, for axes that compare."""
    steps = [int(step) for kind in ("step", "eval") for step in series(facts.records, kind, "loss").steps]
    return min(steps, default=0), max(steps, default=1)


def _charts(facts: Facts) -> Iterator[Chart]:
    records, steps = facts.records, steps_of(facts)
    baseline = facts.unigram_loss()
    marks = [
        Mark(record.step, one_line(record.text("message") or record.text("rule") or "anomaly", 200))
        for record in facts.of("anomaly")
        if record.step is not None and steps[0] <= record.step <= steps[1]
    ]
    yield Chart(
        "Loss",
        "nats per token",
        {"training": series(records, "step", "loss"), "held-out": series(records, "eval", "loss")},
        steps,
        levels=[] if baseline is None else [Level(baseline, f"unigram model, {baseline:.3f}")],
        marks=marks,
        bars={"held-out": _intervals(facts)},
    )
    yield Chart(
        "Gradient norm",
        "before clipping",
        {"gradient norm": series(records, "step", "gradient_norm")},
        steps,
        levels=list(_bounds(facts)),
        marks=marks,
        logarithmic=True,
    )
    for title, unit, field in (
        ("Learning rate", "of each step", "learning_rate"),
        ("Throughput", "tokens per second", "tokens_per_second"),
    ):
        yield Chart(title, unit, {title.lower(): series(records, "step", field)}, steps, from_zero=True)


def _intervals(facts: Facts) -> dict[int, tuple[float, float]]:
    """95 % intervals of the held-out losses."""
    found = {}
    for record in facts.of("eval"):
        edges = record.fields.get("interval")
        if record.step is not None and isinstance(edges, list) and len(edges) == 2 and all(map(_is_number, edges)):
            found[record.step] = (float(edges[0]), float(edges[1]))
    return found


def _bounds(facts: Facts) -> Iterator[Level]:
    """Bounds of the gradient norm: those that g3 judged with, else those of the settings."""
    judged = [line.stored for line in facts.gates if line.stored is not None and line.stored.gate == "g3"]
    held: Any = judged[-1].thresholds.get("gradient") if judged else None
    if not isinstance(held, dict):
        held = _written(facts)
    for name, said in _BOUNDS.items():
        if name in held and _is_number(held[name]):
            yield Level(float(held[name]), f"{said} {float(held[name]):g}")


def _written(facts: Facts) -> dict[str, float]:
    """The bounds as settings.toml has them; none where it cannot be read."""
    before = "gates.g3.gradient."
    found = {}
    try:
        for setting in settings_file.read(facts.run.settings_file):
            if setting.key.startswith(before):
                found[setting.key.removeprefix(before)] = float(setting.value)
    except ValueError:  # Unreadable is one, and so is a value that is no number
        return {}
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")
