"""Deliberation: what the searches found, how far each layer was moved, and what became of every plan."""

from think.tui.screens import Context, Page, Spec
from think.tui.screens.log import clock
from think.tui.view import View
from think.tui.views.extra.deliberation import Deliberations, InjectionRow, SearchRow
from think.tui.widgets import figures
from think.tui.widgets.cells import Block, Line, Span, fit_line, heading, line
from think.tui.widgets.table import Column, table

INJECTED = ("on_time", "late", "recomputed", "adapted")
"Fates of plans that moved the state."
TREES, ROWS = 3, 40
"Trees and plans that stand on the page, the newest."
BAR = 20

ACTIONS = (
    Column("action", "right", keep=100),
    Column("visits", "right", keep=95),
    Column("", keep=40, most=BAR),
    Column("value", "right", keep=90),
    Column("prior", "right", keep=80),
    Column("", keep=100),
)
PLANS = (
    Column("time", keep=60),
    Column("position", "right", keep=90),
    Column("fate", keep=100),
    Column("lag", "right", keep=95),
    Column("ms", "right", keep=70),
    Column("alpha by layer", keep=85, most=60, grows=True),
    Column("moved by layer", keep=50, most=60, grows=True),
)


def draw(context: Context) -> Page:
    found: Deliberations = context.view.extra["deliberation"]
    top = [heading("Deliberation", context.width, _standing(found))]
    body: Block = [*_fates(found), *_figures(found)]
    for search in reversed(found.searches[-TREES:]):
        body += [(), *_tree(search, context.width)]
    if found.injections:
        body += [(), *_plans(found.injections[-ROWS:], context.width)]
    return Page([fit_line(of, context.width) for of in body], top=top)


def _standing(found: Deliberations) -> str:
    part = "" if found.whole else ", of the newest records"
    return f"{found.searched:,} searches, {_injected(found):,} injections{part}"


def _injected(found: Deliberations) -> int:
    return sum(count for fate, count in found.fates if fate in INJECTED)


def _fates(found: Deliberations) -> Block:
    """How many plans came to each end."""
    if not found.fates:
        return [line(("  no plan was made yet", "dim"))]
    spans: list[Span] = [("  plans  ", "dim")]
    for fate, count in found.fates:
        spans += [(f"{fate} {count:,}", "good" if fate in INJECTED else ""), ("   ", "")]
    return [tuple(spans)]


def _figures(found: Deliberations) -> Block:
    """Means over what is shown."""
    late = [row for row in found.injections if row.lag is not None]
    searched = [row.seconds for row in found.searches if row.seconds is not None]
    parts = [
        ("lag", _mean([float(row.lag) for row in late if row.lag is not None]), "tokens"),
        ("lag", _mean([row.milliseconds for row in late if row.milliseconds is not None]), "ms"),
        ("a search takes", _mean([1e3 * seconds for seconds in searched]), "ms"),
        ("depth", _mean([float(row.depth) for row in found.searches if row.depth is not None]), ""),
    ]
    spans: list[Span] = [("  means  ", "dim")]
    for name, value, unit in parts:
        if value is not None:
            spans += [(f"{name} ", "dim"), (f"{figures.number(value, 3)} {unit}".rstrip(), ""), ("   ", "")]
    return [tuple(spans)] if len(spans) > 1 else []


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _tree(row: SearchRow, cells: int) -> Block:
    """The root of a search: what each action was worth."""
    told = [f"{figures.whole(row.simulations)} simulations", f"{figures.whole(row.nodes)} nodes"]
    told += [f"depth {figures.whole(row.depth)}", f"value {figures.number(row.value, 3)}"]
    plan = " ".join(map(str, row.line)) or "nothing"
    head: Block = [
        heading(
            f"Search at {figures.whole(row.position)}", cells, " · ".join(told) if row.actions else clock(row.time)
        ),
        line(("  plan ", "dim"), (plan, "strong"), ("   confidence ", "dim"), _shares(row.confidence)),
    ]
    if not row.actions:
        return head
    most = max((*row.visits, 1.0))
    rows: list[list[Span | Line | str]] = [
        [
            (f"{action}", "strong" if number == 0 else ""),
            f"{_at(row.visits, number):,.0f}",
            ("█" * round(BAR * _at(row.visits, number) / most), "first"),
            figures.number(_at(row.values, number), 3),
            figures.share(_at(row.priors, number)),
            ("planned" if row.line[:1] == (action,) else "", "good"),
        ]
        for number, action in enumerate(row.actions)
    ]
    titles, body = table(ACTIONS, rows, cells)
    return [*head, titles, *body]


def _at(values: tuple[float, ...], number: int) -> float:
    return values[number] if number < len(values) else 0.0


def _plans(rows: tuple[InjectionRow, ...], cells: int) -> Block:
    shown: list[list[Span | Line | str]] = [
        [
            (clock(row.time), "dim"),
            figures.whole(row.position),
            (row.fate, "good" if row.fate in INJECTED else ""),
            figures.whole(row.lag),
            figures.number(row.milliseconds, 3),
            _shares(row.alpha),
            _shares(row.moved),
        ]
        for row in reversed(rows)
    ]
    titles, body = table(PLANS, shown, cells)
    return [heading("Plans", cells, "the newest first"), titles, *body]


def _shares(values: tuple[float, ...]) -> Span:
    return (" ".join(f"{value:.2g}" for value in values) or figures.NOTHING, "")


def shown(view: View) -> bool:
    return view.extra.get("deliberation") is not None


SPEC = Spec(
    title="Deliberation",
    key="7",
    about="searches, what they planned, injections by layer, lag",
    draw=draw,
    shown=shown,
    enter=None,
)
