"""What a latent world model foresaw on held-out games, out of the records of the run that trained it."""

import re
from collections.abc import Iterable, Iterator

from think.core.telemetry.records import Record

HEADER = ("steps ahead", "skill", "error with other actions", "policy", "value", "terminal", "over", "nodes", "games")
_FIGURES = ("skill", "shuffle", "policy", "value", "terminal")


def rows(records: Iterable[Record]) -> list[tuple[str, ...]]:
    """One row for each horizon of the newest evaluation, figures with their 95 % intervals; none without any."""
    newest = None
    for record in records:
        if record.kind == "eval" and record.number("nodes_0") is not None:
            newest = record
    return [] if newest is None else list(_rows(newest))


def tells(name: str) -> bool:
    """Whether a figure of an evaluation stands in these rows."""
    return re.fullmatch(f"({'|'.join((*_FIGURES, 'over', 'nodes', 'games'))})_[0-9]+(_low|_high)?", name) is not None


def _rows(record: Record) -> Iterator[tuple[str, ...]]:
    step = 0
    while (nodes := record.number(f"nodes_{step}")) is not None:
        over, games = record.number(f"over_{step}") or 0.0, record.number(f"games_{step}") or 0.0
        figures = (_figure(record, f"{name}_{step}") for name in _FIGURES)
        yield str(step), *figures, f"{over:.0%}", f"{int(nodes):,}", f"{int(games):,}"
        step += 1


def _figure(record: Record, name: str) -> str:
    value, low, high = (record.number(name + end) for end in ("", "_low", "_high"))
    if value is None:
        return "-"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f} to {high:.3f})"
