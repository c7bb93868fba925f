"""One exam at several values of one option: the same puzzles, the same arms, and every difference paired by puzzle.

Values that are numbers are compared with their neighbours, in their order; others with the first one. A verdict holds
for all comparisons of a sweep together, by Holm's correction of McNemar's exact p. What is asked is a trained run:
nothing is trained, so a head of the critic that is left out was still trained beside the others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from think.core import plugins
from think.core.errors import UsageError
from think.core.eval.reasoning.arms import FAMILY, Arm
from think.core.eval.reasoning.measure import Measured
from think.core.eval.reasoning.searching import PRIORS, RULES, Searching, heads_of, heads_said
from think.core.eval.reasoning.wording import SURE
from think.core.statistics import holm

Verdict = Literal["more", "fewer", "cannot tell"]
Monotone = Literal["yes", "no", "cannot tell"]

YES_OR_NO = ("no", "yes")

EACH, ALL = "each", "all"
"Of heads: every single one in its turn; the mean of all of them."


@dataclass(frozen=True)
class Option:
    """One that can be swept.

    parse     a value from its text. Raises ValueError for another one, UsageError where it can say more
    ordered   whether values are numbers, which have neighbours
    moves     whether the option has an effect on an arm
    """

    parse: Callable[[str], Any]
    ordered: bool
    moves: Callable[[Arm], bool]


def _searches(arm: Arm) -> bool:
    return arm.searches


def _judged(arm: Arm) -> bool:
    return "critic" in arm.needs


def _count(text: str) -> int:
    if int(text) < 1:
        raise ValueError("below 1")
    return int(text)


def _searches_exactly(arm: Arm) -> bool:
    return arm.searches and "critic" in arm.needs


def _yes(text: str) -> bool:
    if text not in YES_OR_NO:
        raise ValueError("neither yes nor no")
    return text == "yes"


def _prior(text: str) -> str:
    if text not in PRIORS:
        raise ValueError("no such prior")
    return text


def _rule(text: str) -> str:
    if text not in RULES:
        raise ValueError("no such rule")
    return text


OPTIONS: Mapping[str, Option] = {
    "simulations": Option(_count, ordered=True, moves=_searches),
    "considered": Option(_count, ordered=True, moves=_searches),
    "value_scale": Option(float, ordered=True, moves=_searches),
    "exploration": Option(float, ordered=True, moves=_searches),
    "rule": Option(_rule, ordered=False, moves=_searches),
    "heads": Option(heads_of, ordered=False, moves=_judged),
    "caution": Option(float, ordered=True, moves=_judged),
    "prior": Option(_prior, ordered=False, moves=_searches_exactly),
    "keep_tree": Option(_yes, ordered=False, moves=_searches_exactly),
}


@dataclass(frozen=True)
class Sweep:
    """An option and the values that it is to have, at least two different ones; numbers stand in their order."""

    over: str
    values: tuple[Any, ...]

    @property
    def option(self) -> Option:
        return OPTIONS[self.over]

    def said(self, value: Any) -> str:
        """A value as text."""
        if self.over == "heads":
            return heads_said(value)
        if isinstance(value, bool):
            return YES_OR_NO[value]
        return f"{value:g}" if isinstance(value, float) else str(value)

    def put(self, base: Searching, value: Any) -> Searching:
        """What is asked with one of the values. Raises UsageError for what cannot be asked together."""
        asked: Searching = replace(base, **{self.over: value})
        asked.check()
        return asked


def sweep(over: str, texts: Sequence[str], layers: int) -> Sweep:
    """A sweep from words. layers: of the critic, one head on each. Raises UsageError."""
    option, values = _option(over), list[Any]()
    for text in texts:
        if over == "heads" and text == EACH:
            values += [(layer,) for layer in range(layers)]
            continue
        try:
            values.append(option.parse(text))
        except ValueError:
            raise UsageError(f"{text!r} is no value of {over}", where="--over", expected=_expected(over)) from None
    if option.ordered:
        values.sort()
    if len(set(values)) < max(2, len(values)):
        raise UsageError(
            f"{over} at {', '.join(texts) or 'nothing'}",
            where="--over",
            expected="two or more values, each of them once",
        )
    return Sweep(over, tuple(values))


def split(over: str, arms: Sequence[str]) -> tuple[list[str], list[str]]:
    """Arms on which an option has an effect, and the others. Raises UsageError where there are none of the first."""
    option = _option(over)
    moved = [name for name in arms if option.moves(plugins.load(FAMILY, name))]
    if not moved:
        raise UsageError(
            f"{over} has no effect on {', '.join(arms)}", where="--arm", expected="an arm on which it has one: search"
        )
    return moved, [name for name in arms if name not in moved]


def _option(over: str) -> Option:
    if over not in OPTIONS:
        raise UsageError(f"no option {over!r} to go through", where="--over", expected=f"one of {', '.join(OPTIONS)}")
    return OPTIONS[over]


def _expected(over: str) -> str:
    if over == "rule":
        return " or ".join(RULES)
    if over in ("prior", "keep_tree"):
        return " or ".join(PRIORS if over == "prior" else YES_OR_NO)
    if over == "heads":
        return "all, each, or layers such as 0 or 0+2"
    return "a whole number from 1 on" if OPTIONS[over].parse is _count else "a number"


@dataclass(frozen=True)
class Step:
    """What one value solves against another. difference: as `Measured.against` gives it; p: corrected."""

    than: int
    against: Mapping[str, Any]
    p: float

    @property
    def verdict(self) -> Verdict:
        if self.p >= SURE:
            return "cannot tell"
        return "more" if self.against["difference"] > 0 else "fewer"


def compared(arms: Sequence[Sequence[Measured]], *, ordered: bool) -> list[list[Step]]:
    """For each arm, measured at all values: a step to each value but the first, all of them corrected together."""
    pairs = [[(place - 1 if ordered else 0, place) for place in range(1, len(arm))] for arm in arms]
    found = [[(than, arm[at].against(arm[than])) for than, at in of] for arm, of in zip(arms, pairs, strict=True)]
    corrected = iter(holm([against["p"] for arm in found for _, against in arm]))
    return [[Step(than, against, next(corrected)) for than, against in arm] for arm in found]


def monotone(steps: Sequence[Step]) -> Monotone:
    """Whether more of the option solves more: yes where every step is told to rise, no where one is told to fall."""
    verdicts = {step.verdict for step in steps}
    if "fewer" in verdicts:
        return "no"
    return "yes" if verdicts == {"more"} else "cannot tell"


def as_json(through: Sweep, found: Sequence[Sequence[Measured]], beside: Sequence[Measured]) -> dict[str, Any]:
    """found: for each arm that the option moves, what was measured at each value; beside: the other arms, once."""
    steps = compared(found, ordered=through.option.ordered)
    said = [through.said(value) for value in through.values]
    return {
        "over": through.over,
        "ordered": through.option.ordered,
        "values": said,
        "arms": [
            {
                "arm": arm[0].arm,
                "monotone": monotone(own) if through.option.ordered else None,
                "points": [
                    one.as_json() | {"value": value, "against": None if step is None else _told(step, said)}
                    for one, value, step in zip(arm, said, [None, *own], strict=True)
                ],
            }
            for arm, own in zip(found, steps, strict=True)
        ],
        "beside": [one.as_json() for one in beside],
    }


def _told(step: Step, said: Sequence[str]) -> dict[str, Any]:
    return dict(step.against) | {"than": said[step.than], "p_corrected": step.p, "verdict": step.verdict}
