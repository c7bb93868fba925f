"""What `think eval reasoning`, `think eval sweep` and `think eval steering` found, kept in the run that was asked.

evaluations/reasoning-TASK-ID.json, evaluations/sweep-TASK-ID.json, evaluations/steering-ID.json

ID is of everything that was asked (task, puzzles, arms, search, checkpoints), so asking the same again replaces the
answer, and asking anything else leaves it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from think.core.durable import replace_file
from think.core.errors import BadData, InputOutput

FOLDER = "evaluations"
ASKED = ("model", "step", "task", "split", "count", "samples", "critic", "search", "larger", "seed")
FOUND = ("chance", "arms", "command")


@dataclass(frozen=True)
class Kind:
    """How the files of a kind begin, the command that makes them, what was asked, and what else stands in them."""

    name: str
    command: str
    asked: tuple[str, ...] = ASKED
    found: tuple[str, ...] = FOUND


EXAM = Kind("reasoning", "think eval reasoning")
SWEEP = Kind("sweep", "think eval sweep", (*ASKED, "over", "values"), (*FOUND, "ordered", "beside"))
STEERING = Kind(
    "steering",
    "think eval steering",
    ("model", "step", "split", "count", "prompt_tokens", "plan_tokens", "plan", "study", "seed", "gates"),
    ("run", "results", "command"),
)


def keep(run: Path, found: Mapping[str, Any], kind: Kind = EXAM) -> Path:
    """Write a result into its run. Raises InputOutput."""
    asked = {name: found[name] for name in kind.asked}
    if "arms" in found:
        asked["arms"] = [arm["arm"] for arm in found["arms"]]
    named = sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
    parts = [kind.name, *([found["task"]["kind"]] if "task" in found else []), named]
    place = run / FOLDER / f"{'-'.join(parts)}.json"
    try:
        place.parent.mkdir(exist_ok=True)
        replace_file(place, (json.dumps(dict(found), indent=1) + "\n").encode())
    except OSError as error:
        raise InputOutput(f"the result cannot be kept: {error.strerror or error}", where=str(place)) from None
    return place


def kept(run: Path, kind: Kind = EXAM) -> Iterator[dict[str, Any]]:
    """The results in a run, by name of their files. Raises BadData for one that is damaged."""
    for place in sorted((run / FOLDER).glob(f"{kind.name}-*.json")):
        try:
            found = json.loads(place.read_text(encoding="utf-8"))
            missing = [name for name in (*kind.asked, *kind.found) if name not in found]
        except (ValueError, TypeError) as error:
            raise BadData(f"this is no result of an evaluation: {error}", where=str(place)) from None
        if missing:
            raise BadData(
                f"this result lacks {', '.join(missing)}", where=str(place), remedy=f"ask again: {kind.command}"
            )
        yield found
