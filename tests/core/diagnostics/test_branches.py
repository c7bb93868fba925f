"""Replacing a branch changes what it should, and nothing where there is nothing to change."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.core.diagnostics.conftest import MODEL
from think.core.ablations.measures import branches as measures
from think.core.data.store import Split
from think.core.diagnostics.branches import branches, contributions, replaced
from think.core.models import build
from think.core.models.thinking import Settings, Thinking
from think.core.runs import RunFolder


@contextmanager
def unchanged(model: Thinking) -> Iterator[None]:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    yield
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_every_replacement_is_there_and_the_model_is_left_as_it_was(model: Thinking, split: Split) -> None:
    tokens = torch.randint(8, 60, (2, 20))
    before = model(tokens)[0]
    with unchanged(model):
        found = contributions(model, split, rows=4, length=64, tokens=1024)
    assert torch.equal(model(tokens)[0], before)
    keys = {(each.layer, each.branch, each.by) for each in found.replacements}
    expected = {(layer, b, w) for layer in (None, 0, 1) for b in ("rwkv", "mamba") for w in ("zero", "mean", "other")}
    assert keys == expected
    assert all(each.change.count == len(found.whole.block_losses) for each in found.replacements)
    assert all(each.change.value == pytest.approx(each.loss - found.whole.loss) for each in found.replacements)
    assert all(each.change.value != 0 for each in found.replacements)


def test_a_dead_branch_is_worth_nothing(model: Thinking, split: Split) -> None:
    with torch.no_grad():
        for block in model.blocks:
            block.mixer.fusion.mamba_gain.zero_()
    found = contributions(model, split, rows=4, length=64, tokens=512, each_layer=False)
    changes = {(each.branch, each.by): each.change.value for each in found.replacements}
    assert [changes["mamba", by] for by in ("zero", "mean", "other")] == [0.0, 0.0, 0.0]
    assert all(changes["rwkv", by] != 0.0 for by in ("zero", "mean", "other"))


def test_a_constant_branch_is_found_out_by_its_mean(model: Thinking, split: Split) -> None:
    constant = torch.randn(16)
    for (_, name), module in branches(model).items():
        if name == "rwkv":
            module.register_forward_hook(lambda _, __, out: constant.expand_as(out))
    found = contributions(model, split, rows=4, length=64, tokens=512, each_layer=False)
    changes = {by.by: by.change.value for by in found.replacements if by.branch == "rwkv"}
    assert abs(changes["zero"]) > 1e-3
    assert changes["mean"] == pytest.approx(0.0, abs=1e-5)
    assert changes["other"] == 0.0


def test_zero_cuts_the_branch_and_only_it(model: Thinking) -> None:
    tokens = torch.randint(8, 60, (3, 24))
    places = branches(model)
    all_rwkv = {place: module for place, module in places.items() if place[1] == "rwkv"}
    with torch.no_grad(), replaced(all_rwkv, "zero", {}):
        cut = model(tokens)[0]
    with torch.no_grad():
        for block in model.blocks:
            block.mixer.fusion.rwkv_gain.zero_()
        assert torch.equal(model(tokens)[0], cut)


def test_equal_texts_say_the_same_to_each_other(model: Thinking) -> None:
    tokens = torch.randint(8, 60, (1, 24)).expand(4, -1)
    with torch.no_grad(), replaced(branches(model), "other", {}):
        crossed = model(tokens)[0]
    assert torch.equal(crossed, model(tokens)[0])


def test_another_text_needs_another_row(model: Thinking, split: Split) -> None:
    with pytest.raises(ValueError, match="two or more rows"):
        contributions(model, split, rows=1, length=64)


@pytest.mark.parametrize("dead", [False, True])
def test_the_measure_of_a_study_says_the_same(model: Thinking, split: Split, monkeypatch, dead: bool) -> None:
    with torch.no_grad():
        for block in model.blocks:
            block.mixer.fusion.mamba_gain.mul_(0.0 if dead else 1.0)
    stage = SimpleNamespace(length=64, evaluation=SimpleNamespace(rows=4))
    held = SimpleNamespace(model=model, settings=SimpleNamespace(stage1=stage, data=SimpleNamespace(path="held")))
    monkeypatch.setattr(measures.assembled, "load", lambda path: held)
    monkeypatch.setattr(measures.Packed, "open", lambda path: SimpleNamespace(split=lambda name: split))
    figures = measures.measure(RunFolder(Path("run")))
    found = contributions(model, split, rows=4, length=64, tokens=measures.TOKENS, each_layer=False)
    assert figures == {f"{each.branch}_by_{each.by}": each.change.value for each in found.replacements}
    assert (figures["mamba_by_zero"] == 0.0) is dead


def test_a_model_without_branches_has_no_such_figures(split: Split, monkeypatch) -> None:
    single = {"kind": "rwkv6", "heads": 2, "mix_rank": 2, "decay_rank": 2}
    held = SimpleNamespace(model=build(Settings.model_validate_json(json.dumps({**MODEL, "mixer": single}))))
    monkeypatch.setattr(measures.assembled, "load", lambda path: held)
    figures = measures.measure(RunFolder(Path("run")))
    assert set(figures) == set(measures.FIGURES)
    assert all(map(math.isnan, figures.values()))
