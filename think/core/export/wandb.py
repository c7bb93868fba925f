"""Telemetry as an offline Weights & Biases run: nothing is sent; `wandb sync` does that later, if ever."""

from pathlib import Path

from think.core.export import lacks, new_folder
from think.core.export._scalars import scalars
from think.core.runs import RunFolder
from think.core.telemetry.records import Record
from think.core.telemetry.tail import read

PROJECT = "think"


def export(run: RunFolder, out: Path) -> int:
    """Write every figure of the run into an offline run below `out`, and return how many."""
    try:
        import wandb
    except ModuleNotFoundError as error:
        raise lacks("wandb", "track") from error
    records = read(run.path)
    count = 0
    with new_folder(out) as folder:
        session = wandb.init(mode="offline", dir=str(folder), project=PROJECT, name=run.name, config=_config(records))
        # It takes each step once and never goes back: all figures of a step are handed over together.
        by_step: dict[int, dict[str, float]] = {}
        for record in records:
            if record.step is not None:
                by_step.setdefault(record.step, {}).update(scalars(record))
        for step in sorted(by_step):
            if by_step[step]:
                session.log(by_step[step], step=step)
                count += len(by_step[step])
        session.finish()
    return count


def _config(records: list[Record]) -> dict[str, object]:
    """What the last process said about the run when it began."""
    starts = [record.fields for record in records if record.kind == "run_start"]
    return dict(starts[-1]) if starts else {}
