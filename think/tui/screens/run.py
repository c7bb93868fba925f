"""One run: curves with gate thresholds, throughput, gradient shares, state health, anomalies, samples, settings."""

from dataclasses import replace

from think.tui.screens import Context, Item, Page, Spec
from think.tui.view import RunView
from think.tui.widgets import curves, figures, neighbours, words
from think.tui.widgets.cells import Block, Line, Span, beside, fit_line, flowing, line, shares
from think.tui.widgets.chart import Look, Plot, chart, legend
from think.tui.widgets.sections import LEFT, RIGHT, Section

ONE_COLUMN, TWO_COLUMNS = 100, 150
"Cells up to which charts stand in one column, and in two."

LEAST_CHART, MOST_CHART = 8, 15
BAR = 24
ROOMY = 20
"Lines of a page that has two for figures."
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def draw(context: Context) -> Page:
    run = context.view.run
    if run is None:
        told = "Reading the run …" if context.view.runs else f"There is no run in {context.view.target} yet."
        return Page([(), line("  ", (told, "strong"))])
    top = _summary(run, context)
    if context.place.opened is not None:
        opened = _opened(run, context, len(top))
        if opened is not None:
            return Page(opened, top=top)
    body, items = _charts(run, context, context.height - len(top))
    below, more = _below(run, context, len(body) + 1)
    body += [(), *below]
    items += more
    return Page([fit_line(of, context.width) for of in body], top=top, items=tuple(items))


# ---- the lines that stay --------------------------------------------------------------------------------------------


def _summary(run: RunView, context: Context) -> Block:
    row = run.row
    left: list[Span] = [(f" {row.name}", "strong"), ("  ", ""), words.state(row.state)]
    detail = " · ".join(text for text in (row.stage, row.preset) if text)
    left += [("  ", ""), (detail, "dim")] if detail else []
    if row.state == "stalled" and row.silence is not None:
        left.append((f"  no record for {figures.duration(row.silence)}", "warn"))
    if row.message:
        left.append((f"  {row.message}", "bad" if row.state in ("diverged", "failed") else "dim"))
    first = fit_line(tuple(left), context.width)
    share = row.progress
    cells = BAR if context.width >= TWO_COLUMNS else BAR // 2
    parts: list[Line] = [
        (("step ", "dim"), (figures.whole(row.step), "strong"), (f" of {figures.whole(row.steps)}", "dim")),
        () if share is None else ((_bar(share, cells), "first"), (f" {share:.0%}", "")),
        (("loss ", "dim"), (figures.loss(row.loss), "strong")),
        (("held-out ", "dim"), (figures.loss(row.held_out), "strong")),
        () if row.time_left is None else ((f"{figures.duration(row.time_left)} ", ""), ("left", "dim")),
        () if row.speed is None else ((f"{figures.short(row.speed)} ", ""), ("tok/s", "dim")),
        tuple(words.tally(row.gates)),
        ((f"! {run.anomaly_count:,} anomalies", "warn"),) if run.anomaly_count else (),
        () if row.parameters is None else ((figures.short(row.parameters), ""), (" parameters", "dim")),
        () if run.exact else ((f"reading {run.done:.0%}", "dim"),),
    ]
    lines = flowing([part for part in parts if part], context.width, 2 if context.height >= ROOMY else 1)
    notices = [_notice(notice.text, notice.count, notice.level, context.width) for notice in run.notices[-2:]]
    return [first, *lines, *notices]


def _notice(text: str, count: int, level: str, cells: int) -> Line:
    times = f" ({count:,} times)" if count > 1 else ""
    return fit_line(line(" ", (f"{words.MARKS[level]} {text}{times}", words.LEVELS[level])), cells)


def _bar(share: float, cells: int) -> str:
    """Progress in eighths of a cell."""
    eighths = round(share * cells * 8)
    whole, rest = divmod(eighths, 8)
    bar = "█" * whole + (_EIGHTHS[rest] if rest else "")
    return bar + "░" * (cells - len(bar))


# ---- charts ---------------------------------------------------------------------------------------------------------


def _charts(run: RunView, context: Context, room: int) -> tuple[Block, list[Item]]:
    """The main plots in a grid, as high as the room allows."""
    plots = curves.main_plots(run)
    across = 1 if context.width < ONE_COLUMN else 2 if context.width < TWO_COLUMNS else 3
    rows = -(-len(plots) // across)
    height = min(max((room - (rows - 1)) // rows if across > 1 else room // 2, LEAST_CHART), MOST_CHART)
    widths = shares(context.width, across)
    look = curves.look(context)
    body: Block = []
    items: list[Item] = []
    for start in range(0, len(plots), across):
        part = plots[start : start + across]
        column = 0
        for (key, _), cells in zip(part, widths, strict=False):
            items.append(Item(key, len(body), column, cells, height))
            column += cells + 2
        if not context.sees(len(body), height):
            body += [()] * height
            continue
        blocks = [drawn(plot, cells, height, look) for (_, plot), cells in zip(part, widths, strict=False)]
        body += beside(blocks, widths[: len(blocks)])
    return body, items


def _below(run: RunView, context: Context, start: int) -> tuple[Block, list[Item]]:
    """The sections, in two columns where there is room."""
    if context.width < TWO_COLUMNS:
        return _stacked(run, context, (*LEFT, *RIGHT), start, 0)
    widths = shares(context.width, 2)
    blocks: list[Block] = []
    items: list[Item] = []
    for number, sections in enumerate((LEFT, RIGHT)):
        narrow = replace(context, width=widths[number])
        block, more = _stacked(run, narrow, sections, start, number * (widths[0] + 2))
        blocks.append(block)
        items += more
    return beside(blocks, widths), items


def _stacked(
    run: RunView, context: Context, sections: tuple[Section, ...], start: int, column: int
) -> tuple[Block, list[Item]]:
    block: Block = []
    items: list[Item] = []
    for section in sections:
        lines = section(run, context, start + len(block) + 1, whole=False)
        if lines:
            block += [()] if block else []
            items.append(Item(section.__name__, start + len(block), column, context.width, len(lines)))
            block += lines
    return block, items


def drawn(plot: Plot, cells: int, rows: int, look: Look) -> Block:
    """A chart; with several curves a line below the heading says which is which."""
    if len(plot.curves) < 2:
        return chart(plot, cells, rows, look)
    block = chart(plot, cells, rows - 1, look)
    return [block[0], (("  ", ""), *_fitting(plot, cells)), *block[1:]]


def _fitting(plot: Plot, cells: int) -> Line:
    """As many names as there is room for."""
    for count in range(len(plot.curves), 0, -1):
        found = legend(plot.curves[:count], 10_000)
        if sum(len(text) for text, _ in found) <= cells - 4:
            return found
    return ()


def _opened(run: RunView, context: Context, above: int) -> Block | None:
    """One chart or one section on the whole page."""
    key = context.place.opened or ""
    plot = curves.plot_of(run, key)
    if plot is not None:
        return drawn(plot, context.width, max(context.height - above, LEAST_CHART), curves.look(context))
    section = next((section for section in (*LEFT, *RIGHT) if section.__name__ == key), None)
    return None if section is None else section(run, context, 0, whole=True) or None


SPEC = Spec(
    title="Run",
    key="2",
    about="curves, throughput, gradients, state health, anomalies, samples, settings",
    draw=draw,
    filterable=True,
    turns=curves.TURNS,
    deeds=neighbours.DEEDS,
)
