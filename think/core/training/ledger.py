"""What a training run writes down, and when: one method a record, so that the loop reads as a story."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from think.core.training.anomalies import AnomalySettings, Watch
from think.core.training.evaluate import Score
from think.core.training.gradients import component_ratio
from think.core.training.health import Health, TelemetrySettings
from think.core.training.step import Outcome


class Records(Protocol):
    """Whoever takes records; `core.telemetry.writer.Writer` in a run."""

    def write(self, kind: str, step: int | None = None, **fields: Any) -> None: ...


class Nobody:
    """Takes records and keeps none: what a process of a run writes to that is not the first."""

    def write(self, kind: str, step: int | None = None, **fields: Any) -> None:
        return


@dataclass(frozen=True)
class StepFacts:
    """One finished step. `tokens`: scored since the start of the run; `norms`: by component, when looked at."""

    step: int
    outcome: Outcome
    gradient_norm: float
    learning_rate: float
    length: int
    read: int
    tokens: int
    seconds: float
    start_state_norm: float | None
    start_state_share: float
    norms: Mapping[str, float] | None
    health: Sequence[Health]
    saturated: Mapping[tuple[int, str], float]


class Ledger:
    """Telemetry of one run: cadence, detail and the anomaly rules."""

    def __init__(self, records: Records, settings: TelemetrySettings, anomalies: AnomalySettings):
        self._records, self._settings = records, settings
        self.watch = Watch(anomalies)

    def wants_step(self, step: int) -> bool:
        return step % self._settings.steps_every == 0 or self.watch.detailed(step)

    def wants_gradients(self, step: int) -> bool:
        return _due(step, self._settings.gradients_every) or self.watch.detailed(step)

    def wants_health(self, step: int) -> bool:
        return _due(step, self._settings.health_every) or self.watch.detailed(step)

    def step(self, facts: StepFacts) -> None:
        """Write what is due for a step, and let the anomaly rules look at it."""
        if self.wants_step(facts.step):
            self._write_step(facts)
        ratio = None if facts.norms is None else component_ratio(facts.norms)
        if facts.norms is not None:
            limit = self.watch.settings.component_ratio
            warning = ratio is not None and not 1 / limit <= ratio <= limit
            self._records.write(
                "component_gradients", facts.step, norms=dict(facts.norms), ratio=ratio, warning=warning
            )
        seen = facts.outcome.predictions
        self._write_health(facts)
        begun = self.watch.look(
            facts.step,
            gradient_norm=facts.gradient_norm,
            top_probability=None if seen is None else seen.top_probability,
            distinct_share=None if seen is None else seen.distinct_share,
            saturation={f"layer {layer} {branch}": share for (layer, branch), share in facts.saturated.items()},
            component_ratio=ratio,
            length=facts.length,
            # Records of raised detail would crowd the windows with steps that lie close together.
            states=_levels(facts.health) if _due(facts.step, self._settings.health_every) else None,
        )
        for anomaly in begun:
            place = "" if anomaly.where is None else f" at {anomaly.where}"
            self._records.write(
                "anomaly",
                facts.step,
                rule=anomaly.rule,
                value=anomaly.value,
                limit=anomaly.limit,
                message=f"{anomaly.rule.replace('_', ' ')}{place}: {anomaly.value:.4g}, limit {anomaly.limit:.4g}",
                detail_until_step=self.watch.detail_until,
            )

    def evaluation(self, step: int, score: Score, seconds: float, *, whole: bool) -> None:
        """Write a held-out loss; `whole`: the split was read to its end."""
        low, high = score.interval
        known = {"interval": [low, high]} if math.isfinite(low) and math.isfinite(high) else {}
        self._records.write(
            "eval",
            step,
            split="validation",
            loss=score.loss,
            tokens=score.tokens,
            seconds=seconds,
            whole=whole,
            **known,
        )

    def checkpoint(self, step: int, path: Path, seconds: float) -> None:
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        self._records.write("checkpoint", step, path=f"{path.parent.name}/{path.name}", bytes=size, seconds=seconds)

    def _write_step(self, facts: StepFacts) -> None:
        outcome = facts.outcome
        fields: dict[str, Any] = {
            "loss": outcome.loss,
            "objective": outcome.objective,
            "learning_rate": facts.learning_rate,
            "gradient_norm": facts.gradient_norm,
            "tokens": facts.tokens,
            "tokens_per_second": facts.read / facts.seconds if facts.seconds > 0 else math.inf,
            "seconds": facts.seconds,
            "length": facts.length,
        }
        if outcome.entropy is not None:
            fields["entropy"] = outcome.entropy
        if facts.start_state_norm is not None:
            fields["h0_gradient"] = facts.start_state_norm
            fields["h0_share"] = facts.start_state_share
        self._records.write("step", facts.step, **fields)

    def _write_health(self, facts: StepFacts) -> None:
        seen, saturated = facts.outcome.predictions, dict(facts.saturated)
        whole = {} if seen is None else {"hidden_entropy": seen.hidden_entropy, "logit_entropy": seen.logit_entropy}
        for record in facts.health:
            share = saturated.pop((record.layer, record.branch), None)
            gates = {} if share is None else {"saturated": share}
            self._records.write("state_health", facts.step, **record.as_json(), **gates, **whole)
        for (layer, branch), share in saturated.items():
            self._records.write("state_health", facts.step, layer=layer, branch=branch, saturated=share)


def _levels(health: Sequence[Health]) -> dict[str, float]:
    """What must keep its level in each state."""
    return {
        f"{name} of layer {each.layer} {each.branch}": value
        for each in health
        for name, value in (("norm", each.norm), ("participation", each.participation))
    }


def _due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0
