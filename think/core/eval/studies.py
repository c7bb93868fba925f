"""What the files of shipped studies of trained runs say. No torch.

They train nothing; `think ablate` has those that do. A file of think/presets/sweeps is one for
`think eval sweep --study`, one of think/presets/steering for `think eval steering --study`.
"""

from typing import Annotated

from pydantic import Field, NonNegativeInt

from think.presets.base import Fraction, Settings

Line = Annotated[str, Field(min_length=1)]


class SweepStudy(Settings):
    """One option of searches at several values."""

    summary: Line
    "the question, and what its answer can mean"
    over: Line
    "the option, one of those that --over takes"
    values: tuple[int | float | str, ...]
    "its values, as --over takes them"


class SteeringStudy(Settings):
    """Injection at several rates and lags."""

    summary: Line
    "the question, and what its answer can mean"
    rates: tuple[Fraction, ...]
    "shares of the way, as --rate takes them"
    lags: tuple[NonNegativeInt, ...]
    "tokens too late, as --lag takes them"
    plan_tokens: Annotated[int, Field(ge=2)]
    "tokens of a true continuation that are the plan"
