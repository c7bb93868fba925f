"""What every task must obey; a new file in the folder is tested at birth."""

import json
from random import Random
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import ValidationError

from think.core import plugins
from think.core.data.puzzles import FAMILY, SPLITS, Position, Puzzle, Task
from think.core.data.puzzles.batch import Positions, environment
from think.core.data.puzzles.encoding import Encoding
from think.core.data.puzzles.items import distinct
from think.core.data.puzzles.play import judge
from think.core.data.tokenizer import UNK, CharacterSettings, train
from think.core.statistics import wilson
from think.presets.docstrings import documentation
from think.presets.fields import knob_facts

NAMES = plugins.names(FAMILY)
FEW = 24


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the tasks that read files need to be told."""
    folder = tmp_path_factory.mktemp("puzzles")
    (folder / "arc").mkdir()
    random = np.random.default_rng(0)
    for number in range(120):
        pairs = [{"input": g.tolist(), "output": g[::-1].tolist()} for g in random.integers(0, 10, (4, 2, 3))]
        task = {"train": pairs[:3], "test": pairs[3:]}
        (folder / "arc" / f"{number}.json").write_text(json.dumps(task))
    lines = [
        {"question": f"Ada has {n} pears and eats {n % 7}. How many are left?", "answer": f"So\n#### {n - n % 7:,}"}
        for n in range(10, 1510)
    ]
    (folder / "words.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"arc": {"path": str(folder / "arc")}, "gsm8k": {"path": str(folder / "words.jsonl")}}


def _task(name: str, files: dict[str, dict[str, Any]]) -> tuple[Task, Any]:
    task: Task = plugins.load(FAMILY, name)
    return task, task.Settings(**files.get(name, {}))


def _some(name: str, files: dict[str, dict[str, Any]], split: Any = "test", count: int = FEW) -> list[Puzzle]:
    task, settings = _task(name, files)
    if name in files:
        count = min(count, 5)
    return distinct(task, settings, split, count, seed=0)


@pytest.mark.parametrize("name", NAMES)
def test_it_exports_a_task_of_its_own_name(name: str) -> None:
    task = plugins.load(FAMILY, name)
    assert isinstance(task, Task)
    assert get_args(task.Settings.model_fields["kind"].annotation) == (name,)
    assert issubclass(task.Puzzle, Puzzle)
    assert len(task.actions) == len(set(task.actions)) == len(task.names) == len(set(task.names))
    for key, info in task.Settings.model_fields.items():
        if key != "kind":
            assert documentation(task.Settings, key), key
            assert knob_facts(info)["acts_on"] == "data", key


@pytest.mark.parametrize("name", NAMES)
def test_gold_solves_and_nothing_less_does(name: str, files: dict[str, dict[str, Any]]) -> None:
    task, _ = _task(name, files)
    for number, puzzle in enumerate(_some(name, files)):
        assert puzzle.flaw() is None
        gold = puzzle.gold(Random(number))
        assert judge(puzzle, gold, task.actions).solved
        assert not judge(puzzle, "", task.actions).solved
        assert not judge(puzzle, gold[:-1], task.actions).solved
        assert not judge(puzzle, gold + task.actions[0], task.actions).solved
        assert not judge(puzzle, "\x00" + gold[1:], task.actions).solved
        assert not judge(puzzle, puzzle.prompt(), task.actions).solved


@pytest.mark.parametrize("name", NAMES)
def test_a_walk_ends_and_legal_actions_are_those_that_can_be_played(
    name: str, files: dict[str, dict[str, Any]]
) -> None:
    task, _ = _task(name, files)
    random = Random(0)
    for puzzle in _some(name, files):
        position, taken = puzzle.start(), 0
        while legal := position.legal():
            assert not position.solved
            assert list(legal) == sorted(set(legal))
            assert set(legal) <= set(range(len(task.actions)))
            position, taken = position.play(random.choice(legal)), taken + 1
            assert taken < 10_000
        assert position.ended


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_one_puzzle_whatever_stands_beside_it(name: str, files: dict[str, dict[str, Any]]) -> None:
    task, settings = _task(name, files)
    together = task.draw(settings, "train", np.arange(12))
    assert task.draw(settings, "train", np.arange(12)) == together
    assert task.draw(settings, "train", np.array([7])) == [together[7]]
    assert len({puzzle.prompt() for puzzle in together}) > 6


@pytest.mark.parametrize("name", NAMES)
def test_splits_share_no_canonical_form(name: str, files: dict[str, dict[str, Any]]) -> None:
    forms = {}
    for split in SPLITS:
        found = _some(name, files, split, count=100)
        assert all(puzzle.split() == split for puzzle in found)
        forms[split] = {puzzle.canonical() for puzzle in found}
        assert len(forms[split]) == len(found)
    assert not forms["train"] & forms["test"]
    assert not forms["train"] & forms["validation"]
    assert not forms["validation"] & forms["test"]


@pytest.mark.parametrize("name", NAMES)
def test_a_puzzle_survives_json_and_refuses_strange_keys(name: str, files: dict[str, dict[str, Any]]) -> None:
    for puzzle in _some(name, files, count=4):
        text = puzzle.model_dump_json()
        assert type(puzzle).model_validate_json(text) == puzzle
        with pytest.raises(ValidationError):
            type(puzzle).model_validate_json(json.dumps({**json.loads(text), "hint": 1}))


@pytest.mark.parametrize("name", NAMES)
def test_every_action_is_one_token_and_the_prompt_survives(name: str, files: dict[str, dict[str, Any]]) -> None:
    task, settings = _task(name, files)
    puzzles = _some(name, files, "train")
    tokenizer = train(CharacterSettings(), [task.actions, *(puzzle.prompt() for puzzle in puzzles)])
    encoding = Encoding(task, tokenizer)
    assert len(set(encoding.actions.tolist()) - {UNK}) == len(task.actions)
    assert tokenizer.decode(encoding.actions.tolist()) == task.actions
    rules = environment(task, settings, "train")
    rules.load(puzzles[:1])
    tokens = encoding.prompts(rules.prompts())[0]
    assert tokenizer.decode(tokens[2:-2].tolist()) == puzzles[0].prompt()


@pytest.mark.parametrize("name", NAMES)
def test_random_legal_play_succeeds_as_often_as_declared(name: str, files: dict[str, dict[str, Any]]) -> None:
    """Exactly so where the task is batched; where chance varies, never more often."""
    task, settings = _task(name, files)
    rules = environment(task, settings, "train")
    count = 20_000 if task.environment else 60
    rules.reset(np.arange(count))
    random = np.random.default_rng(0)
    solved = np.zeros(count, np.bool_)
    while (mask := rules.legal()).any():
        solved |= rules.step((random.random(mask.shape) * mask).argmax(axis=1))[1]
    found = wilson(int(solved.sum()), count, level=0.999)
    assert found.low <= task.chance(settings)
    if task.environment is not None and name != "sudoku4":  # of sudoku4 the chance of the most givens is declared
        assert task.chance(settings) <= found.high


@pytest.mark.parametrize("name", [name for name in NAMES if plugins.load(FAMILY, name).environment])
def test_batched_rules_equal_the_scalar_ones(name: str, files: dict[str, dict[str, Any]]) -> None:
    task, settings = _task(name, files)
    fast, slow = environment(task, settings, "train"), Positions(task, settings, "train")
    seeds = np.arange(100, 164)
    fast.reset(seeds)
    slow.reset(seeds)
    random = np.random.default_rng(1)
    assert (fast.prompts() == slow.prompts()).all()
    for _ in range(30):
        mask = fast.legal()
        assert (mask == slow.legal()).all()
        actions = (random.random(mask.shape) * mask).argmax(axis=1)
        for one, other in zip(fast.step(actions), slow.step(actions), strict=True):
            assert (one == other).all()
        repeated = random.integers(0, len(seeds), len(seeds))
        for rules in (fast, slow):  # the first half again, in the places of the last
            rules.put(np.arange(32, 64), rules.rows(np.arange(32)))
        fast, slow = fast.rows(repeated), slow.rows(repeated)
    assert not fast.legal().any()


@pytest.mark.parametrize("name", [name for name in NAMES if plugins.load(FAMILY, name).environment])
def test_copied_rows_go_their_own_way_and_illegal_actions_are_refused(
    name: str, files: dict[str, dict[str, Any]]
) -> None:
    task, settings = _task(name, files)
    rules = environment(task, settings, "train")
    rules.reset(np.arange(8))
    before = rules.legal()
    copy = rules.rows(np.arange(8))
    copy.step(before.argmax(axis=1))
    assert (rules.legal() == before).all()
    wrong = np.where(before[0], -1, np.arange(before.shape[1])).max()
    if wrong >= 0:
        actions = before.argmax(axis=1)
        actions[0] = wrong
        with pytest.raises(ValueError, match="of row 0 is not legal"):
            rules.step(actions)


def _can_be_solved(position: Position) -> bool:
    """By trying everything."""
    return position.solved or any(_can_be_solved(position.play(action)) for action in position.legal())


@pytest.mark.parametrize("name", [name for name in NAMES if plugins.load(FAMILY, name).solvable])
def test_what_can_still_be_solved_is_what_trying_everything_solves(name: str, files: dict[str, dict[str, Any]]) -> None:
    task, settings = _task(name, files)
    assert task.environment is not None
    assert task.solvable is not None
    rules = environment(task, settings, "train")
    count = 24
    rules.reset(np.arange(count))
    places = [puzzle.start() for puzzle in task.draw(settings, "train", np.arange(count))]
    random, seen, ended = np.random.default_rng(2), [], False
    assert task.solvable(rules).all()  # every puzzle that is drawn has a solution
    while not ended:
        mask = rules.legal()
        actions = (random.random(mask.shape) * mask).argmax(axis=1)
        ended = bool(rules.step(actions)[0].all())
        places = [
            place if place.ended else place.play(int(action)) for place, action in zip(places, actions, strict=True)
        ]
        expected = [_can_be_solved(place) for place in places]
        assert task.solvable(rules).tolist() == expected
        assert task.solvable(rules.rows(np.arange(count)[::-1])).tolist() == expected[::-1]
        seen += expected
    assert 0.05 < np.mean(seen) < 0.9
    assert expected == [place.solved for place in places]
