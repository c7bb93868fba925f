"""Texts that a run's report shows of its model, read back from report.md. Standard library only."""

import re

from think.core.text import harmless, one_line

MOST = 8
_SAMPLE = re.compile(r"^## A sample\n(.*?)^(`{3,})text\n(.*?)\n\2$", re.MULTILINE | re.DOTALL)


def samples(report: str) -> list[tuple[str, str]]:
    """How each text was made, in one line, and the text; both harmless. The first few only."""
    found = []
    for match in list(_SAMPLE.finditer(report))[:MOST]:
        made = one_line(match[1].strip().partition("\n")[0] or "a sample", 200)
        found.append((made, harmless(match[3])))
    return found
