"""Every run below the folder: state, progress, losses, speed, time left, gates."""

from think.tui.keys import Action
from think.tui.screens import Context, Deed, Effect, Item, Page, Spec, Turn
from think.tui.view import RunRow
from think.tui.widgets import curves, figures, words
from think.tui.widgets.cells import Block, beside, fit_line, heading, line, shares, wrapped
from think.tui.widgets.chart import chart
from think.tui.widgets.filtering import matching
from think.tui.widgets.table import Column, table

ORDERS = ("by name", "newest first", "by held-out loss")

COLUMNS = (
    Column("run", keep=100, most=48, grows=True, least=12, snug=True),
    Column("state", keep=99),
    Column("stage", keep=60),
    Column("preset", keep=35, most=24),
    Column("step", "right", keep=95),
    Column("done", "right", keep=70),
    Column("loss", "right", keep=80),
    Column("held-out", "right", keep=90),
    Column("tok/s", "right", keep=65),
    Column("left", "right", keep=75),
    Column("gates", keep=85),
    Column("parameters", "right", keep=30),
    Column("seen", "right", keep=40),
    Column("anomalies", "right", keep=32),
)

DETAIL_LINES = 10
LEAST_CHART, MOST_CHART, TWO_CHARTS = 7, 20, 100
LOSSES = ("step.loss", "eval.loss")


def _cells(row: RunRow, now: float) -> list[object]:
    seen = None if row.updated is None else now - row.updated
    return [
        row.name,
        words.state(row.state),
        row.stage or figures.NOTHING,
        row.preset or figures.NOTHING,
        figures.whole(row.step),
        figures.NOTHING if row.progress is None else f"{row.progress:.0%}",
        figures.loss(row.loss),
        (figures.loss(row.held_out), "strong"),
        figures.short(row.speed),
        figures.duration(row.time_left),
        tuple(words.tally(row.gates)) or ((figures.NOTHING, "dim"),),
        figures.short(row.parameters),
        figures.age(seen),
        (f"{row.anomalies:,}", "warn") if row.anomalies else (figures.NOTHING, "dim"),
    ]


def _ordered(rows: list[RunRow], order: int) -> list[RunRow]:
    if order == 1:
        return sorted(rows, key=lambda row: (-(row.started or 0.0), row.name))
    if order == 2:
        return sorted(rows, key=lambda row: (row.held_out is None, row.held_out or 0.0, row.name))
    return rows


def draw(context: Context) -> Page:
    view = context.view
    if not view.runs:
        return Page(nothing(context))
    found = matching(
        context.place.filter, view.runs, lambda row: f"{row.name} {row.state} {row.stage or ''} {row.preset or ''}"
    )
    found = _ordered(found, context.option("runs.order"))
    head, body = table(COLUMNS, [_cells(row, view.time) for row in found], context.width)  # type: ignore[misc]
    items = tuple(Item(row.name, number) for number, row in enumerate(found))
    wanted = context.place.cursor or view.selected
    chosen = next((row for row in found if row.name == wanted), found[0] if found else None)
    if chosen is not None and context.height >= len(body) + DETAIL_LINES:
        body = [*body, (), *_detail(chosen, context)]
        body += _curves(chosen, context, context.height - 1 - len(body))
    if not found:
        body = [line((f"  no run matches {context.place.filter!r}", "dim"))]
    return Page(body, top=[head], items=items, prefer=view.selected)


def nothing(context: Context) -> Block:
    """What a person sees who came too early, or to the wrong folder."""
    told = wrapped(f"There is no run in {context.view.target} yet.", context.width - 4, "strong", "  ")
    how = "Start one in another terminal with `think train stage1 --preset cpu_smoke`: it shows up here by itself."
    return [(), *told, *wrapped(how, context.width - 4, "", "  ")]


def _detail(row: RunRow, context: Context) -> Block:
    """What the table has no room for, about the chosen run."""
    now = context.view.time
    facts = [
        ("folder", row.path),
        ("step", f"{figures.whole(row.step)} of {figures.whole(row.steps)}"),
        (
            "held-out",
            figures.loss(row.held_out)
            + (" nats per token" if row.stage in (None, "stage1") else "")
            + (f" after step {row.held_out_step:,}" if row.held_out_step is not None else ""),
        ),
        ("started", figures.NOTHING if row.started is None else figures.age(now - row.started)),
        ("process", f"{row.pid} on {row.host}" if row.pid is not None else figures.NOTHING),
        ("message", row.message or ""),
    ]
    if row.silence is not None and row.stalled_after is not None and row.state == "stalled":
        silent = f"{figures.duration(row.silence)} without a record; usual is under {row.stalled_after:.0f} s"
        facts.append(("silent", silent))
    lines = [line(f"  {name:<10}", (text, "")) for name, text in facts if text and text != figures.NOTHING]
    lines = [(("  ", ""), (of[0][0][2:], "dim"), *of[1:]) for of in lines]
    return [heading(row.name, context.width), *(fit_line(of, context.width) for of in lines)]


def _curves(row: RunRow, context: Context, room: int) -> Block:
    """The two losses of the run that is read in full, where there is room for them."""
    run = context.view.run
    if run is None or row.name != context.view.selected or room < LEAST_CHART + 1:
        return []
    losses = [plot for name, plot in curves.main_plots(run) if name in LOSSES]
    widths = shares(context.width, len(losses) if context.width >= TWO_CHARTS else 1)
    height = min(room - 1, MOST_CHART)
    blocks = [chart(plot, cells, height, curves.look(context)) for plot, cells in zip(losses, widths, strict=False)]
    return [(), *beside(blocks, widths)]


def _enter(context: Context, key: str) -> Effect:
    return Effect(select=key, screen="run")


def _compare(context: Context, key: str | None) -> Effect:
    selected = context.view.selected
    if key is None or selected is None:
        return Effect(message="there is no run to compare")
    if key == selected:
        return Effect(message=f"{key} is the run that others are compared with; choose another one")
    return Effect(compare=key, screen="compare")


SPEC = Spec(
    title="Runs",
    key="1",
    about="every run: state, progress, losses, speed, gates",
    draw=draw,
    enter=_enter,
    filterable=True,
    turns=(Turn(Action("runs.order", ("o",), "Order of the runs", 50, "order"), "runs.order", ORDERS),),
    deeds=(Deed(Action("runs.compare", ("c",), "Compare the chosen run with the open one", 51, "compare"), _compare),),
)
