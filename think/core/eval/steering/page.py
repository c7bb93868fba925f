"""What `think eval steering` found, on the page of exams: a table for each figure, and gains over rate or lag."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from think.core.eval.steering.items import ARMS, PLANNED
from think.core.plots import SIZE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURES = {
    "likelihood": "likelihood of the planned tokens, nats a token",
    "frequency": "share of written tokens that are among the planned ones",
    "beyond": "likelihood of what truly follows on the plan, read in its place, nats a token",
}
OTHERS = tuple(arm for arm in ARMS if arm != PLANNED)

Result = Mapping[str, Any]


def section(number: int, result: Result, folder: str) -> Iterator[str]:
    """Lines of Markdown. folder: where the plots lie, as seen from the page."""
    yield f"## Steering {number}" + ("" if result["study"] is None else f": {result['study']}")
    yield ""
    said = "the true continuation" if result["plan"] is None else f"`{result['plan']!a}`"
    trained = "" if result["step"] is None else f" after {result['step']:,} steps"
    windows = f"{result['count']:,} windows of {result['prompt_tokens']} tokens of the {result['split']} split"
    yield f"Run `{result['run']}`{trained}, {windows}; the plan is {said}, {result['plan_tokens']} tokens."
    yield "Gain over no injection, all layers sure, 95 % intervals, paired by window where plans are compared."
    yield ""
    yield f"    {result['command']}"
    for name in _measured(result):
        yield ""
        yield f"### {FIGURES[name][:1].upper()}{FIGURES[name][1:]}"
        yield ""
        yield f"![gain]({folder}/steering-{number}-{name}.svg)"
        yield ""
        yield f"| rate | lag | alpha | plan | {' | '.join(f'more than {arm}' for arm in OTHERS)} | |"
        yield f"|---|---|---|---|{'---|' * len(OTHERS)}---|"
        for one in result["results"]:
            arms = one[name]
            leads = " | ".join(_interval(arms[arm]["lead"]) for arm in OTHERS)
            yield (
                f"| {one['rate']:g} | {one['lag']} | {one['alpha']:.3g} | {_interval(arms[PLANNED]['gain'])} "
                f"| {leads} | {_says(arms)} |"
            )


def plots(result: Result) -> Iterator[tuple[str, bytes]]:
    """For each figure its name and an SVG: what each plan gains, over the lag where it changes, else the rate."""
    late = len({one["lag"] for one in result["results"]}) > 1
    across, other = ("lag", "rate") if late else ("rate", "lag")
    for name in _measured(result):

        def fill(axes: "Axes", name: str = name) -> None:
            for fixed in dict.fromkeys(one[other] for one in result["results"]):
                some = [one for one in result["results"] if one[other] == fixed]
                for arm in ARMS:
                    gains = [one[name][arm]["gain"] for one in some]
                    values = [gain["value"] for gain in gains]
                    ends = zip(values, (gain["interval"] for gain in gains), strict=True)
                    spread = list(zip(*((value - low, high - value) for value, (low, high) in ends), strict=True))
                    label = f"{arm}, {other} {fixed:g}" if late else arm
                    axes.errorbar([one[across] for one in some], values, yerr=spread, capsize=3, label=label)
            axes.axhline(0.0, color="grey", linewidth=1.0, linestyle=":")
            axes.set_xlabel(across)
            axes.set_ylabel(f"gain: {name}")
            axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))

        yield name, figure(fill, size=SIZE)


def _measured(result: Result) -> list[str]:
    return [name for name in FIGURES if all(name in one for one in result["results"])]


def _interval(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['value']:+.4f} ({low:+.4f} to {high:+.4f})"


def _says(arms: Mapping[str, Any]) -> str:
    """Whether the plan raised the figure, and more than every other plan did, intervals included."""
    low, high = arms[PLANNED]["gain"]["interval"]
    if high < 0:
        return "**lowered**"
    if low <= 0:
        return "**unmoved**" if low == high == 0 else "**cannot tell**"
    more = all(arms[arm]["lead"]["interval"][0] > 0 for arm in OTHERS)
    return "**raised, more than by every other**" if more else "**raised**, not told from every other"
