"""How sure a layer may be of a plan: by what its value head has shown to know, and by how the search agreed.

    confidence_l = skill_l * (v_l - base_l) / (1 - base_l) * (share - 1/n) / (1 - 1/n)          each factor in [0, 1]

v_l     calibrated value of where the plan leads, by the head of layer l: a probability
base_l  what that head says on average; a plan no better than that moves nothing
skill_l 2 AUROC - 1 with the low end of its interval on held-out outcomes: 0 for a head that cannot be told from chance
share   of the simulations that began with the plan's first action, n the actions that the search considered

So a critic that was never trained, or whose values say nothing, injects nothing, whatever numbers it gives.

L layers   N positions
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from think.core.statistics import RESAMPLES, auroc

LEAST = 30
"Positions of each outcome: a head that knows nothing ranks a handful of them right by luck, in every resample."


@dataclass(frozen=True)
class Trust:
    """What held-out outcomes say of the value heads, layer by layer. base: mean value; skill: in [0, 1], see above."""

    base: tuple[float, ...]
    skill: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.base) != len(self.skill) or not all(0.0 <= share <= 1.0 for share in (*self.base, *self.skill)):
            raise ValueError(f"base {self.base} and skill {self.skill}: expected as many shares of each")

    @staticmethod
    def none(layers: int) -> "Trust":
        """Of heads that nobody has examined: none."""
        return Trust((0.5,) * layers, (0.0,) * layers)

    @staticmethod
    def of(base: Sequence[float], auroc_low: Sequence[float]) -> "Trust":
        """From the mean value of each head, and the low end of the interval of its AUROC."""
        return Trust(tuple(base), tuple(min(1.0, max(0.0, 2.0 * low - 1.0)) for low in auroc_low))

    @staticmethod
    def examined(
        values: Float[Tensor, "N L"],
        outcomes: Bool[Tensor, " N"],
        groups: Int[Tensor, " N"] | None = None,
        *,
        resamples: int | None = None,
    ) -> "Trust":
        """Of heads that gave these values to held-out positions of which the outcome is known.

        groups: the game of each position, for the interval; resamples: as many as usual when absent.
        With fewer than LEAST positions of either outcome: none.
        """
        given, came = values.double().cpu().numpy(), outcomes.cpu().numpy()
        if min(int(came.sum()), int((~came).sum())) < LEAST:
            return Trust.none(values.shape[1])
        of = None if groups is None else groups.cpu().numpy()
        often = RESAMPLES if resamples is None else resamples
        lows = [auroc(given[:, layer], came, of, resamples=often).low for layer in range(values.shape[1])]
        return Trust.of(given.mean(0).tolist(), lows)


def confidence(values: Sequence[float], trust: Trust, *, share: float, considered: int) -> tuple[float, ...]:
    """Of each layer, in [0, 1]; 0 everywhere where the search had no choice.

    values: one probability for each layer. share: of the simulations; considered: actions that they chose among.
    """
    agreed = _excess(share, 1.0 / considered) if considered > 1 else 0.0
    heads = zip(values, trust.base, trust.skill, strict=True)
    return tuple(skill * _excess(value, base) * agreed for value, base, skill in heads)


def _excess(value: float, base: float) -> float:
    """How far a share lies above another one, of the way that there is; 0 at or below it."""
    return min(1.0, max(0.0, (value - base) / (1.0 - base))) if base < 1.0 else 0.0
