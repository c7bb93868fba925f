"""How long a cell will take here: as long as it took before, or as a few steps of its kind take now."""

from collections.abc import Sequence

from think.core.ablations.cells import Cell
from think.core.ablations.ledger import Contents
from think.core.data.store import Packed
from think.core.derive import derive, estimate_seconds
from think.core.device import Machine, prepare


def seconds(cells: Sequence[Cell], contents: Contents, packs: dict[str, Packed], machine: Machine) -> dict[str, float]:
    """Seconds of one cell of each variant, by the variant's name; training steps alone where none has finished yet."""
    prepare(machine)
    found: dict[str, float] = {}
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
        settings = cell.settings
        plan = derive("stage1", settings.stage1, settings.model, packs[name], machine, {})
        found[name] = estimate_seconds(plan, settings.stage1, settings.model, machine)
    return found
