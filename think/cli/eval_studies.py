"""`think eval studies`: the questions to trained runs that come with think."""

from typing import Any

from think.cli.console import console
from think.cli.options import Json


def studies(json: Json = False) -> None:
    """List the studies of trained runs that come with think, and the commands that make them"""
    from think.cli.eval_study import STEERING, SWEEPS, names, read
    from think.core.eval.studies import SteeringStudy, SweepStudy

    rows: list[dict[str, Any]] = []
    for name in names(SWEEPS):
        study = read(name, SWEEPS, SweepStudy)
        values = {study.over: list(study.values)}
        rows.append(_row(name, f"think eval sweep RUN --critic CRITIC --study {name}", study.summary, values))
    for name in names(STEERING):
        steered = read(name, STEERING, SteeringStudy)
        values = {"rate": list(steered.rates), "lag": list(steered.lags)}
        rows.append(_row(name, f"think eval steering RUN --study {name}", steered.summary, values))
    console.result(
        "think.eval.studies/1",
        rows,
        lambda: console.table(
            ["study", "values", "command", "question"],
            [[row["study"], _said(row["values"]), row["command"], _question(row["summary"])] for row in rows],
        ),
    )


def _row(name: str, command: str, summary: str, values: dict[str, list[Any]]) -> dict[str, Any]:
    return {"study": name, "command": command, "values": values, "summary": " ".join(summary.split())}


def _said(values: dict[str, list[Any]]) -> str:
    return "; ".join(f"{over} {', '.join(map(str, each))}" for over, each in values.items())


def _question(summary: str) -> str:
    return summary.partition("?")[0] + "?"
