"""The handoff log: the active task, the backlog, blockers, what is done, and the log of the sessions, live."""

import time

from think.tui.screens import Context, Item, Page, Spec
from think.tui.view import HandoffView, TaskRow, View
from think.tui.widgets import figures
from think.tui.widgets.cells import Block, Line, Span, beside, fit, fit_line, heading, line, shares, wrapped
from think.tui.widgets.filtering import matching

MARKS = {
    "active": ("▶", "good"),
    "backlog": ("·", "dim"),
    "blocked": ("⊘", "warn"),
    "done": ("✓", "info"),
    "stale": ("!", "warn"),
    "dropped": ("–", "dim"),
}
"Status -> symbol and role; the word stands beside it."

TWO_COLUMNS = 150
SESSION_LINES = 12


def draw(context: Context) -> Page:
    held = context.view.handoff
    if held is None:
        return Page([(), line(("  there is no handoff log here", "dim"))])
    if context.place.opened is not None:
        opened = next((task for task in _tasks(held) if task.id == context.place.opened), None)
        if opened is not None:
            return _opened(opened, context)
    top = [heading("Handoff", context.width, _counts(held))]
    for notice in held.notices:
        top.append(
            fit_line(
                line(" ", (f"✕ {notice.text}" if notice.level == "error" else f"! {notice.text}", "bad")), context.width
            )
        )
    if context.width < TWO_COLUMNS:
        body, items = _lists(held, context, context.width)
        body += [(), *_sessions(held, context, context.width)]
        return Page([fit_line(of, context.width) for of in body], top=top, items=tuple(items))
    left, right = shares(context.width, 2)
    body, items = _lists(held, context, left)
    return Page(
        beside([body, _sessions(held, context, right, context.height - len(top) - 1)], [left, right]),
        top=top,
        items=tuple(items),
    )


def _tasks(held: HandoffView) -> list[TaskRow]:
    active = [held.active] if held.active is not None else []
    return [*active, *held.blocked, *held.backlog, *held.done]


def _counts(held: HandoffView) -> str:
    parts = [f"{len(held.backlog)} to do", f"{len(held.blocked)} blocked", f"{len(held.done)} finished"]
    return " · ".join(parts)


def _lists(held: HandoffView, context: Context, cells: int) -> tuple[Block, list[Item]]:
    body: Block = []
    items: list[Item] = []

    def add(title: str, tasks: list[TaskRow], note: str = "") -> None:
        if not tasks:
            return
        body.extend([()] if body else [])
        body.append(heading(title, cells, note))
        for task in tasks:
            lines = _task(task, context, cells)
            items.append(Item(task.id, len(body), 0, cells, len(lines)))
            body.extend(lines)

    chosen = matching(context.place.filter, _tasks(held), lambda task: f"{task.id} {task.title} {task.status}")
    ids = {task.id for task in chosen}
    if held.active is None and not context.place.filter:
        body += [
            heading("active", cells),
            line(("  nobody works on a task; `think handoff start` takes the next", "dim")),
        ]
    add("active", [task for task in chosen if held.active is not None and task.id == held.active.id])
    add("blocked", [task for task in held.blocked if task.id in ids])
    add("backlog", [task for task in held.backlog if task.id in ids], "in their order")
    add("finished", [task for task in held.done if task.id in ids])
    if not chosen and context.place.filter:
        body.append(line(("  no task matches the filter", "dim")))
    return body, items


def _task(task: TaskRow, context: Context, cells: int) -> Block:
    """A line, and for what is in work or blocked the lines that somebody must know."""
    symbol, role = MARKS.get(task.status, ("?", "warn"))
    first: list[Span] = [
        ("  ", ""),
        (f"{symbol} {task.status:<8} ", role),
        (fit(task.id, 8) + " ", "strong"),
        (task.title, ""),
    ]
    if task.depends and task.status == "backlog":
        first.append((f"  after {', '.join(task.depends)}", "dim"))
    lines: Block = [fit_line(tuple(first), cells)]
    if task.status == "active":
        lines.append(fit_line(_holder(task, context.view.time), cells))
        if task.why:
            lines += wrapped(task.why, cells - 6, "dim", "    ")
    if task.blocker:
        lines += wrapped(task.blocker, cells - 6, "warn", "    ")
    if task.unblocks:
        lines += wrapped(f"unblocks: {task.unblocks}", cells - 6, "", "    ")
    return lines


def _holder(task: TaskRow, now: float) -> Line:
    if task.owner is None:
        return line(("    held by nobody", "warn"))
    if task.lease_until is None:
        return line(f"    held by {task.owner}")
    left = task.lease_until - now
    until = f"lease until {_clock(task.lease_until)}" if left > 0 else "its lease ran out: anybody may take it over"
    return line("    held by ", (task.owner, "strong"), (f" · {until}", "dim" if left > 0 else "warn"))


def _sessions(held: HandoffView, context: Context, cells: int, most: int = SESSION_LINES) -> Block:
    rows = [heading("session log", cells, "newest first")]
    for entry in reversed(held.sessions[-max(most, SESSION_LINES) :]):
        rows.append(
            fit_line(
                line("  ", (_clock(entry.time) + "  ", "dim"), (fit(entry.owner, 12) + " ", ""), entry.text), cells
            )
        )
    return rows


def _clock(seconds: float) -> str:
    return time.strftime("%d %b %H:%M", time.localtime(seconds)) if 0 < seconds < 1e11 else figures.NOTHING


def _opened(task: TaskRow, context: Context) -> Page:
    cells = context.width - 4
    symbol, role = MARKS.get(task.status, ("?", "warn"))
    body: Block = [line("  ", (f"{symbol} {task.status}", role), "  ", (task.title, "strong"))]
    if task.status == "active":
        body.append(_holder(task, context.view.time))
    for label, texts in (
        ("why", (task.why,)),
        ("blocked by", (task.blocker,)),
        ("unblocks", (task.unblocks,)),
        ("after", (", ".join(task.depends),)),
        ("checks", task.checks),
        ("files", task.files),
        ("evidence", task.evidence),
        ("notes", task.notes),
    ):
        shown = [text for text in texts if text]
        if shown:
            body += [(), line("  ", (label, "dim"))]
            for text in shown:
                body += wrapped(text, cells - 2, "", "    ")
    return Page(
        [fit_line(of, context.width) for of in body], top=[heading(f"Task {task.id}", context.width, "esc goes back")]
    )


def _shown(view: View) -> bool:
    return view.handoff is not None


SPEC = Spec(
    title="Handoff",
    key="4",
    about="the active task, the backlog, blockers, the session log",
    draw=draw,
    filterable=True,
    shown=_shown,
)
