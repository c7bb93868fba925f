"""What every task must obey; parametrised over the folder, so a new file is tested at birth."""

from collections import Counter
from itertools import islice
from random import Random

import pytest

from think.core import plugins
from think.core.data import tasks
from think.core.data.sources import GAP
from think.core.statistics import wilson

NAMES = plugins.names(tasks.FAMILY)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def task(name: str) -> tasks.Task:
    return tasks.load(name)


def drawn(name: str, split: tasks.Split, size: int, count: int, seed: int = 0) -> list[tasks.Row]:
    return list(islice(tasks.rows(name, split, size, size, seed=seed), count))


def test_it_says_what_it_is(name: str, task: tasks.Task) -> None:
    assert plugins.summary(tasks.FAMILY, name)
    assert task.size
    assert task.predictions
    assert all(each.architecture and each.says and each.source for each in task.predictions)
    smallest, largest = task.trained
    assert 1 <= smallest <= largest
    assert list(task.tested) == sorted(set(task.tested))
    assert task.tested[-1] > largest, "there is a size to extrapolate to"
    assert all(0 < task.chance(size) < 1 for size in task.tested)


def test_rows_hold_symbols_and_labels_of_the_task(task: tasks.Task) -> None:
    for size in (task.trained[0], task.trained[1], task.tested[-1]):
        row = task.propose(Random(size), size)
        assert len(row.symbols) == len(row.labels)
        assert all(0 <= symbol < task.symbols for symbol in row.symbols)
        assert all(label == tasks.UNSCORED or 0 <= label < task.symbols for label in row.labels)
        assert any(label != tasks.UNSCORED for label in row.labels)


def test_equal_seeds_give_equal_rows_and_other_seeds_others(name: str, task: tasks.Task) -> None:
    size = task.trained[1]
    assert drawn(name, "train", size, 20) == drawn(name, "train", size, 20)
    assert drawn(name, "train", size, 20) != drawn(name, "train", size, 20, seed=1)


def test_no_row_is_drawn_twice_and_none_is_for_both_splits(name: str, task: tasks.Task) -> None:
    for smallest, largest in (task.trained, (task.trained[0], task.trained[0])):
        found: dict[str, set[tuple[int, ...]]] = {}
        for split in ("train", "test"):
            rows = list(islice(tasks.rows(name, split, smallest, largest, seed=3), 40))
            found[split] = {row.canonical for row in rows}
            assert len(found[split]) == 40
            assert all(tasks.split_of(name, row) == split for row in rows)
        assert not found["train"] & found["test"]


def test_about_a_quarter_of_all_rows_is_for_tests(name: str, task: tasks.Task) -> None:
    random = Random(name)
    rows = [task.propose(random, task.trained[1]) for _ in range(400)]
    share = wilson(sum(tasks.split_of(name, row) == "test" for row in rows), 400, level=0.999)
    assert share.low <= tasks.TESTED / tasks.SHARES <= share.high


def test_no_answer_is_likelier_than_chance_says(task: tasks.Task) -> None:
    """The best constant answer and the best place to copy from, over many rows: neither beats the chance level."""
    size, random = task.trained[1], Random(7)
    rows = [task.propose(random, size) for _ in range(1500)]
    constant, copied = Counter[int](), Counter[int]()
    for row in rows:
        place = max(at for at, label in enumerate(row.labels) if label != tasks.UNSCORED)
        constant[row.labels[place]] += 1
        copied.update({at for at, symbol in enumerate(row.symbols) if symbol == row.labels[place] and at <= place})
    for best in (max(constant.values()), max(copied.values()) if task.family == "tracking" else 0):
        # the level is that of the best of many places, not of one chosen beforehand
        assert wilson(best, len(rows), level=0.99999).low <= task.chance(size)


def test_rows_survive_being_written(task: tasks.Task) -> None:
    row = task.propose(Random(1), task.trained[1])
    text, labels = tasks.written(row)
    alphabet = tasks.alphabet(task)
    assert len(set(alphabet)) == task.symbols
    assert GAP not in alphabet
    assert [alphabet.index(character) for character in text] == list(row.symbols)
    back = [tasks.UNSCORED if character == GAP else alphabet.index(character) for character in labels]
    assert back == list(row.labels)
