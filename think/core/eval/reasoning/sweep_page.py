"""What a sweep found: a table of its values, and share solved over them as SVG."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from think.core.eval.reasoning import wording
from think.core.plots import SIZE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHARE, POINTS = "share, 95 %", "points, 95 %"

SPREAD = 4
"Largest value over smallest from which a scale of powers shows them better."


def section(number: int, result: Mapping[str, Any], folder: str) -> Iterator[str]:
    """Lines of Markdown. folder: where the plots lie, as seen from the page."""
    over = result["over"]
    yield f"## Sweep {number}: {over}"
    yield ""
    asked = f"{result['count']:,} puzzles of the {result['split']} split, seed {result['seed']}"
    yield f"{wording.puzzles(result)}, {asked}, run {wording.run(result)}."
    if result["search"] is not None:
        yield wording.searched(result["search"], without=over)
    whom = "the value before it" if result["ordered"] else f"{over} {result['values'][0]}"
    yield f"Each value is held against {whom}, puzzle by puzzle; p is McNemar's, corrected by Holm for all"
    yield "comparisons of this sweep, and a verdict is given below 0.05. Intervals are not corrected."
    yield ""
    yield f"    {result['command']}"
    yield ""
    yield f"![share solved over {over}]({folder}/sweep-{number}.svg)"
    yield ""
    yield f"| {over} | way | solved | {SHARE} | MFLOP | seconds | against | {POINTS} | alone : other alone | p | |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for row in cells(result):
        *most, verdict = row
        yield f"| {' | '.join(most)} | {f'**{verdict}**' if verdict else ''} |"
    for arm in result["arms"]:
        if arm["monotone"] is not None:
            yield ""
            yield f"{arm['arm']}: does more of {over} solve more? **{arm['monotone']}**"


def cells(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Rows of the table: each arm at each value, then the arms that the option does not move."""
    for arm in result["arms"]:
        for point in arm["points"]:
            yield (point["value"], *_measured(point), *_against(point["against"]))
    for one in result["beside"]:
        yield ("", *_measured(one), *_against(None))


def plot(result: Mapping[str, Any]) -> bytes:
    """SVG: share solved over the values, with Wilson intervals; arms that the option does not move as levels."""

    def fill(axes: "Axes") -> None:
        places = _places(result)
        for arm in result["arms"]:
            points = arm["points"]
            spread = [[p["share"] - p["low"] for p in points], [p["high"] - p["share"] for p in points]]
            line = "o-" if result["ordered"] else "o"
            axes.errorbar(places, [p["share"] for p in points], yerr=spread, fmt=line, capsize=3, label=arm["arm"])
        for color, one in enumerate(result["beside"], len(result["arms"])):
            axes.axhline(one["share"], color=f"C{color}", linewidth=1.0, linestyle=":", label=one["arm"])
            axes.axhspan(one["low"], one["high"], color=f"C{color}", alpha=0.12, linewidth=0)
        if _logarithmic(result):
            axes.set_xscale("log", base=2)
            axes.minorticks_off()
        axes.set_xticks(places, result["values"])
        axes.set_ylim(0, 1.02)
        axes.set_xlabel(result["over"])
        axes.set_ylabel("share solved")
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))

    return figure(fill, size=SIZE)


def _places(result: Mapping[str, Any]) -> list[float]:
    """Where the values stand: numbers where they belong, others side by side."""
    if not result["ordered"]:
        return [float(place) for place in range(len(result["values"]))]
    return [float(value) for value in result["values"]]


def _logarithmic(result: Mapping[str, Any]) -> bool:
    places = _places(result)
    return bool(result["ordered"]) and places[0] > 0 and places[-1] >= SPREAD * places[0]


def _measured(one: Mapping[str, Any]) -> tuple[str, ...]:
    name = str(one["arm"]) if one["samples"] is None else f"{one['arm']} × {one['samples']}"
    solved = f"{one['solved']:,} of {one['count']:,}"
    return name, solved, wording.share(one), f"{one['flops_per_puzzle'] / 1e6:,.1f}", f"{one['seconds']:,.0f}"


def _against(found: Mapping[str, Any] | None) -> tuple[str, ...]:
    if found is None:
        return ("",) * 5
    ends = f"{100 * found['difference_low']:+.1f} to {100 * found['difference_high']:+.1f}"
    alone = f"{found['only_this']} : {found['only_that']}"
    difference = f"{100 * found['difference']:+.1f} ({ends})"
    return str(found["than"]), difference, alone, f"{found['p_corrected']:.2g}", str(found["verdict"])
