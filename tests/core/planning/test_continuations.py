"""Continued texts: what is the document's own, what the model says, and where a text ends."""

import pytest
import torch

from tests.core.models.examples import model
from tests.core.planning.test_trajectories import only
from think.core.data.pack import pack, texts
from think.core.data.settings import DataSettings
from think.core.data.sources.text import Settings as Text
from think.core.data.store import Packed
from think.core.data.tokenizer import BOS, EOS, CharacterSettings, train
from think.core.errors import BadData
from think.core.planning.continuations import Continuations
from think.core.planning.trajectories import GOLD, NOISY, OWN, RANDOM, MixtureSettings

PROMPT, STEPS = 6, 5


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = tmp_path_factory.mktemp("texts")
    lines = [f"the {('quick', 'slow', 'brown')[n % 3]} fox {n}" for n in range(40)]
    (folder / "text.txt").write_text("\n".join([*lines, "a"]) + "\n")
    settings = DataSettings(sources=(Text(path=str(folder / "text.txt")),), split_on="record")
    tokenizer = train(CharacterSettings(), texts(settings.sources, settings))
    pack(settings.sources, settings, tokenizer, folder / "pack")
    return Packed.open(folder / "pack")


@pytest.fixture(scope="module")
def continuations(packed: Packed) -> Continuations:
    made = model("rwkv6", vocabulary=packed.tokenizer.size).eval()
    return Continuations(made, packed.split("train"), PROMPT, STEPS)


def documents(packed: Packed) -> list[list[int]]:
    split = packed.split("train")
    return [split.read(start, stop).tolist() for start, stop in zip(split.starts, split.ends, strict=True)]


def holds(text: list[int], part: list[int]) -> bool:
    return any(text[start : start + len(part)] == part for start in range(len(text)))


def test_gold_is_the_text_and_ends_with_its_document(continuations: Continuations, packed: Packed) -> None:
    games = continuations.batch(0, 200, only(GOLD))
    every = documents(packed)
    for row in range(len(games)):
        said = games.tokens[row, : PROMPT + int(games.steps[row])].tolist()
        assert any(holds(text, said) for text in every)
        assert games.ended[row] == (said[-1] == EOS)
        assert games.ended[row] or games.steps[row] == STEPS
        assert (games.value[row, : games.steps[row] + 1] == 1).all()
        assert games.value[row, games.steps[row] + 1 :].isnan().all()
        assert (games.actions[row, games.steps[row] - 1 :] == said[-1]).all()
    assert 0.05 < games.ended.float().mean() < 0.95
    assert (games.tokens[:, 0] == BOS).any()
    assert games.legal is None


@pytest.mark.parametrize("kind", [OWN, NOISY, RANDOM])
def test_a_text_is_worth_something_until_a_token_is_not_its_own(continuations: Continuations, kind: int) -> None:
    gold, other = continuations.batch(5, 300, only(GOLD)), continuations.batch(5, 300, only(kind, noise=0.3))
    assert torch.equal(gold.tokens[:, :PROMPT], other.tokens[:, :PROMPT])
    for row in range(len(other)):
        same = True
        for node in range(1, int(other.steps[row]) + 1):
            same &= node <= int(gold.steps[row]) and bool(other.actions[row, node - 1] == gold.actions[row, node - 1])
            assert other.value[row, node] == float(same)
    assert (other.value[:, 0] == 1).all()
    kept = other.value[:, 1].mean().item()
    expected = {OWN: (0.0, 0.3), NOISY: (0.6, 0.8), RANDOM: (0.0, 0.1)}[kind]
    assert expected[0] <= kept <= expected[1]


@torch.no_grad()
def test_its_own_words_are_drawn_from_the_model(continuations: Continuations) -> None:
    games = continuations.batch(1, 500, only(OWN))
    log = continuations._model(games.tokens)[0][:, PROMPT - 1 : -1].log_softmax(-1)
    chosen = games.played[:, 1:]
    played = log.gather(2, games.actions.unsqueeze(2)).squeeze(2)[chosen]
    entropy = -(log.exp() * log).sum(-1)[chosen]
    assert abs((played + entropy).mean()) < 4 * (played + entropy).std() / len(played) ** 0.5


def test_a_batch_is_a_function_of_the_seed(continuations: Continuations) -> None:
    one, same, other = (continuations.batch(seed, 20, MixtureSettings()) for seed in (1, 1, 2))
    assert torch.equal(one.tokens, same.tokens)
    assert not torch.equal(one.tokens, other.tokens)


def test_a_prompt_must_fit_into_a_document(packed: Packed) -> None:
    with pytest.raises(BadData, match="the longest document"):
        Continuations(model("rwkv6"), packed.split("train"), 100, STEPS)
