"""Labels of each task against another way to the answer, and their way through a pack into batches."""

from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from think.core.data import tasks
from think.core.data.batches import Tracks, passes
from think.core.data.pack import pack, texts
from think.core.data.settings import DataSettings
from think.core.data.sources.stories import Settings as Stories
from think.core.data.sources.task import Settings as Rows
from think.core.data.store import Packed
from think.core.data.tasks import UNSCORED
from think.core.data.tokenizer import BOS, PAD, BpeSettings, CharacterSettings, train
from think.core.errors import BadData, BadSettings

# ---- answers, by another way ---------------------------------------------------------------------------------------


def test_parity_and_sums_are_running_sums() -> None:
    for name, order in (("parity", 2), ("z5", 5)):
        row = tasks.load(name).propose(Random(0), 60)
        assert list(row.labels) == (np.cumsum(row.symbols) % order).tolist()


@pytest.mark.parametrize(("name", "letters"), [("s3", 3), ("s5", 5)])
def test_permutations_are_products_of_matrices(name: str, letters: int) -> None:
    from itertools import permutations

    elements = list(permutations(range(letters)))
    matrices = {number: np.eye(letters, dtype=int)[list(element)].T for number, element in enumerate(elements)}
    row, product = tasks.load(name).propose(Random(0), 50), np.eye(letters, dtype=int)
    for symbol, label in zip(row.symbols, row.labels, strict=True):
        product = matrices[symbol] @ product
        assert np.array_equal(product, matrices[label])
    one, other = matrices[1], matrices[2]
    assert not np.array_equal(one @ other, other @ one)


def test_keys_ask_for_the_value_that_followed_them() -> None:
    for size, length in ((4, 64), (16, 64), (32, 128), (64, 256)):
        row = tasks.load("mqar").propose(Random(size), size)
        assert len(row.symbols) == length
        value_of = dict(zip(row.symbols[: 2 * size : 2], row.symbols[1 : 2 * size : 2], strict=True))
        assert len(value_of) == len(set(value_of.values())) == size
        assert all(label == UNSCORED for label in row.labels[: 2 * size])
        asked = {row.symbols[at]: label for at, label in enumerate(row.labels) if label != UNSCORED}
        assert asked == value_of
        rest = [row.symbols[at] for at in range(2 * size, length) if row.labels[at] == UNSCORED]
        assert not set(rest) & set(value_of), "what is not a question is no key"


def test_near_keys_are_likelier() -> None:
    random, places = Random(0), []
    for _ in range(300):
        row = tasks.load("mqar").propose(random, 4)
        places += [at - 8 for at, label in enumerate(row.labels) if label != UNSCORED]
    assert np.mean([place < 14 for place in places]) > 0.5, "of 28 places, a power law puts more than half in a quarter"


def test_a_copy_is_the_text_once_more() -> None:
    row = tasks.load("copying").propose(Random(0), 9)
    assert row.labels[9:] == row.symbols[:9]
    assert row.symbols[10:] == row.symbols[:8]
    assert row.labels[:9] == (UNSCORED,) * 9


def test_hops_follow_the_table() -> None:
    for size in (1, 5, 12):
        row = tasks.load("pointer_chase").propose(Random(size), size)
        follow = dict(zip(row.symbols[:32:2], row.symbols[1:32:2], strict=True))
        assert sorted(follow) == sorted(follow.values()) == list(range(16))
        questions = [(at, label) for at, label in enumerate(row.labels) if label != UNSCORED]
        assert len(questions) == 8
        for at, label in questions:
            assert row.symbols[at - size : at] == (16,) * size
            node = row.symbols[at]
            for _ in range(size):
                node = follow[node]
            assert node == label
            assert node != row.symbols[at]


def test_rows_that_run_out_are_said() -> None:
    with pytest.raises(BadData, match="no further row of bits 3 to 3"):
        list(islice(tasks.rows("parity", "train", 3, 3, seed=0), 20))


# ---- through a pack ------------------------------------------------------------------------------------------------


def packed(folder: Path, **settings: Any) -> Packed:
    sources = (Rows(**{"task": "pointer_chase", "count": 60, **settings}),)
    data = DataSettings(sources=sources)
    pack(sources, data, train(CharacterSettings(), texts(sources, data)), folder)
    return Packed.open(folder)


def test_a_pack_holds_rows_with_their_labels(tmp_path: Path) -> None:
    opened = packed(tmp_path / "pack")
    assert opened.verify() > 0
    split = opened.split("train")
    assert split.labelled
    assert not split.masked
    assert opened.tokenizer.size == 8 + tasks.load("pointer_chase").symbols
    written = {
        (text, labels)
        for text, labels in map(tasks.written, islice(tasks.rows("pointer_chase", "train", 1, 8, seed=0), 60))
    }
    for start, end in zip(split.starts, split.ends, strict=True):
        tokens, labels = split.read(start, end), split.gather_labels(np.arange(start, end))
        assert tokens[0] == BOS
        assert labels[0] == PAD
        text = opened.tokenizer.decode(tokens[1:].tolist())
        said = "".join(" " if label == PAD else opened.tokenizer.decode([label]) for label in labels[1:].tolist())
        assert (text, said) in written
        assert np.array_equal(split.mask(start, end), labels != PAD)


def test_batches_ask_for_labels_and_not_for_what_comes_next(tmp_path: Path) -> None:
    split = packed(tmp_path / "pack").split("train")
    tracks = Tracks(split, rows=3, seed=0)
    asked = 0
    for position in range(0, tracks.epoch_length, 50):
        batch = tracks.at(position, 50)
        assert ((batch.targets != PAD) == (batch.weights > 0)).all()
        assert (batch.reset == (batch.tokens == BOS)).logical_or(batch.reset).all()
        asked += int(batch.weights.sum())
    assert asked >= 8 * split.documents - 3 * 8, "but for what lies in the last window, every question of an epoch"
    questions = sum(int(batch.weights.sum()) for batch in passes(split, 4, 64))
    assert questions == 8 * split.documents, "an evaluation asks every question once"


def test_shards_cut_labels_where_they_cut_tokens(tmp_path: Path) -> None:
    whole = packed(tmp_path / "whole").split("train")
    sources = (Rows(task="pointer_chase", count=60),)
    data = DataSettings(sources=sources, shard_tokens=700)
    pack(sources, data, train(CharacterSettings(), texts(sources, data)), tmp_path / "cut")
    cut = Packed.open(tmp_path / "cut").split("train")
    everywhere = np.arange(whole.tokens)
    assert np.array_equal(cut.gather(everywhere), whole.gather(everywhere))
    assert np.array_equal(cut.gather_labels(everywhere), whole.gather_labels(everywhere))


def test_labels_need_characters_and_company_of_their_kind(tmp_path: Path) -> None:
    rows, stories = Rows(task="parity", count=40), Stories(count=40)
    data = DataSettings(sources=(rows,))
    with pytest.raises(BadSettings, match="the tokenizer is bpe") as refused:
        pack((rows,), data, train(BpeSettings(size=264), texts((rows,), data)), tmp_path / "bpe")
    assert "tokenizer.kind=character" in str(refused.value.remedy)
    with pytest.raises(BadSettings, match="some sources have labels"):
        pack((rows, stories), data, train(CharacterSettings(), ["01"]), tmp_path / "both")
    with pytest.raises(BadData, match="does not know a label"):
        pack((rows,), data, train(CharacterSettings(), ["0"]), tmp_path / "other")


def test_a_task_that_is_not_there_and_sizes_that_cross_are_refused() -> None:
    with pytest.raises(ValueError, match="no task named 'party'; one of copying"):
        Rows(task="party")
    with pytest.raises(ValueError, match="smallest = 50 is above largest = 40"):
        Rows(task="parity", smallest=50)
