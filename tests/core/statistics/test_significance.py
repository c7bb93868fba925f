"""Counted items, many comparisons and robust means, against worked examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from think.core.statistics import bootstrap_interval, holm, interquartile_mean, mcnemar


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (10, 2, 158 / 4096), (2, 10, 158 / 4096), (6, 0, 2 / 64), (1, 0, 1.0)],
)
def test_mcnemar_counts_coins(only_first: int, only_second: int, p: float) -> None:
    assert mcnemar(only_first, only_second) == pytest.approx(p)


def test_mcnemar_refuses_negative_counts() -> None:
    with pytest.raises(ValueError, match="not negative"):
        mcnemar(-1, 2)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([]) == ()
    assert holm([0.9, 0.8]) == pytest.approx((1.0, 1.0))
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([1.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_p_and_keeps_the_order(p: list[float]) -> None:
    corrected = holm(p)
    assert all(after >= before for before, after in zip(p, corrected, strict=True))
    order = sorted(range(len(p)), key=p.__getitem__)
    assert [corrected[index] for index in order] == sorted(corrected)


def test_holm_errs_in_one_study_of_twenty() -> None:
    generator = np.random.default_rng(0)
    wrong = sum(min(holm(list(p))) < 0.05 for p in generator.uniform(size=(4000, 6)))
    assert 0.035 <= wrong / 4000 <= 0.065


def test_interquartile_mean_leaves_out_the_quarters() -> None:
    assert interquartile_mean([1000.0, 1.0, 2.0, -1000.0]) == pytest.approx(1.5)
    assert interquartile_mean([1.0, 2.0, 6.0]) == pytest.approx(3.0)
    found = bootstrap_interval([1.0, 2.0, 3.0, 4.0, 100.0], interquartile_mean)
    assert found.value == pytest.approx(3.0)
