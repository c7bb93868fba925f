"""What stands below the curves of a run. Each section is a function from the run to a block, empty without anything.

line: the line of the page on which it begins;   whole: nothing is left out for room.
"""

from typing import Protocol

from think.tui.screens import Context
from think.tui.view import Matrix, RunView, Series
from think.tui.widgets import curves, figures, words
from think.tui.widgets.cells import Block, Line, fit, heading, joined, line, wrapped
from think.tui.widgets.filtering import matching
from think.tui.widgets.heat import heat, spark
from think.tui.widgets.remember import Remembered

ANOMALIES, EVENTS, SAMPLES, SAMPLE_LINES = 6, 8, 2, 4
"How many of each stand on the page of the run; opened, a section shows all."

SPARK = 24
ALL = 100_000
MAIN_LAYERS = "state_health"

FURTHER_SECONDS = 1.0
"How often the further figures are drawn anew: they are many, and nobody reads them faster."

_SETTINGS, _FURTHER, _HEAT = Remembered(2), Remembered(2), Remembered(16)


class Section(Protocol):
    __name__: str

    def __call__(self, run: RunView, context: Context, line: int, *, whole: bool) -> Block: ...


def layers(run: RunView, context: Context, line: int, *, whole: bool) -> Block:
    """Heat maps of the newest figures by layer, the state's health first."""
    names = sorted(run.layers, key=lambda name: (name != MAIN_LAYERS, name))
    return joined(_layers(name, run.layers[name], context.width) for name in names)


def _layers(kind: str, matrix: Matrix, cells: int) -> Block:
    if not len(matrix.rows):
        return []
    key = (kind, matrix.rows, matrix.columns, matrix.values.tobytes(), matrix.steps.tobytes(), cells)
    return _HEAT.drawn(key, lambda: _mapped(kind, matrix, cells))


def _mapped(kind: str, matrix: Matrix, cells: int) -> Block:
    head, body = heat(matrix, cells)
    title = f"{kind.replace('_', ' ')} by layer"
    return [heading(title, cells, f"shaded by column · step {int(matrix.steps.max()):,}"), head, *body]


def anomalies(run: RunView, context: Context, line: int, *, whole: bool) -> Block:
    if not run.anomalies:
        return []
    shown = reversed(run.anomalies[-(ALL if whole else ANOMALIES) :])
    lines = [
        _spans(
            (f"{figures.whole(event.step):>9}  ", ""),
            (fit(event.rule or "", 18) + "  ", "warn"),
            (event.text, ""),
            (f"  limit {figures.number(event.limit)}" if event.limit is not None else "", "dim"),
        )
        for event in shown
    ]
    return [heading("anomalies", context.width, f"{run.anomaly_count:,} in all, newest first"), *lines]


def events(run: RunView, context: Context, line: int, *, whole: bool) -> Block:
    if not run.events:
        return []
    lines = [
        _spans(
            (f"{figures.whole(event.step):>9}  ", ""),
            (fit(event.kind, 10) + "  ", words.LEVELS[event.level]),
            (event.text, words.LEVELS[event.level]),
        )
        for event in reversed(run.events[-(ALL if whole else EVENTS) :])
    ]
    return [heading("events", context.width, "newest first"), *lines]


def samples(run: RunView, context: Context, line: int, *, whole: bool) -> Block:
    blocks: list[Block] = []
    for sample in reversed(run.samples[-(ALL if whole else SAMPLES) :]):
        title = sample.title + (f" · step {sample.step:,}" if sample.step is not None else "")
        text = wrapped(sample.text, context.width - 4, "", "  ")
        blocks.append([_spans((title, "dim")), *(text if whole else text[:SAMPLE_LINES])])
    return [heading("samples", context.width, "newest first"), *joined(blocks)] if blocks else []


def further_figures(run: RunView, context: Context, line: int, *, whole: bool) -> Block:
    """One line for each curve that has no chart of its own."""
    names = curves.further(run)
    if not names:
        return []
    seen = tuple(number for number in range(len(names)) if whole or context.sees(line + 1 + number, 1))
    now, until = int(context.view.time / FURTHER_SECONDS), context.view.until
    key = (run.row.path, now, until, run.exact, context.width, seen, tuple(names))
    return _FURTHER.drawn(key, lambda: _further(run, context, names, set(seen)))


def _further(run: RunView, context: Context, names: list[str], seen: set[int]) -> Block:
    lines = [_sparkline(name, run.curves[name]) if number in seen else () for number, name in enumerate(names)]
    return [heading("further figures", context.width, "newest value, lowest, highest"), *lines]


def _sparkline(name: str, series: Series) -> Line:
    low, high = series.minimum[series.minimum == series.minimum], series.maximum[series.maximum == series.maximum]
    return _spans(
        (fit(name, 36) + " ", ""),
        (f"{figures.number(series.latest):>10}", "strong"),
        (f"{figures.number(float(low.min()) if len(low) else None):>11}", "dim"),
        (f"{figures.number(float(high.max()) if len(high) else None):>11}  ", "dim"),
        (spark(series.mean, SPARK), "first"),
    )


def settings(run: RunView, context: Context, line: int, *, whole: bool) -> Block:
    """The resolved settings with where each comes from; `/` filters them."""
    key = (run.settings, context.place.filter, context.width)
    return _SETTINGS.drawn(key, lambda: _settings(run, context))


def _settings(run: RunView, context: Context) -> Block:
    if not run.settings:
        return []
    found = matching(context.place.filter, run.settings, lambda one: f"{one.key} {one.value} {one.origin}")
    if not found:
        return [heading("settings", context.width), _spans(("no setting matches the filter", "dim"))]
    wide = min(max(len(one.key) for one in found), 44)
    value = min(max(len(one.value) for one in found), 36)
    lines = [
        _spans((fit(one.key, wide) + "  ", ""), (fit(one.value, value) + "  ", "strong"), (one.origin, "dim"))
        for one in found
    ]
    return [heading("settings", context.width, f"{len(found):,} with their origins"), *lines]


def facts(run: RunView, context: Context, line: int, *, whole: bool) -> Block:
    if not run.facts:
        return []
    wide = min(max(len(name) for name in run.facts), 28)
    lines = [_spans((fit(name, wide) + "  ", "dim"), (text, "")) for name, text in run.facts.items()]
    return [heading("facts", context.width), *lines]


def _spans(*parts: tuple[str, str]) -> Line:
    return line("  ", *parts)


LEFT: tuple[Section, ...] = (layers, further_figures)
RIGHT: tuple[Section, ...] = (anomalies, events, samples, settings, facts)
"The sections in their order; the two columns of a wide screen."
