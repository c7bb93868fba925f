"""What `think train` says at the end of a run, and the report that it leaves."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from think.cli.console import console

if TYPE_CHECKING:
    from think.core.training.stages import Finished


def answer(finished: "Finished") -> None:
    """Write the report of a finished run, and say what came of it."""
    report, folder, unit = _report(finished), finished.folder, finished.unit
    judged = {} if finished.score is None else finished.score.as_record()
    data = {
        "run": folder.name,
        "path": str(folder.path),
        "steps": finished.step,
        unit: finished.total,
        "already_finished": finished.already,
        "held_out_loss": judged.get("loss"),
        f"held_out_{unit}": judged.get(unit),
        "report": report,
    }
    if unit != "tokens":
        data["held_out"] = judged
    if finished.already:
        text = (
            f"run {folder.path} was finished already, at step {finished.step:,}; raise {finished.stage}.steps to go on"
        )
    elif not judged:
        text = f"run {folder.path} is finished"
    else:
        measured = " nats per token" if unit == "tokens" else ""
        text = (
            f"run {folder.path} is finished: held-out loss {judged['loss']:.4f}{measured} "
            f"over {judged[unit]:,} {unit}" + _figures(judged)
        )
    console.result("think.train/1", data, text if report is None else f"{text}\nreport {report}")


def _report(finished: "Finished") -> str | None:
    """Write the report, with a text that the trained model wrote. A run is not lost because its report is."""
    from think.core import assembled, report
    from think.core.errors import ThinkError

    folder, seed, sample = finished.folder, 0, None
    try:
        if assembled.writes(folder):
            text = assembled.load(folder.path).generate(seed=seed)
            sample = report.Sample(text, seed=seed, temperature=assembled.DEFAULT.temperature)
        return str(report.write(folder, sample=sample))
    except ThinkError as error:
        console.warn(f"the run is finished, its report could not be written: {error.what}")
        return None


def _figures(judged: Mapping[str, Any]) -> str:
    """What else was measured on held-out examples; of figures for several steps ahead those of the first.

    The rest, and all intervals, stand in the report.
    """
    left_out = re.compile(r"loss|.*_(low|high|[02-9]|[1-9]\d+)")
    others = {
        name: value for name, value in judged.items() if isinstance(value, float) and not left_out.fullmatch(name)
    }
    return "".join(f"; {name.replace('_', ' ')} {_figure(value)}" for name, value in others.items())


def _figure(value: float) -> str:
    """Counts have no places."""
    return f"{value:,.0f}" if value.is_integer() and abs(value) > 1 else f"{value:.4f}"
