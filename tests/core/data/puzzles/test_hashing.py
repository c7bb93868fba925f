"""Random numbers of a seed: independent of the batch, well spread."""

import numpy as np

from think.core.data.puzzles.hashing import below, folded, mixed, permutations, words


def test_a_seed_gives_the_same_in_any_company() -> None:
    seeds = np.array([5, 0, 2**60, 5])
    together = words(seeds, 7, stream=3)
    assert (together[0] == together[3]).all()
    assert (words(seeds[2:3], 7, stream=3)[0] == together[2]).all()
    assert not (words(seeds, 7, stream=4) == together).any()


def test_the_mixer_is_splitmix64() -> None:
    """First outputs of the generator with seed 0, as published with its reference code."""
    assert [hex(int(word)) for word in mixed(np.array([0]))] == ["0xe220a8397b1dcdaf"]
    assert hex(int(words(np.array([0]), 2, 0)[0, 0])) != hex(int(words(np.array([1]), 2, 0)[0, 0]))


def test_numbers_below_a_bound_are_uniform() -> None:
    counts = np.bincount(below(words(np.arange(60_000), 1, 0)[:, 0], 6), minlength=6)
    assert np.abs(counts - 10_000).max() < 450


def test_permutations_are_permutations_and_all_differ() -> None:
    drawn = permutations(np.arange(2000), 8, stream=1)
    assert (np.sort(drawn, axis=1) == np.arange(8)).all()
    assert np.abs(np.bincount(drawn[:, 0], minlength=8) - 250).max() < 80
    assert len({tuple(row) for row in drawn.tolist()}) > 1900


def test_a_fold_depends_on_values_and_order() -> None:
    rows = np.array([[1, 2, 3], [1, 3, 2], [1, 2, 4], [1, 2, 3]])
    folds = folded(rows)
    assert folds[0] == folds[3]
    assert len(set(folds.tolist())) == 3
