"""What a training run writes down, and when: one method a record, so that the loop reads as a story."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from think.core.training.anomalies import AnomalySettings, Watch, WatchSettings
from think.core.training.cadence import RecordSettings, due
from think.core.training.gradients import component_ratio
from think.core.training.health import Health
from think.core.training.work import Done, Look, Scored


class Records(Protocol):
    """Whoever takes records; `core.telemetry.writer.Writer` in a run."""

    def write(self, kind: str, step: int | None = None, **fields: Any) -> None: ...


class Nobody:
    """Takes records and keeps none: what a process of a run writes to that is not the first."""

    def write(self, kind: str, step: int | None = None, **fields: Any) -> None:
        return


@dataclass(frozen=True)
class StepFacts:
    """One finished step. norms: by component, when looked at.

    unit: what its work counts, of which the step has read `read`, and the run so far `total` that counted
    """

    step: int
    done: Done[Any]
    unit: str
    read: int
    total: int
    gradient_norm: float
    learning_rate: float
    seconds: float
    norms: Mapping[str, float] | None
    look: Look


class Ledger:
    """Telemetry of one run: cadence, detail and the anomaly rules."""

    def __init__(self, records: Records, settings: RecordSettings, anomalies: WatchSettings):
        self._records, self._settings = records, settings
        self.watch = Watch(anomalies)

    def wants_step(self, step: int) -> bool:
        return step % self._settings.steps_every == 0 or self.watch.detailed(step)

    def wants_gradients(self, step: int) -> bool:
        return due(step, self._settings.gradients_every) or self.watch.detailed(step)

    def wants_look(self, step: int) -> bool:
        return due(step, self._settings.looks_every) or self.watch.detailed(step)

    def step(self, facts: StepFacts) -> None:
        """Write what is due for a step, and let the anomaly rules look at it."""
        if self.wants_step(facts.step):
            self._write_step(facts)
        ratio = None if facts.norms is None else component_ratio(facts.norms)
        if facts.norms is not None:
            self._records.write(
                "component_gradients",
                facts.step,
                norms=dict(facts.norms),
                ratio=ratio,
                warning=ratio is not None and self._out_of_balance(ratio),
            )
        seen = facts.look.predictions
        self._write_health(facts)
        begun = self.watch.look(
            facts.step,
            gradient_norm=facts.gradient_norm,
            top_probability=None if seen is None else seen.top_probability,
            distinct_share=None if seen is None else seen.distinct_share,
            saturation={f"layer {layer} {branch}": share for (layer, branch), share in facts.look.saturated.items()},
            component_ratio=ratio,
            length=facts.look.length,
            # Records of raised detail would crowd the windows with steps that lie close together.
            states=_levels(facts.look.health) if due(facts.step, self._settings.looks_every) else None,
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

    def evaluation(self, step: int, score: Scored, seconds: float, *, whole: bool) -> None:
        """Write a held-out loss; `whole`: all that is held out was used."""
        self._records.write("eval", step, split="validation", **score.as_record(), seconds=seconds, whole=whole)

    def checkpoint(self, step: int, path: Path, seconds: float) -> None:
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        self._records.write("checkpoint", step, path=f"{path.parent.name}/{path.name}", bytes=size, seconds=seconds)

    def _out_of_balance(self, ratio: float) -> bool:
        limits = self.watch.settings
        if not isinstance(limits, AnomalySettings):
            return False
        return not 1 / limits.component_ratio <= ratio <= limits.component_ratio

    def _write_step(self, facts: StepFacts) -> None:
        done = facts.done
        fields: dict[str, Any] = {
            "loss": done.loss,
            "objective": done.objective,
            "learning_rate": facts.learning_rate,
            "gradient_norm": facts.gradient_norm,
            facts.unit: facts.total,
            f"{facts.unit}_per_second": facts.read / facts.seconds if facts.seconds > 0 else math.inf,
            "seconds": facts.seconds,
        }
        self._records.write("step", facts.step, **fields, **done.figures)

    def _write_health(self, facts: StepFacts) -> None:
        seen, saturated = facts.look.predictions, dict(facts.look.saturated)
        whole = {} if seen is None else {"hidden_entropy": seen.hidden_entropy, "logit_entropy": seen.logit_entropy}
        for record in facts.look.health:
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
