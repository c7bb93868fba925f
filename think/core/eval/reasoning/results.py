"""What `think eval reasoning` found, kept in the run that was asked: evaluations/reasoning-TASK-ID.json.

ID is of everything that was asked (task, puzzles, arms, search, checkpoints), so asking the same again replaces the
answer, and asking anything else leaves it.
"""

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from think.core.durable import replace_file
from think.core.errors import BadData, InputOutput

FOLDER, PREFIX = "evaluations", "reasoning-"
ASKED = ("model", "step", "task", "split", "count", "samples", "critic", "search", "larger", "seed")
NEEDED = (*ASKED, "chance", "arms", "command")


def keep(run: Path, found: Mapping[str, Any]) -> Path:
    """Write a result into its run. Raises InputOutput."""
    asked = {name: found[name] for name in ASKED} | {"arms": [arm["arm"] for arm in found["arms"]]}
    named = sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
    place = run / FOLDER / f"{PREFIX}{found['task']['kind']}-{named}.json"
    try:
        place.parent.mkdir(exist_ok=True)
        replace_file(place, (json.dumps(dict(found), indent=1) + "\n").encode())
    except OSError as error:
        raise InputOutput(f"the result cannot be kept: {error.strerror or error}", where=str(place)) from None
    return place


def kept(run: Path) -> Iterator[dict[str, Any]]:
    """The results in a run, by name of their files. Raises BadData for one that is damaged."""
    for place in sorted((run / FOLDER).glob(f"{PREFIX}*.json")):
        try:
            found = json.loads(place.read_text(encoding="utf-8"))
            missing = [name for name in NEEDED if name not in found]
        except (ValueError, TypeError) as error:
            raise BadData(f"this is no result of an evaluation: {error}", where=str(place)) from None
        if missing:
            raise BadData(
                f"this result lacks {', '.join(missing)}", where=str(place), remedy="ask again: think eval reasoning"
            )
        yield found
