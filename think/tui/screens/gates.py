"""The board of gates: verdict, evidence, age, what blocks what; open one to read its evidence."""

from think.tui.screens import Context, Item, Page, Spec
from think.tui.view import GateRow
from think.tui.widgets import figures, neighbours, words
from think.tui.widgets.cells import Block, Line, Span, fit_line, heading, line, wrapped
from think.tui.widgets.filtering import matching
from think.tui.widgets.table import Column, table

COLUMNS = (
    Column("gate", keep=100, most=8),
    Column("verdict", keep=99),
    Column("asks", keep=40, most=44),
    Column("evidence", keep=90, most=400, grows=True, least=60),
    Column("blocks", keep=50, most=20),
    Column("age", "right", keep=60),
)

FINDINGS = (
    Column("figure", keep=90, most=40),
    Column("verdict", keep=100),
    Column("seen", keep=95, most=400, grows=True),
    Column("wanted", keep=80, most=50),
)


def draw(context: Context) -> Page:
    rows = context.view.gates.rows
    opened = next((row for row in rows if row.gate == context.place.opened), None)
    return _opened(opened, context) if opened is not None else _board(context)


def _board(context: Context) -> Page:
    board, now = context.view.gates, context.view.selected
    found = matching(context.place.filter, board.rows, lambda row: f"{row.gate} {row.verdict} {row.about}")
    head, body = table(COLUMNS, [_cells(row) for row in found], context.width)
    items = tuple(Item(row.gate, number) for number, row in enumerate(found))
    if not found:
        told = "no gate matches the filter" if board.rows else "there are no gates to show yet"
        body = [line((f"  {told}", "dim"))]
    counts = board.counts()
    if counts:
        body = [*body, (), (("  ", ""), *_legend(counts))]
    for problem in board.problems:
        body += wrapped(problem, context.width - 4, "bad", "  ")
    about = f"verdicts on {now}" if now is not None else "verdicts on fresh models"
    return Page(body, top=[heading("Gates", context.width, about), head], items=items)


def _cells(row: GateRow) -> list[Span | Line | str]:
    return [
        (row.gate, "strong"),
        words.verdict(row.verdict),
        (row.about, "dim"),
        _standing(row),
        (", ".join(row.blocks) or figures.NOTHING, "dim"),
        (figures.age(row.age), "dim"),
    ]


def _standing(row: GateRow) -> Line:
    """The evidence in one line, with what takes its force first."""
    if row.stale:
        return ((f"STALE: {row.stale}", "warn"), (f" · {row.evidence}" if row.evidence else "", ""))
    if row.blocked_by and row.verdict in ("", "BLOCKED"):
        return ((f"waits for {row.blocked_by}", "warn"), (f" · {row.evidence}" if row.evidence else "", ""))
    if not row.verdict:
        return ((f"judge it with `think gate {row.gate}`", "dim"),)
    return ((row.evidence or row.reason, ""),)


def _legend(counts: dict[str, int]) -> Line:
    spans: list[Span] = []
    for word in words.VERDICTS:
        if word in counts:
            symbol, role = words.VERDICTS[word]
            spans += [(f"{symbol} {counts[word]} {word}", role), ("   ", "")]
    return tuple(spans)


def _opened(row: GateRow, context: Context) -> Page:
    """One verdict with everything that it stands on."""
    cells = context.width - 4
    top = [heading(f"Gate {row.gate}", context.width, "esc goes back")]
    body: Block = [line("  ", words.verdict(row.verdict), "  ", (row.about, "dim"))]
    for label, text, role in (
        ("stale", row.stale, "warn"),
        ("waits for", row.blocked_by or "", "warn"),
        ("reason", row.reason, ""),
        ("remedy", row.remedy or "", "info"),
        ("after", row.after or "", ""),
        ("blocks", ", ".join(row.blocks), ""),
        ("judged", f"{row.time} ({figures.age(row.age)})" if row.time else "", ""),
    ):
        if text:
            body += _labelled(label, text, role, cells)
    if row.findings:
        shown = [
            [(finding.name, ""), words.verdict(finding.status), (finding.seen, ""), (finding.wanted, "dim")]
            for finding in row.findings
        ]
        head, lines = table(FINDINGS, shown, context.width)
        body += [(), heading("Evidence", context.width, f"{len(lines)} figures"), head, *lines]
        for finding in row.findings:
            body += [(), line("  ", (finding.name, "strong"), "  ", words.verdict(finding.status))]
            body += wrapped(finding.seen, cells, "", "    ")
            body += wrapped(f"wanted {finding.wanted}", cells, "dim", "    ")
    if row.source:
        body += [(), heading("Where it comes from", context.width, "`think gate verify` recomputes it")]
        for name, text in row.source.items():
            body += _labelled(name, text, "", cells)
    return Page([fit_line(of, context.width) for of in body], top=top)


def _labelled(label: str, text: str, role: str, cells: int) -> Block:
    lines = wrapped(text, cells - 12, role)
    first: Line = (("  ", ""), (f"{label:<11} ", "dim"))
    blank: Line = ((" " * 14, ""),)
    return [(*(first if number == 0 else blank), *of) for number, of in enumerate(lines)]


SPEC = Spec(
    title="Gates",
    key="3",
    about="verdicts with their evidence, age, and what blocks what",
    draw=draw,
    filterable=True,
    deeds=neighbours.DEEDS,
)
