"""A finished run before the task that it was trained on. What it was trained on is asked of its data, not of its name.

The result is kept in the run folder, evaluations/TASK.json, with all that made it: checkpoint, data, settings, code.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from think.core import assembled
from think.core.data import tasks
from think.core.data.sources.task import Settings as RowSettings
from think.core.data.sources.task import sizes as trained_sizes
from think.core.data.store import Packed
from think.core.durable import replace_file, sha256_of
from think.core.errors import BadData, Missing
from think.core.eval.examine import TEST_SEED, examine
from think.core.eval.scoring import Score
from think.core.provenance import commit, digest_of
from think.core.runs import RunFolder

ROWS = 512
"Test rows of each size: an interval of at most 0.087 in accuracy from end to end."

MEASURED = ("kernels", "core/models", "core/data/tasks", "core/data/tokenizer.py", "core/eval")
"Where a change could change a result."


@dataclass(frozen=True)
class Result:
    """What one run got.

    trained  smallest and largest size that it was trained on
    source   what the result was made from: step and sha256 of the weights, digests, seeds, commit
    """

    run: str
    task: str
    trained: tuple[int, int]
    scores: tuple[Score, ...]
    source: dict[str, Any]

    def beyond(self) -> Iterator[Score]:
        """Scores at sizes above all trained ones."""
        return (score for score in self.scores if score.size > self.trained[1])

    def within(self) -> Iterator[Score]:
        """Scores at trained sizes."""
        return (score for score in self.scores if score.size <= self.trained[1])

    def as_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "task": self.task,
            "trained": list(self.trained),
            "scores": [score.as_json() for score in self.scores],
            "source": self.source,
        }


def task_of(folder: RunFolder) -> RowSettings:
    """The rows that a run was trained on, from the manifest of its data.

    Raises Missing when the data are gone, BadData when they are others by now, or hold no task, or several.
    """
    data = Path(assembled.read_settings(folder.settings_file).data.path)
    if not data.is_dir():
        raise Missing(
            "the data that the run was trained on are not there, so its task is not known",
            where=str(data),
            remedy="run this from the folder that the run was started in, or pack the same task again",
        )
    packed = Packed.open(data)
    made = json.loads(folder.plan_file.read_text(encoding="utf-8"))["digests"]["pack"]
    if packed.digest != made:
        raise BadData(
            "these are not the data that the run was trained on",
            where=str(data),
            expected=f"the pack with digest {made[:12]}…, not {packed.digest[:12]}…",
        )
    sources = [source.settings for source in packed.manifest.sources]
    if len(sources) != 1 or sources[0]["kind"] != "task":
        raise BadData(
            f"the run was trained on {', '.join(str(source['kind']) for source in sources)}, not on one task",
            where=str(folder.path),
            expected="a run on the rows of a task",
            remedy="think eval tracking parity --preset NAME trains one",
        )
    return RowSettings.model_validate_json(json.dumps(sources[0]))


def evaluate(
    folder: RunFolder,
    *,
    sizes: Sequence[int] | None = None,
    rows: int = ROWS,
    keep: bool = True,
    watch: Callable[[Score], object] = lambda score: None,
) -> Result:
    """Put the newest good checkpoint of a run before test rows of its task; `keep` the result in its folder."""
    trained_on = task_of(folder)
    thinker, task = assembled.load(folder.path), tasks.load(trained_on.task)
    scores = []
    for found in examine(thinker.model, thinker.tokenizer, trained_on.task, sizes or task.tested, rows):
        scores.append(found)
        watch(found)
    digests = json.loads(folder.plan_file.read_text(encoding="utf-8"))["digests"]
    source = {
        "checkpoint": thinker.path.name,
        "step": thinker.step,
        "weights": sha256_of(thinker.path / "model.safetensors"),
        "seed": thinker.settings.stage1.seed,
        "test_seed": TEST_SEED,
        "digests": {name: digests[name] for name in ("model", "stage1", "pack")},
        "code": digest_of(MEASURED),
        "commit": commit()[0],
    }
    result = Result(folder.name, trained_on.task, trained_sizes(trained_on), tuple(scores), source)
    if keep:
        place = folder.path / "evaluations"
        place.mkdir(exist_ok=True)
        replace_file(place / f"{trained_on.task}.json", (json.dumps(result.as_json(), indent=1) + "\n").encode())
    return result
