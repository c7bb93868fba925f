"""What is asked of the searches of an exam, before it is known which task they search."""

from dataclasses import dataclass
from math import inf
from typing import Any

from think.core.data.puzzles import Task
from think.core.errors import UsageError
from think.core.planning.rules import Gumbel, Puct, SearchSettings

SIMULATIONS, CONSIDERED, VALUE_SCALE = 64, 16, 1.0
"What is asked where nothing is said; of fewer actions than that all are considered."

GUMBEL, PUCT = "gumbel", "puct"
RULES = (GUMBEL, PUCT)

MODEL, FUSED = "model", "fused"
PRIORS = (MODEL, FUSED)
"The policy of searches in the exact world: the model's own, or that of all its layers, learned in stage 4."


@dataclass(frozen=True)
class Searching:
    """None: as usual.

    considered, value_scale   of the rule gumbel
    exploration               of the rule puct
    heads, caution            of the critic: the layers whose heads judge, and how cautiously
    rules_below               below the root of a search, the rules say what is legal
    keep_tree                 a search goes on with what the one before it foresaw below the action that was taken
    prior                     whose policy a search in the exact world follows
    """

    simulations: int = SIMULATIONS
    rule: str = GUMBEL
    considered: int | None = None
    value_scale: float | None = None
    exploration: float | None = None
    heads: tuple[int, ...] | None = None
    caution: float | None = None
    rules_below: bool = True
    keep_tree: bool = False
    prior: str = MODEL

    def settings(self, task: Task) -> SearchSettings:
        """Without noise. Raises UsageError as `check` does, and BadSettings for what no search of the task can do."""
        self.check()
        search = SearchSettings(simulations=self.simulations, rule=self._rule(len(task.actions)))
        search.check(len(task.actions), "--considered")
        return search

    def check(self) -> None:
        """Raises UsageError for what no search and no critic can do, and for what would do nothing."""
        if self.rule not in RULES:
            raise UsageError(f"no rule {self.rule!r}", where="--rule", expected=" or ".join(RULES))
        if self.prior not in PRIORS:
            raise UsageError(f"no prior {self.prior!r}", where="--prior", expected=" or ".join(PRIORS))
        of_gumbel = {"--considered": self.considered, "--value-scale": self.value_scale}
        for name, value in ({"--exploration": self.exploration} if self.rule == GUMBEL else of_gumbel).items():
            if value is not None:
                other = PUCT if self.rule == GUMBEL else GUMBEL
                raise UsageError(f"{name} is of the rule {other}", where=name, expected=f"it with --rule {other} alone")
        if self.value_scale is not None and not 0 < self.value_scale < inf:
            raise UsageError(
                f"{self.value_scale} is no weight of values", where="--value-scale", expected="a number above 0"
            )
        for name, value in (("--exploration", self.exploration), ("--caution", self.caution)):
            if value is not None and not 0 <= value < inf:
                raise UsageError(f"{name} {value:g}", where=name, expected="a number from 0 on")
        if self.caution and self.heads is not None and len(self.heads) == 1:
            raise UsageError(
                "one head has no deviation that a caution could take off",
                where="--caution",
                expected="several heads, or no --caution",
            )

    def as_json(self, task: Task) -> dict[str, Any]:
        """The settings of the search; of the critic's heads and of the prior only what was asked for."""
        asked: dict[str, Any] = {"rules_below": self.rules_below}
        if self.heads is not None:
            asked["heads"] = list(self.heads)
        if self.caution is not None:
            asked["caution"] = self.caution
        if self.keep_tree:
            asked["keep_tree"] = True
        if self.prior != MODEL:
            asked["prior"] = self.prior
        return self.settings(task).model_dump(mode="json") | asked

    def _rule(self, actions: int) -> Gumbel | Puct:
        if self.rule == PUCT:
            return Puct() if self.exploration is None else Puct(exploration=self.exploration)
        considered = min(CONSIDERED, actions) if self.considered is None else self.considered
        scale = VALUE_SCALE if self.value_scale is None else self.value_scale
        return Gumbel(considered=considered, noise=0.0, value_scale=scale)


def heads_of(text: str) -> tuple[int, ...] | None:
    """`all`, or layers such as 0 or 0+2. Raises UsageError for anything else, and for a head named twice."""
    if text == "all":
        return None
    parts = text.split("+")
    if not all(part.isascii() and part.isdigit() for part in parts) or len(set(map(int, parts))) < len(parts):
        raise UsageError(f"heads {text!r}", where="--heads", expected="all, or layers from 0 on, such as 0 or 0+2")
    return tuple(sorted(map(int, parts)))


def heads_said(heads: tuple[int, ...] | None) -> str:
    """The same, as text."""
    return "all" if heads is None else "+".join(map(str, heads))
