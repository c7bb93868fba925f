"""The report of a study as Markdown. Equal ledgers give equal texts."""

import math
from collections.abc import Iterable, Iterator, Sequence
from shlex import join

from think.core.ablations.report import Report, Row
from think.core.statistics import LEVEL


def text(report: Report, plots: Iterable[str] = (), *, level: int = 1, folder: str = "plots") -> str:
    """plots: names of the SVG files in `folder`, without suffix. level: of the heading; 2 for a part of a page."""
    lines = list(_lines(report, plots, folder))
    kept = [line for at, line in enumerate(lines) if line or (at and lines[at - 1])]  # one empty line is enough
    deeper = "#" * (level - 1)
    return "\n".join(deeper + line if line.startswith("#") else line for line in kept).rstrip() + "\n"


def _lines(report: Report, plots: Iterable[str], folder: str) -> Iterator[str]:
    study, settings = report.study, report.study.settings
    finished = len(report.cells) - len(report.missing)
    yield from (f"# Study `{study.name}`", "", settings.summary, "")
    finished_entries = [entry for _, entry in report.cells if entry.state == "finished"]
    commits = sorted({(entry.commit or "no commit")[:12] for entry in finished_entries})
    base = next(cell for cell, _ in report.cells if cell.variant.name == study.base.name)
    yield from (
        f"* {finished} of {len(report.cells)} cells are finished: {len(study.variants)} variants, "
        f"{len({cell.seed for cell, _ in report.cells})} seeds, {report.budget.said()}.",
        f"* Figure: `{settings.metric}`, {report.metric.unit}; {report.metric.better} is better. "
        f"Compared with `{study.base.name}`, paired by seed: equal seeds read the same tokens in the same order.",
        f"* Noise floor (A/A): two runs of `{study.base.name}` that differ in their seed alone lie up to "
        f"{_number(report.noise)} apart in {LEVEL:.0%} of cases.",
        f"* Data: `{base.settings.data.path}`, pack `{base.shared.pack[:12]}`. Trained at {', '.join(commits)}. "
        "The last part of a run's name is the digest of its settings, data and versions.",
        "* Intervals are Student's, over pairs; p is corrected by Holm for all comparisons of the study.",
        "",
    )
    yield from table(
        ("variant", "parameters", "tokens", "seeds", "mean", "IQM", "difference", "p", "detectable", "verdict"),
        [_row(row) for row in report.rows],
    )
    if any(row.unequal is not None for row in report.rows):
        yield from ("\\* more than 5 % more or fewer parameters than the base: not a comparison of equals.", "")
    yield from (f"* `{row.variant}`: {row.summary}" for row in report.rows if row.summary)
    if any(row.summary for row in report.rows):
        yield ""
    for row in report.rows:
        yield from (f"* `{row.variant}` is not paired at {why}" for why in row.refused)
    yield from (f"* {note}" for note in report.notes)
    yield from _also(report)
    yield from _missing(report)
    yield from (f"![{name}]({folder}/{name}.svg)" for name in plots)
    yield from _values(report)
    yield from _commands(report)


def _row(row: Row) -> Sequence[str]:
    found = row.comparison
    mark = "" if row.unequal is None else f" ({row.unequal:+.0%})\\*"
    return (
        f"`{row.variant}`",
        f"{row.parameters:,}{mark}",
        f"{row.tokens:,}",
        str(len(row.losses)),
        "-" if row.mean is None else f"{row.mean.value:.4f}",
        "-" if row.iqm is None else f"{row.iqm:.4f}",
        difference(row),
        "-" if row.p is None else f"{row.p:.3f}",
        "-" if found is None else _number(found.smallest_detectable),
        row.said if row.verdict in ("base", "no pairs") else f"**{row.said}**",
    )


def difference(row: Row) -> str:
    """Variant minus base, with its interval; a dash without pairs."""
    found = row.comparison
    return "-" if found is None else _interval(found.difference.value, found.difference.low, found.difference.high)


def _also(report: Report) -> Iterator[str]:
    names = report.study.settings.also
    if not names:
        return
    yield from (
        "",
        "## Other figures",
        "",
        "Means over seeds with their intervals; no verdicts are drawn from them.",
        "",
    )
    rows = [
        (
            f"`{row.variant}`",
            *(
                _plain(row.also[name].value, row.also[name].low, row.also[name].high) if name in row.also else "-"
                for name in names
            ),
        )
        for row in report.rows
    ]
    yield from table(("variant", *names), rows)


def _missing(report: Report) -> Iterator[str]:
    yield from ("", "## Missing cells", "")
    if not report.missing:
        yield from ("None.", "")
        return
    rows = [
        (
            f"`{cell.variant.name}`",
            str(cell.seed),
            "not begun" if entry.state == "absent" else entry.state,
            entry.message,
        )
        for cell, entry in report.missing
    ]
    yield from table(("variant", "seed", "state", "message"), [(a, b, c, d or "-") for a, b, c, d in rows])


def _values(report: Report) -> Iterator[str]:
    yield from ("", "## Every value", "")
    seeds = sorted({cell.seed for cell, _ in report.cells})
    rows = [
        (f"`{row.variant}`", *(f"{row.losses[seed]:.4f}" if seed in row.losses else "-" for seed in seeds))
        for row in report.rows
    ]
    yield from table(("variant", *(f"seed {seed}" for seed in seeds)), rows)


def _commands(report: Report) -> Iterator[str]:
    yield from ("", "## Commands", "", "All of it, as far as it is not done yet:", "")
    seeds = ",".join(str(seed) for seed in dict.fromkeys(cell.seed for cell, _ in report.cells))
    yield from ("```sh", f"{report.study.command('run')} --seeds {seeds}", "```", "")
    yield from ("One cell by itself:", "", "```sh")
    yield from (join(["think", "train", *cell.command(cell.name)]) for cell, _ in report.cells)
    yield "```"


def _interval(value: float, low: float, high: float) -> str:
    if not math.isfinite(low):
        return f"{value:+.4f} (one seed)"
    return f"{value:+.4f} ({low:+.4f} to {high:+.4f})"


def _plain(value: float, low: float, high: float) -> str:
    if not math.isfinite(low):
        return f"{value:,.6g} (one seed)"
    return f"{value:,.6g} ({low:,.6g} to {high:,.6g})"


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "unknown (one seed)"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines of a Markdown table, and an empty one."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'|'.join('---' for _ in header)}|"
    for row in rows:
        yield f"| {' | '.join(' '.join(cell.split()) for cell in row)} |"
    yield ""
