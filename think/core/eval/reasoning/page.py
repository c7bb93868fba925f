"""Results of `think eval reasoning` on one page: what search is worth beside every other way, then each exam."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from think.core.eval.reasoning import seeds, sweep_page, wording
from think.core.eval.reasoning.wording import SEARCH
from think.core.eval.steering import page as steering_page
from think.core.plots import SIZE, figure
from think.core.statistics import holm

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Result = Mapping[str, Any]


def text(
    title: str,
    results: Sequence[Result],
    folder: str,
    sweeps: Sequence[Result] = (),
    steerings: Sequence[Result] = (),
    recipes: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """folder: where the plots lie, as seen from the page; sweeps: of `think eval sweep`, after the exams.

    steerings: of `think eval steering`, at the end
    recipes: by which the critics were trained, for a table over those that differ in seeds alone.
    """
    lines = [
        f"# {title}",
        "",
        "Written by `think eval page` from what `think eval reasoning`, `sweep` and `steering` kept in the runs, not",
        "edited by hand. Shares are of different held-out puzzles, with Wilson intervals of 95 %; differences are",
        "paired by puzzle, with bootstrap intervals. No way of answering is told whether an answer is right. A verdict",
        "is against the best of the ways that were asked in that exam, no others; beside the interval it takes",
        "McNemar's p, corrected by Holm for all of these ways. One run is one training seed: its intervals are over",
        "puzzles, and say nothing of the next seed. What runs that differ in their seeds alone have in common is",
        "told under *Training seeds*, with Student's intervals over runs.",
        "",
    ]
    if results:
        lines += [
            "| puzzles | run | simulations, weight of values | System 1 | search | best other asked "
            "| search − that | |",
            "|---|---|---|---|---|---|---|---|",
        ]
    for number, result in enumerate(results, 1):
        exam = f"[{wording.puzzles(result)}](#exam-{number})"
        cells = (exam, wording.run(result), _weighed(result), *_verdict(result))
        lines.append(f"| {' | '.join(cells)} |")
    if seeded := list(seeds.groups(results, recipes)):
        lines += ["", "## Training seeds"]
        for group in seeded:
            lines += ["", *seeds.section(group)]
    for number, result in enumerate(results, 1):
        lines += ["", *_exam(number, result, folder)]
    for number, result in enumerate(sweeps, 1):
        lines += ["", *sweep_page.section(number, result, folder)]
    for number, result in enumerate(steerings, 1):
        lines += ["", *steering_page.section(number, result, folder)]
    return "\n".join(lines) + "\n"


def plot(result: Result, *, time: bool = False) -> bytes:
    """SVG: share solved over what an answer costs, each arm with its interval.

    time: over seconds on the machine of the exam, in place of operations
    """

    def fill(axes: "Axes") -> None:
        for arm in result["arms"]:
            cost = arm["seconds"] / arm["count"] if time else arm["flops_per_puzzle"] / 1e6
            if not cost:
                axes.axhline(arm["share"], color="grey", linewidth=1.0, linestyle=":")
                continue
            spread = [[arm["share"] - arm["low"]], [arm["high"] - arm["share"]]]
            mark = "o" if _other(arm) else "s" if arm["arm"] == SEARCH else "x"
            axes.errorbar(cost, arm["share"], yerr=spread, fmt=mark, capsize=3, label=_named(arm))
        axes.set_xscale("log")
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("seconds for a puzzle" if time else "million floating-point operations for a puzzle")
        axes.set_ylabel("share solved")
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))

    return figure(fill, size=SIZE)


def _exam(number: int, result: Result, folder: str) -> Iterator[str]:
    yield f"## Exam {number}"
    yield ""
    asked = f"{result['count']:,} puzzles of the {result['split']} split, seed {result['seed']}"
    yield f"{wording.puzzles(result)}, {asked}, run {wording.run(result)}."
    if (search := result["search"]) is not None:
        yield wording.searched(search)
    if result["samples"] is None:
        yield "Ways that have several answers had as many as cost what a search costs."
    yield ""
    yield f"    {result['command']}"
    yield ""
    yield f"![share solved over operations]({folder}/exam-{number}.svg)"
    yield f"![share solved over seconds]({folder}/exam-{number}-time.svg)"
    yield ""
    first = result["arms"][0]["arm"]
    yield f"| way | solved | share | tokens | MFLOP | seconds | minus {first}, points | alone : {first} alone |"
    yield "|---|---|---|---|---|---|---|---|"
    for arm in result["arms"]:
        against = arm.get("against")
        difference = "" if against is None else _points(against, 1)
        alone = "" if against is None else f"{against['only_this']} : {against['only_that']}, p = {against['p']:.2g}"
        counts = f"{arm['solved']:,} of {arm['count']:,} | {wording.share(arm)}"
        costs = f"{arm['tokens_per_puzzle']:,.0f} | {arm['flops_per_puzzle'] / 1e6:,.1f} | {arm['seconds']:,.0f}"
        yield f"| {_named(arm)} | {counts} | {costs} | {difference} | {alone} |"


def _verdict(result: Result) -> tuple[str, str, str, str, str]:
    """System 1, search, the best of the others, the difference, and what it says. Empty where there was no search."""
    arms = {arm["arm"]: arm for arm in result["arms"]}
    greedy = wording.share(arms["greedy"]) if "greedy" in arms else ""
    others = [arm for arm in result["arms"] if _other(arm) and "against" in arm]
    if result["arms"][0]["arm"] != SEARCH or not others:
        return greedy, wording.share(arms[SEARCH]) if SEARCH in arms else "", "", "", ""
    best = max(others, key=lambda arm: float(arm["share"]))
    corrected = dict(zip(map(_named, others), holm([arm["against"]["p"] for arm in others]), strict=True))
    against = best["against"]
    low, high = -against["difference_high"], -against["difference_low"]
    told = corrected[_named(best)] < wording.SURE
    says = "**better**" if told and low > 0 else "**worse**" if told and high < 0 else "**cannot tell**"
    return greedy, wording.share(arms[SEARCH]), f"{_named(best)}, {wording.share(best)}", _points(against, -1), says


def _other(arm: Mapping[str, Any]) -> bool:
    return wording.has_to_be_beaten(str(arm["arm"]))


def _named(arm: Mapping[str, Any]) -> str:
    return str(arm["arm"]) if arm["samples"] is None else f"{arm['arm']} × {arm['samples']}"


def _points(against: Mapping[str, Any], sign: int) -> str:
    ends = sorted(sign * 100 * against[name] for name in ("difference_low", "difference_high"))
    return f"{sign * 100 * against['difference']:+.1f} ({ends[0]:+.1f} to {ends[1]:+.1f})"


def _weighed(result: Result) -> str:
    search = result["search"]
    if search is None:
        return ""
    rule = search["rule"]
    weight = f"{rule['value_scale']:g}" if rule["kind"] == "gumbel" else str(rule["kind"])
    return ", ".join([str(search["simulations"]), weight, *_asked(search)])


def _asked(search: Mapping[str, Any]) -> Iterator[str]:
    if "heads" in search:
        yield f"heads {'+'.join(map(str, search['heads']))}"
    if "caution" in search:
        yield f"caution {search['caution']:g}"
    if search.get("keep_tree"):
        yield "tree kept"
    if "prior" in search:
        yield f"prior {search['prior']}"
