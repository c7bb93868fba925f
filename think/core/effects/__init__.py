"""No lying knobs: every setting, changed to another legal value, must move the channel that it says it acts on.

    graph        names, shapes and start values of the parameters, and the logits of fixed tokens
    optimizer    weights after the steps of a short run, and the implementation that took them
    data         bytes of the pack, or the first batches and the weights that they lead to
    schedule     learning rate and length of every step
    cadence      which records at which steps, which checkpoints remain
    evaluation   held-out losses
    judge        the verdict on a gate's fixture evidence
    runtime      what the machine was settled to be; the losses must *not* move

Settings text, digests and paths count for nothing: what is compared is what a run does, on a model of about 20,000
parameters that trains for a few steps. Thresholds stand in fixtures that cross them. That two equal runs are equal is
shown first, for without it every difference would be worthless.
"""

from think.core.effects import fixtures
from think.core.effects.cases import Case, cases, concerning
from think.core.effects.laboratory import Laboratory
from think.core.effects.sweep import Effect, sweep, try_case

__all__ = ["Case", "Effect", "Laboratory", "cases", "concerning", "fixtures", "sweep", "try_case"]
