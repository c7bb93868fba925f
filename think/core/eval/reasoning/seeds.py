"""The same exam of runs that were trained alike but for their seeds: what holds from seed to seed.

A run gives one share solved for each way of answering, so intervals are Student's, over runs; differences are paired by
run, whose puzzles are the same for all ways. All runs are asked the same puzzles, so that runs which agree say nothing
of other puzzles: no interval is narrower than the mean of those over puzzles.
"""

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from think.core.eval.reasoning import wording
from think.core.eval.reasoning.wording import SEARCH
from think.core.statistics import holm
from think.core.statistics.comparison import Comparison, compare
from think.core.statistics.intervals import Interval, student
from think.core.training.predecessor import MUST_AGREE, Predecessor

BEST = "the best other way of each run"
NOT_LEARNED = {"seed", "evaluation", "checkpoint"}
"Settings of a stage by which runs of one recipe may differ: the seed, and when it is looked at or saved."

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Group:
    """Results of one exam, each of another training. ways: arms that all of them asked, but for the search."""

    results: tuple[Result, ...]
    ways: tuple[str, ...]

    def arms(self, way: str) -> list[Mapping[str, Any]]:
        """What each run did by a way of answering; by `BEST`: by the best of those that a search has to beat."""
        ways = [other for other in self.ways if wording.has_to_be_beaten(other)] if way == BEST else [way]
        return [max((_arm(result, name) for name in ways), key=lambda arm: arm["share"]) for result in self.results]

    def shares(self, way: str) -> dict[Hashable, float]:
        """Solved by a way of answering, by number of the run."""
        return {number: arm["share"] for number, arm in enumerate(self.arms(way))}

    def mean(self, way: str) -> Interval:
        """Of these shares."""
        arms = self.arms(way)
        return _wide_as(student([arm["share"] for arm in arms]), [(arm["low"], arm["high"]) for arm in arms])

    def against(self, way: str) -> Comparison:
        """The search minus a way."""
        found = compare(self.shares(SEARCH), self.shares(way))
        over_puzzles = [arm["against"] for arm in self.arms(way)]
        spans = [(-one["difference_high"], -one["difference_low"]) for one in over_puzzles]
        return replace(found, difference=_wide_as(found.difference, spans))


def recipe(critic: Predecessor) -> str:
    """What a critic's run and all that it stands on were trained by, seeds left out, as text."""
    stages = [
        {
            "stage": each.stage,
            "digests": {name: each.digests.get(name) for name in MUST_AGREE},
            "settings": None if each.settings is None else each.settings.model_dump(mode="json", exclude=NOT_LEARNED),
        }
        for each in critic.chain()
    ]
    return json.dumps(stages, sort_keys=True)


def groups(results: Sequence[Result], recipes: Mapping[str, str]) -> Iterator[Group]:
    """Exams that two or more runs of one recipe were asked. What a run was asked in several sittings is one exam.

    recipes: by checkpoint of the critic, as results name it; a result whose critic is not among them is left out, and
    so is one whose first way is not the search: its differences are from another.
    A run is one training, however often it was asked, and by whatever path: the result of its last step counts.
    """
    found: dict[str, dict[str, Result]] = {}
    for result in results:
        if result["critic"] in recipes and result["arms"][0]["arm"] == SEARCH:
            asked = {name: result[name] for name in ("task", "split", "count", "seed", "search", "samples")}
            key = json.dumps([recipes[result["critic"]], asked], sort_keys=True)
            same = found.setdefault(key, {})
            same[result["run"]] = _of_one_training(same.get(result["run"], result), result)
    for same in found.values():
        if len(same) > 1:
            alike = tuple(same.values())
            common = set.intersection(*({str(arm["arm"]) for arm in result["arms"]} for result in alike))
            order = [str(arm["arm"]) for arm in alike[0]["arms"]]
            yield Group(alike, tuple(name for name in order if name in common and name != SEARCH))


def section(group: Group) -> Iterator[str]:
    """Lines of Markdown."""
    first, runs = group.results[0], len(group.results)
    yield f"### {wording.puzzles(first)}, {runs} trainings"
    yield ""
    yield f"{first['count']:,} puzzles of the {first['split']} split, the same for all."
    yield wording.searched(first["search"])
    yield "Runs: " + "; ".join(wording.run(result) for result in group.results) + "."
    yield "Intervals are over runs, and no narrower than those over puzzles. Verdicts on single ways take p beside"
    yield "them, paired t over runs, corrected by Holm for all of them."
    yield ""
    yield "| way | solved in each run | mean | search − it, points | |"
    yield "|---|---|---|---|---|"
    yield f"| {SEARCH} | {_each(group, SEARCH)} | | |"
    compared = [group.against(way) for way in group.ways]
    for way, found, p in zip(group.ways, compared, holm([found.p for found in compared]), strict=True):
        yield f"| {way} | {_each(group, way)} | {_points(found)} | {_says(found, p)} |"
    if any(map(wording.has_to_be_beaten, group.ways)):
        found = group.against(BEST)
        yield f"| {BEST} | {_each(group, BEST)} | {_points(found)} | {_says(found, found.p)} |"


def _of_one_training(first: Result, other: Result) -> Result:
    """Of one model and critic a result with those arms of another that it has not; else that of the later step."""
    if (first["step"], first["critic_run"]) != (other["step"], other["critic_run"]):
        return max(first, other, key=lambda result: int(result["step"]))
    known = {arm["arm"] for arm in first["arms"]}
    return {**first, "arms": [*first["arms"], *(arm for arm in other["arms"] if arm["arm"] not in known)]}


def _arm(result: Result, way: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(arm for arm in result["arms"] if arm["arm"] == way)
    return found


def _wide_as(found: Interval, spans: Sequence[tuple[float, float]]) -> Interval:
    """An interval over runs, no narrower than the mean of those over puzzles."""
    low, high = (sum(ends) / len(spans) for ends in zip(*spans, strict=True))
    return replace(found, low=min(found.low, low), high=max(found.high, high))


def _each(group: Group, way: str) -> str:
    mean = group.mean(way)
    spread = f"{100 * mean.value:.1f} % ({100 * max(mean.low, 0.0):.1f} – {100 * min(mean.high, 1.0):.1f})"
    return ", ".join(f"{100 * share:.1f}" for share in group.shares(way).values()) + f" | {spread}"


def _points(found: Comparison) -> str:
    value = found.difference
    return f"{100 * value.value:+.1f} ({100 * value.low:+.1f} to {100 * value.high:+.1f})"


def _says(found: Comparison, p: float) -> str:
    """p: corrected for what else was compared."""
    if p < wording.SURE and found.difference.excludes_zero:
        return "**better**" if found.difference.value > 0 else "**worse**"
    more = f", {found.more_pairs} more runs" if found.more_pairs else ""
    return f"**cannot tell**{more}"
