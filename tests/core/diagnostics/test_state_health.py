"""States that are frozen, chaotic, collapsed or unbounded are told apart, on the very network that is looked at."""

import pytest
import torch
from einops import rearrange

from think.core.data.store import Split
from think.core.diagnostics.state_health import LENGTHS, STEPS, examine, participation, streams_of
from think.core.errors import BadData
from think.core.models.mixers.rwkv6 import Rwkv6
from think.core.models.thinking import Thinking


def decays(model: Thinking) -> list[torch.nn.Parameter]:
    return [module.decay_bias for module in model.modules() if isinstance(module, Rwkv6)]


def cosine(model: Thinking, tokens: torch.Tensor) -> float:
    found = [each.cosine for each in examine(model, tokens).branches if each.branch == "rwkv"]
    return sum(found) / len(found)


@pytest.fixture(scope="module")
def tokens(split: Split) -> torch.Tensor:
    return streams_of(split, 2)[:, : LENGTHS[1] + STEPS]


def test_looks_without_touching(model: Thinking, tokens: torch.Tensor) -> None:
    before = model(tokens)[0]
    model.train()
    first, second = examine(model, tokens), examine(model, tokens)
    assert model.training
    assert torch.equal(model.eval()(tokens)[0], before)
    assert first == second
    assert first.deterministic
    assert first.not_finite == 0
    assert {(each.layer, each.branch) for each in first.branches} == {(i, b) for i in (0, 1) for b in ("rwkv", "mamba")}


def test_steps_and_stretches_are_one_stream(model: Thinking, tokens: torch.Tensor) -> None:
    with torch.no_grad():
        _, at_once = model(tokens[:, : LENGTHS[1]])
    found = {(each.layer, each.branch): each for each in examine(model, tokens).branches}
    for layer, branch, matrix in at_once.matrices():
        size = float(matrix.square().mean().sqrt())
        assert found[layer, branch].norms[1] == pytest.approx(size, rel=1e-5)
        assert found[layer, branch].participation == pytest.approx(by_singular_values(matrix), rel=1e-5)


def by_singular_values(matrix: torch.Tensor) -> float:
    values = torch.linalg.svdvals(rearrange(matrix.double(), "B H R C -> (B H) R C"))
    return float((values.square().sum(-1) ** 2 / (values**4).sum(-1)).mean()) / min(matrix.shape[-2:])


def test_frozen_and_forgetful_states_lie_at_the_ends(model: Thinking, tokens: torch.Tensor) -> None:
    with torch.no_grad():
        for decay in decays(model):
            decay.fill_(-20.0)  # retention exp(-exp(-20)): nothing is ever lost
    frozen = cosine(model, tokens)
    with torch.no_grad():
        for decay in decays(model):
            decay.fill_(4.0)  # retention exp(-exp(4)): only the last token is left
    forgetful = cosine(model, tokens)
    assert forgetful < 0.9 < frozen


@pytest.mark.parametrize(("matrix", "share"), [(torch.eye(4), 1.0), (torch.ones(4, 6), 0.25), (torch.zeros(4, 4), 0.0)])
def test_participation_of_known_matrices(matrix: torch.Tensor, share: float) -> None:
    assert participation(matrix[None, None]) == pytest.approx(share)


def test_a_model_deaf_to_its_past_has_no_response(model: Thinking, tokens: torch.Tensor) -> None:
    assert examine(model, tokens).response > 0
    with torch.no_grad():
        for block in model.blocks:
            block.add_mixer.weight.zero_()
            block.add_feed_forward.weight.zero_()
    assert examine(model, tokens).response == 0


def test_states_that_are_not_finite_are_counted(model: Thinking, tokens: torch.Tensor) -> None:
    with torch.no_grad():
        model.embedding.weight[tokens[0, 0]] = float("nan")
    assert examine(model, tokens).not_finite > 0


def test_too_little_text_says_how_much_is_needed(split: Split) -> None:
    with pytest.raises(BadData, match="too few") as raised:
        streams_of(split, 1 + split.tokens // (LENGTHS[1] + STEPS))
    assert raised.value.remedy
