"""Text made of cells: spans with a role, lines of spans, blocks of lines. No terminal, no Textual.

A role says what a piece of text means (`good`, `dim`, `first` …); the theme says how it looks. What is shown is never
told by a role alone, so that it can be read without colour. Nothing in a text is read as markup, because there is no
markup; that control characters are harmless is the view's promise, and `line` keeps it for texts from elsewhere.
"""

import re
from collections.abc import Iterable, Sequence

from rich.cells import cell_len as measured
from rich.cells import set_cell_size

from think.core.text import one_line

ROLES = (
    "dim",  # labels, units, rules
    "strong",  # what the eye should find
    "good",
    "warn",
    "bad",
    "info",
    "key",  # a key to press
    "here",  # the chosen tab
    "first",  # curves, in this order
    "second",
    "third",
    "limit",  # thresholds
)
"Every role that a span may have beside the empty one."

Span = tuple[str, str]
"Text and role."

Line = tuple[Span, ...]
Block = list[Line]

ELLIPSIS = "…"


# Latin, punctuation, arrows, boxes, blocks, braille, and our own symbols: a frame is made of these, a cell each
_NARROW = re.compile("[ -~\u00a1-\u00ac\u00ae-\u02ff\u2013-\u2026\u2190-\u21ff\u2500-\u259f\u2800-\u28ff●○◌■▸▶✓✕⊘]*")


def cell_len(text: str) -> int:
    """Cells that a text takes; wide and combining characters are looked up, the usual ones counted."""
    return len(text) if _NARROW.fullmatch(text) else measured(text)


def line(*parts: Span | str) -> Line:
    """A line of spans and plain texts; empty ones are left out."""
    spans = (part if isinstance(part, tuple) else (part, "") for part in parts)
    return tuple((one_line(text), role) for text, role in spans if text)


def width(of: Line) -> int:
    """Cells that a line takes."""
    return cell_len("".join([text for text, _ in of]))


def plain(of: Line) -> str:
    return "".join(text for text, _ in of)


def fit(text: str, cells: int, align: str = "left") -> str:
    """The text in exactly so many cells: cut with an ellipsis, or padded.   align: left, right or middle."""
    if cells <= 0:
        return ""
    taken = cell_len(text)
    if taken > cells:
        text, taken = set_cell_size(text, cells - 1) + ELLIPSIS, cells
    room = cells - taken
    before = {"left": 0, "right": room, "middle": room // 2}[align]
    return " " * before + text + " " * (room - before)


def fit_line(of: Line, cells: int) -> Line:
    """The line in exactly so many cells."""
    taken = width(of)
    if taken == cells:
        return of
    if taken < cells:
        return (*of, (" " * (cells - taken), ""))
    kept: list[Span] = []
    room = cells
    for text, role in of:
        size = cell_len(text)
        if size >= room:  # this one, or the next, does not fit
            kept.append((fit(text if size > room else text + ELLIPSIS, room), role))
            break
        kept.append((text, role))
        room -= size
    return tuple(kept)


def cut(of: Line, cells: int) -> tuple[Line, Line]:
    """The first cells of a line, and the rest. A wide character on the cut becomes spaces."""
    left: list[Span] = []
    for number, (text, role) in enumerate(of):
        size = cell_len(text)
        if size > cells:
            if not cells:
                return tuple(left), of[number:]
            head = _head(text, cells) if cell_len(text[0]) <= cells else ""
            over = cells - cell_len(head)
            tail = text[len(head) + (over > 0) :]
            rest: Line = ((" " * over, role),) if over else ()
            return (*left, (head + " " * over, role)), (*rest, (tail, role), *of[number + 1 :])
        left.append((text, role))
        cells -= size
    return tuple(left), ()


def beside(blocks: Sequence[Block], widths: Sequence[int], gap: int = 2) -> Block:
    """Blocks next to each other, each in its width; shorter ones end in blank lines."""
    height = max((len(block) for block in blocks), default=0)
    space: Span = (" " * gap, "")
    rows: Block = []
    for row in range(height):
        spans: list[Span] = []
        for number, (block, cells) in enumerate(zip(blocks, widths, strict=True)):
            if number:
                spans.append(space)
            spans += fit_line(block[row] if row < len(block) else (), cells)
        rows.append(tuple(spans))
    return rows


def shares(total: int, parts: int, gap: int = 2) -> list[int]:
    """Widths of so many columns that fill `total` cells with gaps between them, the first ones wider by one at most."""
    room = max(total - gap * (parts - 1), parts)
    return [room // parts + (number < room % parts) for number in range(parts)]


def heading(title: str, cells: int, note: str = "") -> Line:
    """A rule with a title on it, and a note at its right end."""
    title, note = fit(title, min(cell_len(title), max(cells - 3, 0))), note if cell_len(note) < cells - 12 else ""
    rule = cells - cell_len(title) - (cell_len(note) + 1 if note else 0) - 3
    spans = [("─ ", "dim"), (title, "strong"), (" " + "─" * max(rule, 0), "dim")]
    return fit_line(tuple(spans + ([(" " + note, "dim")] if note else [])), cells)


def wrapped(text: str, cells: int, role: str = "", indent: str = "") -> Block:
    """Text broken at spaces into lines of at most so many cells; a longer word is broken where it must."""
    room = max(cells - cell_len(indent), 8)
    found: list[str] = []
    current = ""
    for word in one_line(text).split(" "):
        while cell_len(word) > room:
            if current:
                found.append(current)
                current = ""
            head = _head(word, room)
            found.append(head)
            word = word[len(head) :]
        joined = f"{current} {word}" if current else word
        if cell_len(joined) > room:
            found.append(current)
            current = word
        else:
            current = joined
    return [line(indent, (text, role)) for text in [*found, current] if text]


def _head(word: str, room: int) -> str:
    """As many characters of the word as fit, at least one."""
    taken = 0
    for number, character in enumerate(word):
        taken += cell_len(character)
        if taken > room and number:
            return word[:number]
    return word


def joined(blocks: Iterable[Block], between: int = 1) -> Block:
    """Blocks under each other with blank lines between them; empty blocks leave no trace."""
    rows: Block = []
    for block in blocks:
        if block:
            rows += [()] * (between if rows else 0)
            rows += block
    return rows


def flowing(parts: Sequence[Line], cells: int, most: int) -> Block:
    """Parts in as few lines as they need, at most so many; what does not fit is left out, never cut."""
    lines: list[list[Span]] = [[]]
    taken = 0
    for part in parts:
        size = width(part) + 3
        if taken + size > cells:
            if len(lines) == most or not lines[-1]:
                continue
            lines.append([])
            taken = 0
        lines[-1] += [(" ", ""), *part, ("  ", "")]
        taken += size
    return [fit_line(tuple(spans), cells) for spans in lines if spans]
