"""How long a cell will take here: as long as its kind took before, else as its operations beside the base's say."""

from collections.abc import Sequence

from think.core.ablations.cells import Cell
from think.core.ablations.ledger import Contents
from think.core.data.store import Packed
from think.core.derive import derive
from think.core.device import Machine, prepare
from think.core.estimate import estimate


def seconds(cells: Sequence[Cell], contents: Contents, packs: dict[str, Packed], machine: Machine) -> dict[str, float]:
    """Seconds of one cell of each variant, by the variant's name.

    Where no cell of a variant has finished yet, a step of the first such cell is timed and the others are reckoned from
    it by their operations: training alone, without evaluations, and roughly.
    """
    found: dict[str, float] = {}
    per_operation: float | None = None
    for cell in cells:
        name = cell.variant.name
        if name in found:
            continue
        done = [
            entry.seconds
            for other in cells
            if other.variant.name == name and (entry := contents.of(other.id)).state == "finished"
        ]
        if done:
            found[name] = sum(done) / len(done)
            continue
        if per_operation is None:
            per_operation = _timed(cell, packs[name], machine) / cell.flops
        found[name] = per_operation * cell.flops
    return found


def _timed(cell: Cell, packed: Packed, machine: Machine) -> float:
    prepare(machine)
    settings = cell.settings
    plan = derive("stage1", settings.stage1, settings.model, packed, machine, {})
    return estimate(plan, settings.stage1, settings.model, machine).likely
