"""What a study comes to here: its data opened, its budget resolved, its cells named; and the table of that."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from think.cli.console import console

if TYPE_CHECKING:
    from think.core.ablations.budget import Budget
    from think.core.ablations.cells import Cell, Study
    from think.core.ablations.ledger import Ledger
    from think.core.data.store import Packed
    from think.core.device import Machine


@dataclass(frozen=True)
class Planned:
    """A study with its data opened, its budget resolved and its cells named."""

    study: "Study"
    root: Path
    ledger: "Ledger"
    machine: "Machine"
    packs: "dict[str, Packed]"
    budget: "Budget"
    cells: "list[Cell]"


def plan(
    given: str,
    data: Path | None,
    only: Sequence[str] | None,
    seeds: str | None,
    changes: Sequence[str] | None = None,
    *,
    record: bool,
    all_seeds: bool = False,
) -> Planned:
    """Everything that can be wrong is found here, before a cell is begun. all_seeds: those of the ledger as well."""
    from think.cli import environment
    from think.cli.ablate_study import read
    from think.core import device
    from think.core.ablations import budget
    from think.core.ablations.cells import cells, open_data
    from think.core.ablations.ledger import Ledger
    from think.core.ablations.report import figure_of

    study = read(given, data, changes or ())
    for name in (study.settings.metric, *study.settings.also):
        figure_of(study, name)
    chosen = _seeds(seeds) if seeds is not None else list(study.settings.seeds)
    root = environment.runs_folder() / "ablations"
    ledger = Ledger(root)
    machine = device.resolve(environment.prefer(study.base.settings.runtime))
    packs = open_data(study, machine)
    resolved = budget.resolve(study, packs[study.base.name], ledger, machine, record=record, say=console.note)
    contents = ledger.read()
    further: set[int] = set()
    if all_seeds:
        further = {e.seed for e in contents.entries.values() if e.study == study.name} - set(chosen)
    found = cells(study, packs, resolved.steps, [*chosen, *sorted(further)])
    begun = {cell.seed for cell in found if contents.of(cell.id).state != "absent"}
    found = [cell for cell in found if cell.seed not in further - begun]
    return Planned(study, root, ledger, machine, packs, resolved, _only(study, found, only))


def _only(study: "Study", cells: "list[Cell]", only: Sequence[str] | None) -> "list[Cell]":
    import difflib

    from think.core.errors import UsageError

    names = [variant.name for variant in study.variants]
    for name in only or ():
        if name not in names:
            nearest = difflib.get_close_matches(name, names, n=1)
            raise UsageError(
                f"the study {study.name!r} has no variant {name!r}",
                where=study.where,
                expected=f"one of {', '.join(names)}",
                remedy=f"did you mean {nearest[0]!r}?" if nearest else None,
            )
    return [cell for cell in cells if not only or cell.variant.name in only]


def _seeds(given: str) -> list[int]:
    from think.core.errors import UsageError

    parts = [part.strip() for part in given.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) < 2**63 for part in parts):
        raise UsageError(f"--seeds {given!r}", expected="whole numbers from 0 on, with commas: 0,1,2")
    return list(dict.fromkeys(map(int, parts)))


def show(planned: Planned) -> None:
    from think.cli.progress import duration
    from think.core.ablations.estimate import seconds
    from think.core.ablations.run import states

    took = seconds(planned.cells, planned.ledger.read(), planned.packs, planned.machine)
    base = planned.study.base.name
    parameters = {cell.variant.name: cell.parameters for cell in planned.cells}
    rows, left = [], 0.0
    for cell, entry in states(planned.ledger, planned.cells):
        expected = took[cell.variant.name]
        left += 0.0 if entry.state == "finished" else expected
        rows.append(
            {
                "cell": cell.id,
                "variant": cell.variant.name,
                "seed": cell.seed,
                "state": entry.state,
                "parameters": cell.parameters,
                "steps": cell.steps,
                "tokens": cell.shared.tokens,
                "seconds": expected,
                "command": ["think", "train", *cell.command(cell.name)],
            }
        )
    data = {
        "study": planned.study.name,
        "base": base,
        "steps": planned.budget.steps,
        "tokens": planned.budget.tokens,
        "seconds_left": left,
        "cells": rows,
    }

    def human() -> str:
        console.table(
            ["variant", "seed", "state", "parameters", "steps", "tokens", "time"],
            [
                [
                    cell.variant.name,
                    cell.seed,
                    row["state"],
                    f"{cell.parameters:,}{_gap(cell.parameters, parameters.get(base))}",
                    f"{cell.steps:,}",
                    f"{cell.shared.tokens:,}",
                    duration(took[cell.variant.name]),
                ]
                for cell, row in zip(planned.cells, rows, strict=True)
            ],
        )
        return f"{planned.budget.said()}; about {duration(left)} left on {planned.machine.device}"

    console.result("think.ablate-plan/1", data, human)


def _gap(parameters: int, base: int | None) -> str:
    """How far a parameter count lies from the base's, where the two are no equals."""
    from think.core.ablations.report import UNEQUAL

    if base is None or abs(parameters / base - 1) <= UNEQUAL:
        return ""
    return f" ({parameters / base - 1:+.0%})"
