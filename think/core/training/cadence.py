"""How often a training run looks up from its work: to be judged, to save itself and to write down what it sees."""

from pydantic import PositiveInt

from think.presets.base import Settings, knob


class EvaluationCadence(Settings):
    """When a run is judged on what it was not trained on; the last step is always followed by a judgement."""

    every: PositiveInt | None = knob(100, acts_on="cadence", may_change_on_resume=True)
    "steps from one evaluation to the next; only the last one when absent"


class CheckpointSettings(Settings):
    """When a run saves itself, besides at its end and when it is stopped."""

    every: PositiveInt | None = knob(500, acts_on="cadence", may_change_on_resume=True)
    "steps from one checkpoint to the next; only at the end, or when stopped, when absent"
    keep: PositiveInt = knob(2, acts_on="cadence", may_change_on_resume=True)
    "checkpoints that remain; the oldest go first"


class RecordSettings(Settings):
    """How often a run writes what; every step while detail is raised."""

    steps_every: PositiveInt = knob(1, acts_on="cadence", may_change_on_resume=True)
    "steps from one step record to the next"
    gradients_every: PositiveInt | None = knob(10, acts_on="cadence", may_change_on_resume=True)
    "steps from one record of component gradient norms to the next; none when absent"

    @property
    def looks_every(self) -> int | None:
        """Steps from one look into what is trained to the next; None where there is nothing to look into."""
        return None


def due(step: int, every: int | None) -> bool:
    """Whether something that happens every so many steps happens at this one."""
    return every is not None and step % every == 0
