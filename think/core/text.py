"""Text from files and models made fit for a terminal. Standard library only."""

import re

# C0 without tab and newline, DEL, C1, the characters that reorder or hide what follows them, and lone surrogates.
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def harmless(text: str) -> str:
    """The text with control characters shown as escapes, so that it can neither move a cursor nor hide anything."""
    return HARMFUL.sub(lambda found: ascii(found.group())[1:-1], text.replace("\r\n", "\n"))


def one_line(text: str, most: int = 4096) -> str:
    """`harmless` for a place that has one line: newlines become ⏎, tabs a space, a longer text is cut with …"""
    if len(text) > most:
        text = text[: most - 1] + "…"
    return harmless(text).replace("\n", "⏎").replace("\t", " ")
