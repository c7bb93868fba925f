"""Several studies on one page: what each found in a line, then its report."""

import re
from collections.abc import Mapping, Sequence

from think.core.ablations import markdown
from think.core.ablations.report import Report
from think.core.statistics import LEVEL


def text(title: str, reports: Sequence[Report], plots: Mapping[str, Sequence[str]], folder: str) -> str:
    """plots: by study, the names of its SVG files in `folder`/STUDY. Equal ledgers give equal texts."""
    lines = [
        f"# {title}",
        "",
        "Written by `think ablate page` from the ledger of the runs, not edited by hand. A difference is variant minus",
        f"base over pairs of equal seed, data, order and tokens, with its {LEVEL:.0%} interval. 'Cannot tell' does not",
        "say that there is none: `detectable`, in a report, is what as many pairs would have found.",
        "",
    ]
    rows = [
        (
            f"[{report.study.name}](#study-{_anchor(report.study.name)})",
            f"`{row.variant}` against `{report.study.base.name}`",
            str(0 if row.comparison is None else row.comparison.difference.count),
            f"{row.tokens:,}",
            markdown.difference(row),
            f"**{row.said}**",
        )
        for report in reports
        for row in report.rows
        if row.verdict != "base"
    ]
    lines += markdown.table(("study", "compared", "pairs", "tokens a run", "difference", "verdict"), rows)
    parts = [
        markdown.text(report, plots[report.study.name], level=2, folder=f"{folder}/{report.study.name}")
        for report in reports
    ]
    return "\n".join(["\n".join(lines), *parts])


def _anchor(heading: str) -> str:
    """What a heading's link is called."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
