"""Steering: what a plan does against what other plans do, and what it cannot do by construction."""

import pytest
import torch

from tests.core.planning.models import model_of
from think.core.data.pack import pack, texts
from think.core.data.settings import DataSettings
from think.core.data.sources.stories import Settings as StoriesSettings
from think.core.data.store import Packed, Split
from think.core.data.tokenizer import CONTROL, CharacterSettings, train
from think.core.errors import BadData, UsageError
from think.core.eval.steering.items import ARMS, OTHER, PLANNED, RANDOM, SHUFFLED, Windows, windows
from think.core.eval.steering.measure import BEYOND, FREQUENCY, LIKELIHOOD, steer
from think.core.models.thinking import Thinking
from think.core.planning.injection import InjectionSettings

COUNT, PROMPT, PLAN = 4, 7, 4


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    root = tmp_path_factory.mktemp("data")
    sources, data = (StoriesSettings(count=20),), DataSettings(path=str(root))
    pack(sources, data, train(CharacterSettings(), texts(sources, data)), root)
    return Packed.open(root).split("train")


def drawn(model: Thinking, seed: int = 0) -> Windows:
    generator = torch.Generator().manual_seed(seed)

    def some(length: int) -> torch.Tensor:
        return torch.randint(len(CONTROL), model.settings.vocabulary, (COUNT, length), generator=generator)

    return Windows(some(PROMPT), some(PLAN), some(PLAN), {arm: some(PLAN) for arm in ARMS})


def test_windows_lie_inside_of_documents_and_share_nothing(split: Split) -> None:
    found = windows(split, 40, PROMPT, PLAN, seed=3)
    assert found.beyond is not None
    rows = torch.cat([found.prompts, found.truth, found.beyond], 1)
    assert rows.shape == (40, PROMPT + 2 * PLAN)
    text = split.read(0, split.tokens)
    size = rows.shape[1]
    inside = [
        tuple(text[start : start + size])
        for first, end in zip(split.starts, split.ends, strict=True)
        for start in range(first, end - size + 1)
    ]
    assert {tuple(row) for row in rows.tolist()} <= set(inside)
    assert torch.equal(found.plans[PLANNED], found.truth)
    assert torch.equal(found.plans[SHUFFLED].sort(1).values, found.truth.sort(1).values)
    assert not torch.equal(found.plans[SHUFFLED], found.truth)
    assert torch.equal(found.plans[OTHER][1:], found.truth[:-1])
    assert bool((found.plans[RANDOM] >= len(CONTROL)).all())
    again, other = windows(split, 40, PROMPT, PLAN, seed=3), windows(split, 40, PROMPT, PLAN, seed=4)
    assert all(torch.equal(again.plans[arm], found.plans[arm]) for arm in ARMS)
    assert not torch.equal(other.prompts, found.prompts)


def test_one_plan_for_all_windows(split: Split) -> None:
    plan = [20, 21, 22]
    found = windows(split, 10, PROMPT, plan, seed=0)
    assert found.beyond is None
    assert found.plans[PLANNED].tolist() == [plan] * 10
    assert not (found.plans[OTHER] == torch.tensor(plan)).all(1).any()


def test_more_windows_than_there_are(split: Split) -> None:
    with pytest.raises(BadData, match="windows of 2008 tokens"):
        windows(split, 10, 2000, PLAN, seed=0)


@pytest.mark.parametrize("lag", [0, 2])
def test_without_an_open_gate_nothing_changes_at_all(lag: int) -> None:
    model = model_of("hybrid")
    found = steer(model, drawn(model), InjectionSettings(rate=0.0), lag)
    assert set(found.gains) == {LIKELIHOOD, FREQUENCY, BEYOND}
    assert all(not gain.any() for arms in found.gains.values() for gain in arms.values())
    assert found.lead(LIKELIHOOD, RANDOM).low == found.lead(LIKELIHOOD, RANDOM).high == 0.0


def test_equal_plans_have_equal_effects_and_others_do_not() -> None:
    model = model_of("hybrid")
    given = drawn(model)
    given.plans[SHUFFLED] = given.plans[PLANNED]
    found = steer(model, given, InjectionSettings(rate=0.7), 0)
    assert found.alpha == 0.7
    for figure in (LIKELIHOOD, BEYOND):
        assert torch.equal(found.gains[figure][SHUFFLED], found.gains[figure][PLANNED])
        assert bool((found.gains[figure][RANDOM] != found.gains[figure][PLANNED]).all())
    said = found.as_json()
    assert said[LIKELIHOOD][SHUFFLED]["lead"]["interval"] == [0.0, 0.0]
    assert said[LIKELIHOOD][PLANNED]["gain"]["count"] == COUNT


def test_a_window_has_its_figures_in_any_company() -> None:
    model = model_of("rwkv6")
    given = drawn(model)
    whole = steer(model, given, InjectionSettings(rate=0.5), 1)
    part = steer(model, given.rows(slice(2, 4)), InjectionSettings(rate=0.5), 1)
    torch.testing.assert_close(
        part.gains[LIKELIHOOD][PLANNED], whole.gains[LIKELIHOOD][PLANNED][2:4], rtol=1e-4, atol=1e-5
    )


def test_rates_and_lags_have_their_gates() -> None:
    model = model_of("rwkv6")
    given = drawn(model)
    late = steer(model, given, InjectionSettings(rate=0.5, decay=0.5), 2)
    assert late.alpha == 0.125
    prompt = steer(model, given, InjectionSettings(rate=0.5, decay=0.5), 0)
    assert not torch.equal(late.gains[LIKELIHOOD][PLANNED], prompt.gains[LIKELIHOOD][PLANNED])


def test_what_cannot_be_measured() -> None:
    model = model_of("rwkv6", period=PROMPT + 1)
    with pytest.raises(UsageError, match="none left to score"):
        steer(model, drawn(model), InjectionSettings(), PLAN - 1)
    with pytest.raises(UsageError, match="StateNorm acts between tokens 7 and 9"):
        steer(model, drawn(model), InjectionSettings(), 2)
