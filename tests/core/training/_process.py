"""One process of a run, for tests: trains the tiny run several times over, as a list in a JSON file says.

python _process.py PLAN.json WORKSPACE        alone, or under torchrun

Each entry: {"name", "set": changes by dotted key, "resume": go on with that run, "stop": [step, rank] or absent}
At the end of step `stop[0]` the process `stop[1]` alone hears a SIGTERM.
"""

import json
import signal
import sys
from pathlib import Path

import torch

from think.cli.launch import launch
from think.core import plugins, seeding
from think.core.data.store import Packed
from think.core.device import resolve
from think.core.effects import fixtures
from think.core.effects.cases import put
from think.core.effects.laboratory import STAGES, settings_of
from think.core.errors import ThinkError
from think.core.processes import joined
from think.core.runs import RunFolder
from think.core.training.stages import Request


def stopper(entry, rank):
    """A watcher that stops the run from one of its processes."""

    def watch(seen):
        if [seen.step, rank] == entry.get("stop"):
            signal.raise_signal(signal.SIGTERM)

    return watch


def main(plan: Path, workspace: Path) -> None:
    told = launch()
    with joined(told) as group:
        for entry in json.loads(plan.read_text()):
            tree = fixtures.tree(workspace)
            tree["runtime"] = {**tree.get("runtime", {}), "device": "cpu", "threads": 1}
            for key, value in entry["set"].items():
                put(tree, tuple(key.split(".")), value)
            settings = settings_of(tree)
            folder = RunFolder(workspace / entry["name"])
            if group.first:
                folder.path.mkdir(exist_ok=True)
            request = Request(
                settings=settings.stage1,
                model=settings.model,
                tokenizer=settings.tokenizer,
                data=settings.data,
                pack_command="think data pack",
                machine=resolve(settings.runtime, told),
                preset="test",
                digests={"pack": Packed.open(Path(settings.data.path)).digest},
                resume=entry.get("resume", False),
                group=group,
            )

            seeding.start(1, "test")
            try:
                plugins.load(STAGES, "stage1").run(request, folder, stopper(entry, group.rank))
                ended = "finished"
            except ThinkError as error:
                ended = f"{type(error).__name__}: {error.what} (rank {error.rank})"
            (workspace / f"{entry['name']}.{group.rank}.json").write_text(json.dumps({"ended": ended}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
