"""Every record of the run, filtered; open one to read it whole."""

import json
import time

from think.tui.screens import Context, Item, Page, Spec
from think.tui.view import LogLine, LogQuery
from think.tui.widgets import figures, neighbours, words
from think.tui.widgets.cells import Block, Span, heading, line, wrapped
from think.tui.widgets.table import Column, table

PAGE_LINES = 300
"Records of one page; beyond its ends the next one is asked for."

COLUMNS = (
    Column("time", keep=60),
    Column("kind", keep=90, most=20),
    Column("step", "right", keep=95),
    Column("", keep=98),
    Column("what", keep=100, most=4096, grows=True),
)


def query(context: Context) -> LogQuery:
    return LogQuery(text=context.place.filter, newest=context.place.offset, lines=PAGE_LINES)


def draw(context: Context) -> Page:
    page = context.view.log
    opened = next((entry for entry in page.lines if str(entry.number) == context.place.opened), None)
    if opened is not None:
        return _opened(opened, context)
    head, body = table(COLUMNS, [_cells(entry) for entry in page.lines], context.width)
    items = tuple(Item(str(entry.number), number) for number, entry in enumerate(page.lines))
    if not body:
        told = "no record matches the filter" if context.place.filter else "no record was read yet"
        if context.place.filter and not page.complete:
            told += ", as far as was looked"
        body = [line((f"  {told}", "dim"))]
    return Page(
        body,
        top=[heading(f"Log of {context.view.selected or 'no run'}", context.width, _count(context)), head],
        items=items,
        above=page.total > page.newest + len(page.lines) or not page.complete,
        below=page.newest > 0,
    )


def _count(context: Context) -> str:
    page = context.view.log
    if not page.lines:
        return ""
    last = page.total - page.newest
    told = f"{max(last - len(page.lines) + 1, 1):,} to {last:,} of {page.total:,}{'' if page.complete else '+'}"
    return told + (" · following" if context.place.follow else "")


def _cells(entry: LogLine) -> list[Span | str]:
    role = words.LEVELS[entry.level]
    return [
        (clock(entry.time), "dim"),
        (entry.kind, role),
        figures.whole(entry.step),
        (words.MARKS[entry.level] if entry.level != "info" else "", role),
        (entry.text, role),
    ]


def clock(seconds: float) -> str:
    """Time of day where the person sits."""
    return time.strftime("%H:%M:%S", time.localtime(seconds)) if 0 < seconds < 1e11 else figures.NOTHING


def _opened(entry: LogLine, context: Context) -> Page:
    """The record as it stands in the file, one field a line where it is whole."""
    body: Block = []
    try:
        fields = json.loads(entry.raw)
    except ValueError:
        fields = None
    if isinstance(fields, dict):
        for name, value in fields.items():
            text = value if isinstance(value, str) else json.dumps(value)
            lines = wrapped(text, max(context.width - 26, 10))
            for number, of in enumerate(lines):
                label = name if number == 0 else ""
                body.append(line("  ", (f"{label:<20} ", "dim"), *of))
    else:
        body = wrapped(entry.raw, context.width - 4, "", "  ")
    return Page(body, top=[heading(f"Record {entry.number:,}: {entry.kind}", context.width, "esc goes back")])


SPEC = Spec(
    title="Log",
    key="6",
    about="every record; words, kind:NAME and !word filter",
    draw=draw,
    filterable=True,
    deeds=neighbours.DEEDS,
    query=query,
)
