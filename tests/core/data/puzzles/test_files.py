"""Tasks that read files: the public formats, and clear words about what is not in them."""

import json
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import pytest

from think.core.data.puzzles.play import judge
from think.core.data.puzzles.tasks import arc, gsm8k
from think.core.data.puzzles.tasks._number import ACTIONS, Written
from think.core.errors import BadData, Missing


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("She makes 9 * 2 = $<<9*2=18>>18.\n#### 18", 18),
        ("#### 70,000", 70000),
        ("#### -3.5", Fraction(-7, 2)),
        ("#### $12", 12),
        ("#### 1\n#### 2", 2),
        ("18", None),
        ("#### ", None),
        ("#### 3 or 4", None),
        ("#### 3\nand more", None),
    ],
)
def test_the_final_number(answer: str, value: Fraction | None) -> None:
    assert gsm8k.final_number(answer) == value


def _lines(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_a_folder_keeps_its_own_test_file_and_nothing_of_it_is_trained_on(tmp_path: Path) -> None:
    def record(number: int) -> dict[str, str]:
        return {"question": f"What is {number} + 1?", "answer": f"#### {number + 1}"}

    _lines(tmp_path / "train.jsonl", *map(record, range(50)))
    _lines(tmp_path / "test.jsonl", *map(record, range(40, 60)))
    settings = gsm8k.Settings(path=str(tmp_path))
    asked = {split: gsm8k.questions(settings, split) for split in ("train", "validation", "test")}
    assert len(asked["test"]) == 20
    assert len(asked["train"]) + len(asked["validation"]) == 40
    assert not {q.question for q in asked["test"]} & {q.question for q in asked["train"] + asked["validation"]}


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"question": "How many?"}, "without the texts"),
        ({"question": "How many?", "answer": "12"}, "does not end with"),
        ({"question": " ", "answer": "#### 12"}, "empty"),
        ({"question": "How many?", "answer": "#### 12345678901234"}, "longer than"),
    ],
)
def test_a_bad_word_problem_is_named_by_its_line(tmp_path: Path, record: dict[str, str], says: str) -> None:
    good = {"question": "What is 1 + 1?", "answer": "#### 2"}
    path = _lines(tmp_path / "train.jsonl", good, record)
    with pytest.raises(BadData, match=says) as caught:
        gsm8k.questions(gsm8k.Settings(path=str(path)), "train")
    assert caught.value.where == f"{path}:2"


def test_only_whole_numbers_of_characters_can_be_written() -> None:
    random = Random(0)
    for _ in range(300):
        position, text = Written(Fraction(7)), ""
        while legal := position.legal():
            action = random.choice(legal)
            position, text = position.play(action), text + ACTIONS[action]
        assert Fraction(text.strip()) is not None
    for form in ("7\n", "7.0\n", "14/2\n", "007\n"):
        position = Written(Fraction(7))
        for character in form:
            assert ACTIONS.index(character) in position.legal()
            position = position.play(ACTIONS.index(character))
        assert position.solved


def _task(**changed: Any) -> dict[str, Any]:
    pair = {"input": [[0, 1], [2, 3]], "output": [[3, 2], [1, 0]]}
    return {"train": [pair, pair], "test": [pair], **changed}


def test_an_arc_file_becomes_tokens_of_rows_columns_and_colours(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(_task()))
    (pair,) = arc.pairs_of(tmp_path / "a.json")
    assert pair.gold(Random(0)) == f"{arc.ROWS[1]}{arc.COLUMNS[1]}32/10/."
    assert pair.prompt().count("E") == 2
    assert judge(pair, pair.gold(Random(0)), arc.ACTIONS).solved
    assert not judge(pair, f"{arc.ROWS[1]}{arc.COLUMNS[1]}32/11/.", arc.ACTIONS).solved
    wrong = judge(pair, f"{arc.ROWS[1]}{arc.COLUMNS[1]}3/", arc.ACTIONS)
    assert "breaks the rules" in wrong.reason


def test_turned_and_recoloured_grids_are_one_task(tmp_path: Path) -> None:
    grid, other = [[0, 1, 1], [2, 3, 4]], [[5, 5, 1], [0, 3, 2]]
    turned = [[[(cell + 4) % 10 for cell in row] for row in zip(*g[::-1], strict=True)] for g in (grid, other)]
    pairs = []
    for number, (one, two) in enumerate(((grid, other), turned)):
        task = {"train": [{"input": one, "output": two}], "test": [{"input": two, "output": one}]}
        (tmp_path / f"{number}.json").write_text(json.dumps(task))
        pairs += arc.pairs_of(tmp_path / f"{number}.json")
    assert pairs[0].canonical() == pairs[1].canonical()
    assert pairs[0].split() == pairs[1].split()


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ("not json", "no task"),
        ({"train": []}, "test"),
        (_task(train=[]), "no examples"),
        (_task(test=[{"input": [[1]]}]), "output"),
        (_task(test=[{"input": [[1]], "output": [[1, 2], [3]]}]), "differ in length"),
        (_task(test=[{"input": [[1]], "output": [[11]]}]), "colours"),
        (_task(test=[{"input": [[1]], "output": []}]), "1 to 30"),
        (_task(test=[{"input": [[1]], "output": "x"}]), "no task"),
        ([1], "no task"),
    ],
)
def test_a_bad_arc_file_is_named(tmp_path: Path, task: Any, says: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(task if isinstance(task, str) else json.dumps(task))
    with pytest.raises(BadData, match=says) as caught:
        arc.pairs_of(path)
    assert caught.value.where == str(path)


def test_a_path_that_leads_nowhere(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        arc.pairs(arc.Settings(path=str(tmp_path / "none")), "train")
    with pytest.raises(Missing):
        gsm8k.questions(gsm8k.Settings(path=str(tmp_path / "none")), "train")
