"""Confidence: what earns it, and that nothing else does."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from think.core.planning.confidence import Trust, confidence

share = st.floats(0, 1)


@given(values=st.lists(share, min_size=3, max_size=3), agreed=share, considered=st.integers(1, 40))
def test_heads_that_nobody_has_examined_are_sure_of_nothing(
    values: list[float], agreed: float, considered: int
) -> None:
    assert confidence(values, Trust.none(3), share=agreed, considered=considered) == (0.0, 0.0, 0.0)


@given(values=st.lists(share, min_size=2, max_size=2), agreed=share, considered=st.integers(1, 40), low=share)
def test_confidence_is_a_share(values: list[float], agreed: float, considered: int, low: float) -> None:
    found = confidence(values, Trust.of((0.2, 1.0), (low, low)), share=agreed, considered=considered)
    assert all(0.0 <= sure <= 1.0 for sure in found)
    assert found[1] == 0.0  # nothing is better than a head that always says 1


def test_each_factor() -> None:
    trust = Trust.of((0.5, 0.5, 0.5), (1.0, 0.75, 0.4))
    assert trust.skill == (1.0, 0.5, 0.0)
    assert confidence((1.0, 1.0, 1.0), trust, share=1.0, considered=4) == (1.0, 0.5, 0.0)
    assert confidence((0.75, 0.5, 1.0), trust, share=1.0, considered=4) == (0.5, 0.0, 0.0)
    assert confidence((1.0, 1.0, 1.0), trust, share=0.25, considered=4) == (0.0, 0.0, 0.0)
    assert confidence((1.0, 1.0, 1.0), trust, share=0.625, considered=4)[0] == pytest.approx(0.5)
    assert confidence((1.0, 1.0, 1.0), trust, share=1.0, considered=1) == (0.0, 0.0, 0.0)


def test_trust_is_earned_on_outcomes() -> None:
    generator = torch.Generator().manual_seed(0)
    outcomes = torch.rand(400, generator=generator) < 0.5
    noise = torch.rand(400, generator=generator)
    values = torch.stack([torch.full((400,), 0.5), noise, 0.6 * noise + 0.4 * outcomes, outcomes.float()], 1)
    trust = Trust.examined(values, outcomes)
    assert trust.skill[:2] == (0.0, 0.0)
    assert 0.5 < trust.skill[2] < trust.skill[3] == 1.0
    assert trust.base == pytest.approx(tuple(values.double().mean(0).tolist()))
    assert Trust.examined(values[:40], outcomes[:40]).skill == (0.0,) * 4, "too few of either outcome"
    fewer = Trust.examined(values, outcomes, torch.arange(400) // 20)
    assert fewer.skill[2] != trust.skill[2]
    assert Trust.examined(values, torch.ones(400, dtype=torch.bool)).skill == (0.0,) * 4


def test_trust_is_made_of_shares() -> None:
    with pytest.raises(ValueError, match="as many shares"):
        Trust((0.5, 0.5), (1.0,))
    with pytest.raises(ValueError, match="as many shares"):
        Trust((1.5,), (1.0,))
