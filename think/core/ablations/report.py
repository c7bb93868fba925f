"""What a study found: each variant beside the base, paired by seed, with an interval, a verdict, and what is missing.

A verdict is "helps" or "hurts" only where the interval of the paired differences excludes zero and p, corrected by Holm
for all comparisons of the study, is below 0.05. All else is "cannot tell", with the pairs to add: so many that a
difference of the size seen would be found in 80 % of studies, at the level that the correction leaves.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import stdev
from typing import Any, Literal, cast

from think.core import plugins
from think.core.ablations.budget import Budget
from think.core.ablations.cells import Cell, Shared, Study
from think.core.ablations.ledger import Contents, Entry
from think.core.ablations.measures import FAMILY, Figure
from think.core.errors import BadSettings
from think.core.statistics import (
    LEVEL,
    Comparison,
    Interval,
    compare,
    holm,
    interquartile_mean,
    noise_floor,
    seeds_needed,
    student,
)

LEAST_FOR_IQM = 4
"Seeds below which the middle half is nothing but the mean."

UNEQUAL = 0.05
"Share by which parameter counts may differ before a comparison is marked as one of unequal models."

Verdict = Literal["base", "helps", "hurts", "cannot tell", "no pairs"]


@dataclass(frozen=True)
class Row:
    """One variant. `losses`: the metric by seed, whatever it is; `mean` is over its seeds, `difference` over pairs.

    p        corrected by Holm over the study; None without two pairs
    more     pairs to add; None where no number is known
    refused  why a finished cell has no partner
    """

    variant: str
    summary: str | None
    parameters: int
    unequal: float | None
    tokens: int
    losses: Mapping[int, float]
    mean: Interval | None
    iqm: float | None
    verdict: Verdict
    said: str
    comparison: Comparison | None = None
    p: float | None = None
    more: int | None = None
    refused: tuple[str, ...] = ()
    also: Mapping[str, Interval] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "variant": self.variant,
            "summary": self.summary,
            "parameters": self.parameters,
            "unequal_parameters": self.unequal,
            "tokens": self.tokens,
            "values": {str(seed): value for seed, value in self.losses.items()},
            "mean": None if self.mean is None else self.mean.as_json(),
            "interquartile_mean": self.iqm,
            "comparison": None if self.comparison is None else self.comparison.as_json(),
            "p_holm": self.p,
            "verdict": self.verdict,
            "said": self.said,
            "more_seeds": self.more,
            "refused": list(self.refused),
            "also": {name: interval.as_json() for name, interval in self.also.items()},
        }


@dataclass(frozen=True)
class Report:
    """A study as far as it was run. `noise`: A/A floor of the base."""

    study: Study
    metric: Figure
    budget: Budget
    rows: tuple[Row, ...]
    noise: float
    cells: tuple[tuple[Cell, Entry], ...]
    notes: tuple[str, ...]

    @property
    def missing(self) -> list[tuple[Cell, Entry]]:
        return [(cell, entry) for cell, entry in self.cells if entry.state != "finished"]

    def as_json(self) -> dict[str, Any]:
        return {
            "study": self.study.name,
            "file": self.study.where,
            "summary": self.study.settings.summary,
            "base": self.study.base.name,
            "metric": {"name": self.study.settings.metric, "unit": self.metric.unit, "better": self.metric.better},
            "budget": {"steps": self.budget.steps, "tokens": self.budget.tokens, "minutes": self.budget.minutes},
            "level": LEVEL,
            "noise_floor": self.noise,
            "variants": [row.as_json() for row in self.rows],
            "cells": [
                {
                    "cell": cell.id,
                    "variant": cell.variant.name,
                    "seed": cell.seed,
                    "state": entry.state,
                    "run": entry.run,
                    "seconds": entry.seconds,
                    "figures": entry.figures,
                    "message": entry.message,
                    "code": entry.code,
                    "commit": entry.commit,
                    "command": ["think", "train", *cell.command(cell.name)],
                }
                for cell, entry in self.cells
            ],
            "notes": list(self.notes),
        }


def figure_of(study: Study, name: str) -> Figure:
    """What a figure means. Raises BadSettings naming all figures when none of the study's measures takes it."""
    known: dict[str, Figure] = {}
    for measure in study.settings.measures:
        known |= plugins.load(FAMILY, measure).figures
    if name not in known:
        raise BadSettings(
            f"no measure of this study takes the figure {name!r}",
            where=study.where,
            expected=f"one of {', '.join(known)}",
            remedy=f"measures = [...] names where figures come from: {', '.join(plugins.names(FAMILY))}",
        )
    return known[name]


def make(study: Study, cells: Sequence[Cell], contents: Contents, budget: Budget) -> Report:
    """Compare what is finished. Raises BadSettings for a figure that nobody measures."""
    metric = figure_of(study, study.settings.metric)
    for name in study.settings.also:
        figure_of(study, name)
    paired = tuple((cell, contents.of(cell.id)) for cell in cells)
    base = _of(paired, study.base.name)
    drafts = [_draft(study, variant.name, paired, base) for variant in study.variants]
    told = [draft for draft in drafts if draft.comparison is not None and draft.comparison.difference.count > 1]
    corrected = holm([draft.comparison.p for draft in told if draft.comparison is not None])
    p_of = {draft.name: p for draft, p in zip(told, corrected, strict=True)}
    rows = tuple(_row(study, draft, p_of, metric, base) for draft in drafts)
    floor = list(_values(study, base).values())
    return Report(
        study=study,
        metric=metric,
        budget=budget,
        rows=rows,
        noise=noise_floor(floor) if floor else math.inf,
        cells=paired,
        notes=tuple(_notes(paired, contents, budget)),
    )


Pairs = Sequence[tuple[Cell, Entry]]
ByKey = Mapping[Hashable, float]


@dataclass(frozen=True)
class _Draft:
    """A row before Holm has seen all of them. `differences`: variant - base, of the pairs that may be made."""

    name: str
    cells: Pairs
    comparison: Comparison | None
    differences: tuple[float, ...]
    refused: tuple[str, ...]


def _draft(study: Study, name: str, cells: Pairs, base: Pairs) -> _Draft:
    own = _of(cells, name)
    if name == study.base.name:
        return _Draft(name, own, None, (), ())
    mine, theirs = _values(study, own), _values(study, base)
    refused: list[str] = []
    for seed in sorted(set(mine) & set(theirs)):
        unlike = _shared(own, seed).unlike(_shared(base, seed))
        if unlike:
            refused.append(f"seed {seed}: {unlike}")
            del mine[seed], theirs[seed]
    seeds = [seed for seed in mine if seed in theirs]
    comparison = compare(cast(ByKey, mine), cast(ByKey, theirs)) if seeds else None
    return _Draft(name, own, comparison, tuple(mine[seed] - theirs[seed] for seed in seeds), tuple(refused))


def _row(study: Study, draft: _Draft, p_of: Mapping[str, float], metric: Figure, base: Pairs) -> Row:
    values = _values(study, draft.cells)
    variant = next(variant for variant in study.variants if variant.name == draft.name)
    parameters, ours = draft.cells[0][0].parameters, base[0][0].parameters
    gap = parameters / ours - 1
    p = p_of.get(draft.name)
    verdict, said, more = _verdict(study, draft, p, metric, len(p_of))
    return Row(
        variant=draft.name,
        summary=variant.summary,
        parameters=parameters,
        unequal=gap if abs(parameters - ours) > UNEQUAL * ours else None,
        tokens=draft.cells[0][0].shared.tokens,
        losses=values,
        mean=student(list(values.values())) if values else None,
        iqm=float(interquartile_mean(list(values.values()))) if len(values) >= LEAST_FOR_IQM else None,
        verdict=verdict,
        said=said,
        comparison=draft.comparison,
        p=p,
        more=more,
        refused=draft.refused,
        also={
            name: student(found)
            for name in study.settings.also
            if (
                found := [
                    value for _, entry in draft.cells if math.isfinite(value := entry.figures.get(name, math.nan))
                ]
            )
        },
    )


def _verdict(
    study: Study, draft: _Draft, p: float | None, metric: Figure, comparisons: int
) -> tuple[Verdict, str, int | None]:
    if draft.name == study.base.name:
        return "base", "base", None
    comparison, count = draft.comparison, len(draft.differences)
    if comparison is None:
        return "no pairs", "no pairs yet", None
    if p is None:
        return "cannot tell", f"cannot tell, {2 - count} more seed at least", 2 - count
    if comparison.difference.excludes_zero and p < 1 - LEVEL:
        helps = comparison.verdict == metric.better
        return ("helps", "helps", 0) if helps else ("hurts", "hurts", 0)
    if not any(draft.differences):
        return "cannot tell", f"cannot tell: exactly equal in all {count} pairs", None
    needed = seeds_needed(
        comparison.difference.value, stdev(draft.differences), level=1 - (1 - LEVEL) / max(comparisons, 1)
    )
    if needed is None:
        return "cannot tell", "cannot tell, and 10,000 seeds would not be enough", None
    more = max(1, needed - count)
    return "cannot tell", f"cannot tell, {more} more seed{'s' if more > 1 else ''}", more


def _of(cells: Pairs, variant: str) -> list[tuple[Cell, Entry]]:
    return [(cell, entry) for cell, entry in cells if cell.variant.name == variant]


def _values(study: Study, cells: Pairs) -> dict[int, float]:
    """The metric by seed, of finished cells in which it is a number."""
    name = study.settings.metric
    return {
        cell.seed: entry.figures[name]
        for cell, entry in cells
        if entry.state == "finished" and name in entry.figures and math.isfinite(entry.figures[name])
    }


def _shared(cells: Pairs, seed: int) -> Shared:
    """What a finished cell says that it was trained on."""
    entry = next(entry for cell, entry in cells if cell.seed == seed)
    return Shared(entry.shared["pack"], entry.shared["order"], entry.shared["tokens"])


def _notes(cells: Pairs, contents: Contents, budget: Budget) -> list[str]:
    finished = [entry for _, entry in cells if entry.state == "finished"]
    codes = {entry.code[:12] for entry in finished}
    notes = []
    if len(codes) > 1:
        notes.append(
            f"The cells were trained by {len(codes)} states of the source ({', '.join(sorted(codes))}); a difference "
            "between two variants may be one between two states."
        )
    if contents.garbage:
        notes.append(f"{contents.garbage} lines of the ledger were no events and were passed over.")
    if budget.fewer is not None:
        notes.append(
            f"{budget.fewer:,} steps were asked for; {budget.steps:,} is what lets every variant read equally many "
            "tokens."
        )
    return notes
