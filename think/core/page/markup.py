"""Markup that cannot be broken by what it shows: texts are escaped, only what is markup already goes in as it is.

`tag("td", name)` escapes `name`; `tag("td", tag("b", name))` does not escape the inner tag. Control characters and
those that reorder text are shown as escapes. Standard library only.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from think.core.text import harmless


class Html(str):
    """Text that is markup; a plain str is a text that somebody wrote."""

    __slots__ = ()


Attributes = Mapping[str, str | float]

_EMPTY = frozenset({"meta", "line", "rect", "circle", "path", "polyline", "polygon"})
"Elements that hold nothing."


def text(shown: str) -> Html:
    """A text as markup that shows just that text."""
    return shown if isinstance(shown, Html) else Html(escape(harmless(shown), quote=True))


def tag(name: str, *children: str, of: Attributes | None = None) -> Html:
    """One element. of: its attributes, numbers with at most two decimals."""
    attributes = "".join(f' {key}="{_attribute(value)}"' for key, value in (of or {}).items())
    if name in _EMPTY and not children:
        return Html(f"<{name}{attributes}/>")
    return Html(f"<{name}{attributes}>{''.join(map(text, children))}</{name}>")


def joined(parts: Iterable[Html], between: str = "") -> Html:
    return Html(between.join(parts))


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False) -> Html:
    """A table that scrolls sideways where it does not fit; nothing without rows. numbers: all but the first column."""
    body = joined(tag("tr", *(tag("td", cell) for cell in row)) for row in rows)
    if not body:
        return Html("")
    head = tag("thead", tag("tr", *(tag("th", cell) for cell in header)))
    inner = tag("table", head, tag("tbody", body), of={"class": "numbers"} if numbers else None)
    return tag("div", inner, of={"class": "wide"})


def details(summary: str, *children: str) -> Html:
    """Something that is shown when the reader opens it."""
    return tag("details", tag("summary", summary), *children)


def _attribute(value: str | float) -> str:
    if isinstance(value, str):
        return text(value)
    return f"{value:.2f}".rstrip("0").rstrip(".")
