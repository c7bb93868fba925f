"""What a search is told: how many simulations, and by which rule actions are chosen.

Sources: Danihelka et al. 2022, "Policy improvement by planning with Gumbel" (gumbel); Schrittwieser et al. 2020,
"Mastering Atari, Go, chess and shogi by planning with a learned model", appendix B (puct).
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from think.core.errors import BadSettings
from think.presets.base import Fraction, Settings, knob


class Gumbel(Settings):
    """Sequential halving over sampled actions at the root, and visits in proportion to the improved policy below it."""

    kind: Literal["gumbel"] = "gumbel"
    considered: PositiveInt = knob(16, acts_on="evaluation")
    "actions looked at from the root; at a position with fewer legal actions, all of those"
    noise: NonNegativeFloat = knob(1.0, acts_on="evaluation")
    "factor of the Gumbel noise that samples them; 0 takes the most probable ones"
    visit_offset: NonNegativeFloat = knob(50.0, acts_on="evaluation")
    "c_visit of sigma(q) = (c_visit + most visits) c_scale q"
    value_scale: PositiveFloat = knob(0.1, acts_on="evaluation")
    "c_scale of the same; q is scaled to [0, 1]"


class Puct(Settings):
    """Upper confidence bounds that the prior weighs, at the root and below it."""

    kind: Literal["puct"] = "puct"
    exploration: NonNegativeFloat = knob(1.25, acts_on="evaluation")
    "c1 of the weight of the prior, c1 + ln((N + c2 + 1) / c2)"
    growth: PositiveFloat = knob(19652.0, acts_on="evaluation")
    "c2 of the same, in visits"


class SearchSettings(Settings):
    """A tree search over a world model."""

    simulations: PositiveInt = knob(64, acts_on="evaluation")
    "paths from the root that are followed, each to an action not tried before"
    discount: Fraction = knob(1.0, acts_on="evaluation")
    "what the value of a node is worth one step before it"
    depth: PositiveInt | None = knob(None, acts_on="evaluation")
    "steps from the root beyond which the world model is not trusted; none: as deep as the simulations lead"
    rule: Annotated[Gumbel | Puct, Field(discriminator="kind")] = Gumbel()
    "how actions are chosen"

    def check(self, actions: int, where: str = "rule.considered") -> None:
        """Raises BadSettings when a world of this many actions cannot be searched so; where: what the user has set."""
        if isinstance(self.rule, Gumbel) and self.rule.considered > actions:
            raise BadSettings(
                f"a search is to consider {self.rule.considered} actions, and the world has {actions}",
                where=where,
                expected=f"at most {actions}",
                remedy=f"set {where} to {actions} or less",
            )
