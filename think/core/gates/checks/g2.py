"""A fresh model is undecided: the entropy of its first guesses is near that of knowing nothing."""

import math
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from think.core.gates.checks import Example, Gate, Turn
from think.core.gates.evidence import InitialEntropy
from think.core.gates.verdict import Band, Finding, Status, Verdict, worst
from think.presets.base import Fraction, knob
from think.presets.base import Settings as Base

# Entropy cannot exceed ln V; this much is rounding in float32 sums over a large vocabulary.
ROUNDING = 1e-3


class ShareBand(Base):
    """Entropy as a share of ln V, the entropy of knowing nothing."""

    kind: Literal["share"] = "share"
    passes: Fraction = knob(0.90, acts_on="judge")
    "smallest share of ln V that passes"
    warns: Fraction = knob(0.50, acts_on="judge")
    "smallest share of ln V that is a warning and not a failure"

    @model_validator(mode="after")
    def _ordered(self) -> "ShareBand":
        if self.warns > self.passes:
            raise ValueError(f"warns = {self.warns} must not exceed passes = {self.passes}")
        return self


class NatsBand(Base):
    """Entropy in nats, for a preset that fixes a band of its own."""

    kind: Literal["nats"] = "nats"
    low: PositiveFloat = knob(acts_on="judge")
    "smallest entropy that passes, nats"
    high: PositiveFloat = knob(acts_on="judge")
    "largest entropy that passes, nats"

    @model_validator(mode="after")
    def _ordered(self) -> "NatsBand":
        if self.low > self.high:
            raise ValueError(f"low = {self.low} must not exceed high = {self.high}")
        return self


class Settings(Base):
    """Thresholds of g2."""

    band: Annotated[ShareBand | NatsBand, Field(discriminator="kind")] = ShareBand()
    least_positions: PositiveInt = knob(256, acts_on="judge")
    "positions needed behind each seed's mean before judging"


def judge(settings: Settings, seen: InitialEntropy) -> Verdict:
    """The worst seed decides. More entropy than ln V is an error of measurement, and fails."""
    if not seen.nats or seen.positions < settings.least_positions:
        return Verdict.cannot_tell(
            f"{seen.positions:,} positions for {len(seen.nats)} seeds of {settings.least_positions:,} positions needed"
        )
    ceiling = math.log(seen.vocabulary) if seen.vocabulary > 0 else math.nan
    possible = Band.between(0.0, ceiling * (1 + ROUNDING)) if ceiling > 0 else Band((), (Status.FAIL,))
    if isinstance(settings.band, NatsBand):
        band = Band.between(settings.band.low, settings.band.high)
        scale, wanted = 1.0, f"{settings.band.low:g} to {settings.band.high:g} nats"
    else:
        band = Band.at_least(settings.band.passes, warns=settings.band.warns)
        scale, wanted = ceiling, f"share of ln V >= {settings.band.passes:g}"
    words = [worst((band.status(nats / scale if scale else math.nan), possible.status(nats))) for nats in seen.nats]
    mean = sum(seen.nats) / len(seen.nats)
    share = mean / ceiling if ceiling else math.nan
    text = f"entropy {mean:.3f} nats of ln {seen.vocabulary} = {ceiling:.3f}, share {share:.3f}"
    finding = Finding(
        "initial entropy",
        worst(words),
        f"{text}, over {len(seen.nats)} seed{'s' * (len(seen.nats) != 1)}",
        wanted,
        value=mean,
        count=seen.positions * len(seen.nats),
        interval=(min(seen.nats), max(seen.nats)) if len(seen.nats) > 1 else None,
        interval_of="all seeds",
    )
    return Verdict.of([finding], remedy="look at the initialisation of the head and embedding, `[model]` in the preset")


def _entropy(*nats: float, vocabulary: int = 512, positions: int = 1024) -> InitialEntropy:
    return InitialEntropy(nats=nats, vocabulary=vocabulary, positions=positions)


_BAND = Settings(band=NatsBand(low=2.0, high=5.0))

SPEC = Gate(
    Settings=Settings,
    needs=InitialEntropy,
    judge=judge,
    after="g1",
    hangs_on=("model", "code"),
    needs_run=False,
    examples=(
        Example("nearly uniform", _entropy(6.2, 6.21, 6.19), Status.PASS, Settings()),
        Example("half decided", _entropy(4.0), Status.WARN, Settings()),
        Example("collapsed", _entropy(0.7), Status.FAIL, Settings()),
        Example("one bad seed of three", _entropy(6.2, 0.3, 6.2), Status.FAIL, Settings()),
        Example("more than ln V", _entropy(6.09, vocabulary=97), Status.FAIL, Settings()),
        Example("recorded 6.09 against the band 2.0 to 5.0", _entropy(6.09), Status.FAIL, _BAND),
        Example("inside a band in nats", _entropy(4.2), Status.PASS, _BAND),
        Example("too few positions", _entropy(6.2, positions=8), Status.NO_EVIDENCE, Settings()),
    ),
    turns={
        "band.passes": Turn(_entropy(5.8), mild=0.9, strict=0.99),
        "band.warns": Turn(_entropy(4.0), mild=0.5, strict=0.8),
        "band.low": Turn(_entropy(3.0), mild=2.0, strict=4.0),
        "band.high": Turn(_entropy(4.5), mild=5.0, strict=4.0),
        "least_positions": Turn(_entropy(6.2), mild=256, strict=2048),
    },
)
