"""What the training itself recorded: the loss on the whole held-out split, the training loss, the speed."""

import math

import numpy as np

from think.core.ablations.measures import Figure, Measure
from think.core.errors import BadData
from think.core.facts import Facts
from think.core.runs import RunFolder
from think.core.series import series

LAST_SHARE = 0.05
"Share of the recorded steps behind the training loss: one step is mostly noise."

FIGURES = {
    "held_out_loss": Figure("nats per token", "lower"),
    "training_loss": Figure("nats per token", "lower"),
    "tokens_per_second": Figure("tokens per second", "higher"),
}


def measure(run: RunFolder) -> dict[str, float]:
    """Raises BadData when the run did not end with an evaluation of the whole held-out split."""
    facts = Facts.read(run)
    final = facts.held_out()
    loss = None if final is None else final.number("loss")
    if final is None or loss is None or final.fields.get("whole") is not True or final.step != facts.summary.steps:
        raise BadData(
            "this run did not end with an evaluation of the whole held-out split",
            where=str(run.path),
            expected="telemetry of a run that ended as planned",
            remedy="delete the run's folder and run the study again with --retry",
        )
    losses, speeds = series(facts.records, "step", "loss"), series(facts.records, "step", "tokens_per_second")
    last = losses.values[-max(1, round(LAST_SHARE * len(losses))) :]
    return {
        "held_out_loss": loss,
        "training_loss": float(last.mean()) if len(last) else math.nan,
        "tokens_per_second": float(np.median(speeds.values)) if len(speeds) else math.nan,
    }


SPEC = Measure(FIGURES, measure)
