"""Texts of people as they may stand in a line of Markdown: one line, no markup of their own. Standard library only."""

import re

# Control characters, the ones that reorder or hide what follows, and lone surrogates, which UTF-8 cannot hold.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\r\n\x0b\x0c]+")
CUT = "… [cut]"


def line(text: str) -> str:
    """The text in one line, harmless, and without a way to begin a comment, a tag or a table cell."""
    text = _HARMFUL.sub(lambda found: ascii(found.group())[1:-1], _SPACE.sub(" ", text).strip())
    return text.replace("<", "&lt;").replace("|", "\\|")


def code(text: str) -> str:
    """The text as inline code."""
    text = _HARMFUL.sub(lambda found: ascii(found.group())[1:-1], _SPACE.sub(" ", text)).replace("|", "\\|")
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def cut(text: str, size: int) -> str:
    """At most `size` characters, with a mark where something is missing."""
    return text if len(text) <= size else text[: max(0, size - len(CUT))].rstrip() + CUT


def table(columns: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a table whose cells are ready."""
    return [
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
