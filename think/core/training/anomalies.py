"""Rules that notice when a run goes wrong, from what the step has already computed.

A rule speaks when its condition begins, not at every step while it lasts, and then keeps quiet until the detail that it
raised is over. The raised detail lasts a set number of steps, counted once per step however many rules spoke. What the
rules remember is plain data, so a resumed run goes on noticing where it stopped.

    gradient_spike    pre-clip norm above `spike` times the median of the last `window`
    mode_collapse     mean top-1 probability above `top_probability` while fewer than `distinct_share` of the tokens
                      that occur as targets occur as predictions
    saturated         more than `saturated_share` of the gates of some layer and branch are saturated (see health)
    component_ratio   gradients of the two branches differ by more than `component_ratio` in either direction
    phase_shift       gradient norm, or a state's norm or participation, leaves its level for good (see shifts)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Annotated, Any, ClassVar

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from think.core.training.shifts import Bounds, Levels
from think.presets.base import Fraction, Settings, knob


class WatchSettings(Settings):
    """What counts as going wrong in any training."""

    spike: Annotated[float, Field(gt=1.0)] = knob(5.0, acts_on="cadence")
    "gradient norm that is a spike, as a multiple of the running median"
    window: PositiveInt = knob(64, acts_on="cadence")
    "steps of the running median; no spike is called before there are as many"
    shift_window: PositiveInt = knob(24, acts_on="cadence", came_later=True)
    "records whose median is the level of a figure; three windows are compared before a shift of the level is called"
    shift_factor: Annotated[float, Field(gt=1.0)] = knob(2.0, acts_on="cadence", came_later=True)
    "smallest change of level, up or down, that is a phase shift"
    shift_noise: NonNegativeFloat = knob(4.0, acts_on="cadence", came_later=True)
    "deviations of the figure that a change of its level must exceed to be a phase shift"
    detail_steps: NonNegativeInt = knob(20, acts_on="cadence")
    "steps of full telemetry after an anomaly"


class AnomalySettings(WatchSettings):
    """What counts as going wrong in a language model."""

    in_order: ClassVar = (
        "spike",
        "window",
        "top_probability",
        "distinct_share",
        "saturated_share",
        "component_ratio",
        "shift_window",
        "shift_factor",
        "shift_noise",
        "detail_steps",
    )
    top_probability: Fraction = knob(0.95, acts_on="cadence")
    "mean probability of the likeliest token above which, with few distinct tokens, predictions have collapsed"
    distinct_share: Fraction = knob(0.3, acts_on="cadence")
    "distinct predicted tokens over distinct targets, below which predictions may have collapsed"
    saturated_share: Fraction = knob(0.3, acts_on="cadence")
    "share of a layer's gates beyond their useful range, above which it is an anomaly"
    component_ratio: Annotated[float, Field(gt=1.0)] = knob(10.0, acts_on="cadence")
    "ratio of the branches' gradient norms, either way, above which they are out of balance"


@dataclass(frozen=True)
class Anomaly:
    rule: str
    value: float
    limit: float
    where: str | None = None


@dataclass
class Watch:
    """The rules and what they remember; those about a language model speak where the settings are of one."""

    settings: WatchSettings
    norms: list[float] = field(default_factory=list)
    active: list[str] = field(default_factory=list)
    quiet_until: dict[str, int] = field(default_factory=dict)
    detail_until: int = 0
    levels: Levels = field(init=False)

    def __post_init__(self) -> None:
        asked = self.settings
        self.levels = Levels(Bounds(asked.shift_window, asked.shift_factor, asked.shift_noise))

    def look(
        self,
        step: int,
        *,
        gradient_norm: float,
        top_probability: float | None = None,
        distinct_share: float | None = None,
        saturation: Mapping[str, float] | None = None,
        component_ratio: float | None = None,
        length: int = 0,
        states: Mapping[str, float] | None = None,
    ) -> list[Anomaly]:
        """What begins to be wrong at this step; None stands for "not looked at", which ends and begins nothing.

        length: tokens per row.   states: figures of states above zero by place, at equal distances in steps.
        """
        begun = self._spike(step, gradient_norm)
        if isinstance(self.settings, AnomalySettings):
            limits = self.settings
            begun += self._of_language(step, limits, top_probability, distinct_share, saturation or {}, component_ratio)
        for where, found in self.levels.look(length, {"gradient norm": gradient_norm, **(states or {})}).items():
            begun += self._edge(step, found.happened, Anomaly("phase_shift", found.ratio, found.limit, where))
        if begun:
            self.detail_until = step + self.settings.detail_steps
        return begun

    def detailed(self, step: int) -> bool:
        """Whether telemetry is in full detail at this step."""
        return step <= self.detail_until

    def as_json(self) -> dict[str, Any]:
        return {
            "norms": self.norms,
            "active": self.active,
            "quiet_until": self.quiet_until,
            "detail_until": self.detail_until,
            "levels": self.levels.as_json(),
        }

    def load(self, held: Mapping[str, Any]) -> None:
        """Take back what `as_json` gave."""
        self.norms, self.active = list(held["norms"])[-self.settings.window :], list(held["active"])
        self.quiet_until, self.detail_until = dict(held["quiet_until"]), held["detail_until"]
        if "levels" in held:  # a run of before phase shifts were looked for has none
            self.levels.load(held["levels"])

    def _spike(self, step: int, norm: float) -> list[Anomaly]:
        begun: list[Anomaly] = []
        if len(self.norms) >= self.settings.window:
            limit = self.settings.spike * median(self.norms)
            begun = self._edge(step, norm > limit, Anomaly("gradient_spike", norm, limit))
        self.norms = [*self.norms, norm][-self.settings.window :]
        return begun

    def _of_language(
        self,
        step: int,
        limits: AnomalySettings,
        top_probability: float | None,
        distinct_share: float | None,
        saturation: Mapping[str, float],
        ratio: float | None,
    ) -> list[Anomaly]:
        begun: list[Anomaly] = []
        if top_probability is not None and distinct_share is not None:
            limit = limits.top_probability
            collapsed = top_probability > limit and distinct_share < limits.distinct_share
            begun += self._edge(step, collapsed, Anomaly("mode_collapse", top_probability, limit))
        for where, share in saturation.items():
            limit = limits.saturated_share
            begun += self._edge(step, share > limit, Anomaly("saturated", share, limit, where))
        if ratio is not None:
            limit = limits.component_ratio
            outside = ratio > limit or ratio < 1 / limit
            begun += self._edge(step, outside, Anomaly("component_ratio", ratio, limit))
        return begun

    def _edge(self, step: int, now: bool, anomaly: Anomaly) -> list[Anomaly]:
        key = anomaly.rule if anomaly.where is None else f"{anomaly.rule} {anomaly.where}"
        before = key in self.active
        if before and not now:
            self.active.remove(key)
        if not now or before:
            return []
        self.active.append(key)
        quiet = key in self.quiet_until and step <= self.quiet_until[key]
        if quiet:
            return []
        self.quiet_until[key] = step + self.settings.detail_steps
        return [anomaly]
