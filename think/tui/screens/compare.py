"""Two runs: their curves over each other, what came out, and the settings in which they differ, with their origins."""

from think.tui.keys import Action
from think.tui.screens import Context, Deed, Effect, Item, Page, Spec
from think.tui.view import Comparison, Difference, RunView, View
from think.tui.widgets import curves, figures, neighbours, words
from think.tui.widgets.cells import Block, Line, beside, fit_line, heading, line, shares
from think.tui.widgets.chart import Curve, Plot, chart
from think.tui.widgets.filtering import matching
from think.tui.widgets.table import Cell, Column, table

PLOTS = curves.MAIN[:4]
LEAST_CHART, MOST_CHART = 8, 14
TWO_COLUMNS = 110
ABSENT = "(absent)"
ONE_SEED = "One run each: a difference between them may be the seed's."


def draw(context: Context) -> Page:
    view = context.view
    if view.run is None or view.compared is None or context.place.opened == "choose":
        return _choice(context)
    if view.other is None:
        return Page([(), line("  ", (f"Reading {view.compared} …", "strong"))])
    top = [_names(view.run, view.other, context.width)]
    plots = [(name, _plot(view.run, view.other, name, title, unit)) for name, title, unit in PLOTS]
    opened = dict(plots).get(context.place.opened or "")
    look = curves.look(context)
    if opened is not None:
        return Page(chart(opened, context.width, max(context.height - 1, LEAST_CHART), look), top=top)
    across = 1 if context.width < TWO_COLUMNS else 2
    rows = -(-len(plots) // across)
    height = min(max((context.height * 3 // 5) // rows, LEAST_CHART), MOST_CHART)
    widths = shares(context.width, across)
    body: Block = []
    items: list[Item] = []
    for start in range(0, len(plots), across):
        column = 0
        part = plots[start : start + across]
        for (key, _), cells in zip(part, widths, strict=False):
            items.append(Item(key, len(body), column, cells, height))
            column += cells + 2
        body += beside(
            [chart(plot, cells, height, look) for (_, plot), cells in zip(part, widths, strict=False)], widths
        )
    if view.comparison is not None:
        body += [(), *_differences(view.comparison, context)]
    return Page([fit_line(of, context.width) for of in body], top=top, items=tuple(items))


def _names(left: RunView, right: RunView, cells: int) -> Line:
    spans = [(" ", ""), ("━ ", "first"), (left.row.name, "strong"), ("  ", ""), words.state(left.row.state)]
    spans += [("   ", ""), ("━ ", "second"), (right.row.name, "strong"), ("  ", ""), words.state(right.row.state)]
    return fit_line((*spans, ("   " + ONE_SEED, "dim")), cells)


def _plot(left: RunView, right: RunView, name: str, title: str, unit: str) -> Plot:
    found = []
    for run, role in ((left, "first"), (right, "second")):
        curve = run.curve(name)
        if curve is not None:
            found.append(Curve(curve, role, run.row.name))
    return Plot(title, tuple(found), unit)


def _differences(comparison: Comparison, context: Context) -> Block:
    names = (comparison.left, comparison.right)
    block: Block = []
    for title, rows, filtered in (
        ("results", comparison.results, False),
        ("settings that differ", comparison.settings, True),
    ):
        shown = matching(context.place.filter, rows, _text) if filtered else list(rows)
        block += [(), heading(title, context.width, f"{len(shown):,}")] if block else [heading(title, context.width)]
        if not shown:
            told = "none matches the filter" if rows else "none: the settings are equal" if filtered else "none yet"
            block.append(line((f"  {told}", "dim")))
            continue
        origins = filtered and context.width >= TWO_COLUMNS
        columns = [
            Column(title.partition(" ")[0], keep=100, most=44),
            *(Column(name, keep=90, most=48) for name in names),
        ]
        columns += [Column(f"{name} from", keep=50, most=52) for name in names] if origins else []
        cells = [_cells(row, with_origins=origins) for row in shown]
        head, lines = table(columns, cells, context.width)
        block += [head, *lines]
        if filtered and not origins:
            block += _origins(shown, context.width)
    return block


def _text(row: Difference) -> str:
    return f"{row.key} {row.left} {row.right} {row.left_origin} {row.right_origin}"


def _cells(row: Difference, *, with_origins: bool) -> list[tuple[str, str]]:
    cells = [(row.key, "")]
    cells += [(value, "dim" if value == ABSENT else "strong") for value in (row.left, row.right)]
    return cells + ([(row.left_origin, "dim"), (row.right_origin, "dim")] if with_origins else [])


def _origins(rows: list[Difference], cells: int) -> Block:
    """Where there is no room beside the values, the origins stand below."""
    found: Block = [(), heading("their origins", cells)]
    for row in rows:
        found.append(line("  ", (row.key, "")))
        for value, origin in ((row.left, row.left_origin), (row.right, row.right_origin)):
            found.append(line("    ", (value, "strong"), "  ", (origin, "dim")))
    return found


def _choice(context: Context) -> Page:
    """The runs that the selected one can be compared with."""
    view = context.view
    others = [row for row in view.runs if row.name != view.selected]
    others = matching(context.place.filter, others, lambda row: f"{row.name} {row.state} {row.preset or ''}")
    top = [heading(f"Compare {view.selected or ''} with", context.width, "⏎ chooses")]
    if not others:
        told = "there is no other run to compare with" if len(view.runs) < 2 else "no run matches the filter"
        return Page([line((f"  {told}", "dim"))], top=top)
    columns = (
        Column("run", keep=100, most=48, grows=True, snug=True),
        Column("state", keep=90),
        Column("preset", keep=50, most=24),
        Column("step", "right", keep=70),
        Column("held-out", "right", keep=80),
    )
    cells: list[list[Cell]] = [
        [row.name, words.state(row.state), row.preset or "-", figures.whole(row.step), figures.loss(row.held_out)]
        for row in others
    ]
    head, body = table(columns, cells, context.width)
    return Page(body, top=[*top, head], items=tuple(Item(row.name, number) for number, row in enumerate(others)))


def _enter(context: Context, key: str) -> Effect:
    choosing = context.view.compared is None or context.place.opened == "choose"
    return Effect(compare=key, opened="") if choosing else Effect(opened=key)


def _choose(context: Context, key: str | None) -> Effect:
    return Effect(opened="choose")


def _shown(view: View) -> bool:
    return len(view.runs) > 1


SPEC = Spec(
    title="Compare",
    key="5",
    about="two runs: curves over each other, differing settings with origins",
    draw=draw,
    enter=_enter,
    filterable=True,
    shown=_shown,
    turns=curves.TURNS,
    deeds=(
        Deed(Action("compare.choose", ("c",), "Compare with another run", 51, "other run"), _choose),
        *neighbours.DEEDS,
    ),
)
