"""Ranking and calibration of probabilities, against pairs counted out, closed forms and scikit-learn's known values."""

import math

import numpy as np
import pytest

from think.core.statistics import auroc, calibration_error, platt


def counted(scores: np.ndarray, outcomes: np.ndarray) -> float:
    """Over all pairs."""
    better = scores[outcomes == 1][:, None] - scores[outcomes == 0]
    return float(((better > 0) + 0.5 * (better == 0)).mean())


def test_auroc_of_the_textbook() -> None:
    assert auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).value == 0.75  # the example of scikit-learn's roc_auc_score
    assert auroc([1, 2, 3, 4], [0, 0, 1, 1]).value == 1.0
    assert auroc([4, 3, 2, 1], [0, 0, 1, 1]).value == 0.0
    assert auroc([5, 5, 5, 5], [0, 1, 0, 1]).value == 0.5
    assert math.isnan(auroc([1, 2, 3], [1, 1, 1]).value)


@pytest.mark.parametrize("seed", range(5))
def test_auroc_counts_pairs_and_halves_of_ties(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores, outcomes = random.integers(0, 6, 60).astype(float), random.integers(0, 2, 60)
    assert auroc(scores, outcomes).value == pytest.approx(counted(scores, outcomes), abs=1e-12)
    squeezed = auroc(np.tanh(scores / 10), outcomes)
    assert squeezed.value == auroc(scores, outcomes).value  # only the order counts
    assert squeezed.low < squeezed.value < squeezed.high


def test_the_interval_of_auroc_covers_the_truth_and_groups_widen_it() -> None:
    """Scores of two normal populations one standard deviation apart: AUROC = Phi(1 / sqrt 2)."""
    truth = 0.5 * (1 + math.erf(0.5))
    covered, singles, grouped = 0, [], []
    for seed in range(40):
        random = np.random.default_rng(seed)
        outcome = np.repeat(random.integers(0, 2, 40), 5)
        shift = np.repeat(random.normal(0, math.sqrt(0.5), 40), 5)  # shared by the five of a group
        score = outcome + shift + random.normal(0, math.sqrt(0.5), 200)
        alone = auroc(score, outcome, resamples=200)
        together = auroc(score, outcome, np.repeat(np.arange(40), 5), resamples=200)
        assert alone.value == together.value
        assert (alone.count, together.count) == (200, 40)
        covered += together.low <= truth <= together.high
        singles.append(alone.high - alone.low)
        grouped.append(together.high - together.low)
    assert covered >= 34
    assert np.mean(grouped) > 1.2 * np.mean(singles)


def test_calibration_error_by_hand() -> None:
    # bins of 0.5: the first says 0.2 and 0.3 and nothing came, the second 0.9 and 0.7 and one of two came
    found = calibration_error([0.2, 0.3, 0.9, 0.7], [0, 0, 1, 0], bins=2)
    assert found.value == pytest.approx(0.5 * 0.25 + 0.5 * 0.3)
    assert calibration_error([0.0, 1.0], [0, 1]).value == 0.0
    assert calibration_error([0.0, 1.0], [1, 0]).value == 1.0
    with pytest.raises(ValueError, match="between 0 and 1"):
        calibration_error([1.1], [1])


def test_calibration_error_of_true_probabilities_is_small_and_of_sharpened_ones_is_not() -> None:
    random = np.random.default_rng(0)
    probability = random.uniform(0, 1, 20_000)
    outcome = random.uniform(0, 1, 20_000) < probability
    assert calibration_error(probability, outcome, resamples=50).value < 0.02
    sharp = probability**3 / (probability**3 + (1 - probability) ** 3)
    assert calibration_error(sharp, outcome, resamples=50).low > 0.08


def test_scaling_finds_the_temperature_and_bias_that_scores_were_made_with() -> None:
    random = np.random.default_rng(1)
    true = random.normal(0, 2, 50_000)
    outcome = random.uniform(0, 1, 50_000) < 1 / (1 + np.exp(-true))
    found = platt(3.0 * true + 1.5, outcome)
    assert found.scale == pytest.approx(1 / 3, rel=0.05)
    assert found.bias == pytest.approx(-0.5, abs=0.05)


def test_scaling_is_finite_where_scores_separate_and_says_the_base_rate_where_they_say_nothing() -> None:
    separated = platt([-1.0, -2.0, 3.0, 4.0], [0, 0, 1, 1])
    assert math.isfinite(separated.scale)
    assert separated.scale > 0
    backwards = platt([1.0, 2.0, -3.0, -4.0], [0, 0, 1, 1])
    assert backwards.scale == 0
    assert backwards.bias == pytest.approx(0.0)
    same = platt([7.0] * 8, [1, 0, 0, 0, 0, 0, 0, 0])
    assert same.scale == 0
    assert 0.1 < 1 / (1 + math.exp(-same.bias)) < 0.3


def test_outcomes_are_zero_or_one_and_one_for_each_score() -> None:
    with pytest.raises(ValueError, match="0 or 1"):
        auroc([0.1, 0.2], [0.0, 0.5])
    with pytest.raises(ValueError, match="2 values for 1"):
        auroc([0.1, 0.2], [1])
