"""The evaluations of g4: what a model's data have right answers for is asked, and what they have none for is not."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from think.core import plugins
from think.core.data import puzzles, tasks
from think.core.data.puzzles import FAMILY as PUZZLES
from think.core.data.tokenizer import CharacterSettings, train
from think.core.evidence import evaluation_suite as suite
from think.core.models import build
from think.core.settings import RunSettings
from think.presets.decode import decode
from think.presets.sources import read

PARITY = SimpleNamespace(kind="task", task="parity")
SUDOKU = SimpleNamespace(kind="puzzles", task=plugins.load(PUZZLES, "sudoku4").Settings())
STORIES = SimpleNamespace(kind="stories")


def _subject(*sources: Any) -> Any:
    return SimpleNamespace(settings=SimpleNamespace(data=SimpleNamespace(sources=sources)))


def _run(characters: str) -> Any:
    """A fresh model that knows these characters."""
    tokenizer = train(CharacterSettings(), [characters])
    torch.manual_seed(0)
    model = build(decode(read("cpu_smoke", ["model.anchors=none"]), RunSettings).settings.model)
    return SimpleNamespace(trained=SimpleNamespace(model=model, packed=SimpleNamespace(tokenizer=tokenizer)))


@pytest.mark.parametrize(
    ("sources", "parts"),
    [([PARITY], ["task"]), ([SUDOKU], ["puzzles"]), ([STORIES], []), ([SUDOKU, STORIES], []), ([], [])],
)
def test_only_data_of_one_kind_with_right_answers_are_asked_about(sources: list[Any], parts: list[str]) -> None:
    assert list(suite._of_its_data(_subject(*sources))) == parts


def test_a_fresh_model_guesses_a_task_at_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "ROWS", 32)
    parity = tasks.load("parity")
    found = suite._task(_run(tasks.alphabet(parity)), _subject(PARITY))
    assert [metric.name for metric in found] == [f"parity at {size}" for size in parity.tested]
    assert all(metric.count == 32 and metric.low <= 0 <= metric.high for metric in found)


def test_a_fresh_model_solves_puzzles_no_better_than_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "PUZZLES", 64)
    task: puzzles.Task = plugins.load(PUZZLES, "sudoku4")
    greedy, chance = suite._puzzles(_run("./" + task.actions), _subject(SUDOKU))
    assert (greedy.name, chance.name, greedy.count) == ("greedy", "random_legal", 64)
    assert greedy.low <= chance.high
    assert chance.low <= greedy.high
