"""Generation: steps against full passes, seeds, limits, stops, and characters that come in parts."""

import json
from collections.abc import Iterable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from think.core import seeding
from think.core.data.tokenizer import BOS, ENDOFTURN, EOS, PAD, UNK, BpeSettings, Tokenizer, train
from think.core.errors import BadData, MachineCannot, UsageError
from think.core.generation import STOPS, Limits, Opened, choose, full_context, pieces, turn, write_together
from think.core.models import Settings, Thinking, build
from think.core.models.decode import obstacle

HYBRID = {
    "kind": "hybrid",
    "rwkv": {"heads": 2, "mix_rank": 4, "decay_rank": 4},
    "mamba": {"expand": 1, "head_width": 8, "state": 8},
    "fusion": {"kind": "hybrid_norm"},
    "memory": {"h0": True, "norm": {"groups": 4, "period": 16}},
}
ATTENTION = {"kind": "attention", "heads": 2, "context": 24, "sliding": False}
GREEDY = Limits(tokens=20, temperature=0.0)


def _model(mixer: dict[str, object], seed: int = 0) -> Thinking:
    """A model that has opinions: fresh weights would guess nearly the same everywhere."""
    settings = Settings.model_validate_json(
        json.dumps(
            {
                "vocabulary": 40,
                "width": 16,
                "layers": 2,
                "mixer": mixer,
                "feed_forward": {"kind": "channel_mix", "inner": 32},
            }
        )
    )
    torch.manual_seed(seed)
    model = build(settings).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def hybrid() -> Thinking:
    return _model(HYBRID)


def _opened(model: Thinking, tokens: list[int], allowed: int | None = None) -> Opened:
    opened = Opened(model, allowed=allowed)
    opened.read(tokens)
    return opened


def test_greedy_text_is_the_argmax_of_full_passes(hybrid: Thinking) -> None:
    prompt = [BOS, 9, 17, 30]
    drawn = list(_opened(hybrid, prompt).write(Limits(tokens=40, temperature=0.0)))
    expected = list(prompt)
    with torch.no_grad():
        while len(expected) < len(prompt) + 40:
            scores = hybrid(torch.tensor([expected]))[0][0, -1].clone()
            scores[[PAD, UNK]] = float("-inf")
            token = int(scores.argmax())
            if token in STOPS:
                break
            expected.append(token)
    assert drawn == expected[len(prompt) :]
    assert drawn


def test_a_prompt_may_be_read_in_parts(hybrid: Thinking) -> None:
    tokens = [BOS, *range(8, 40), *range(8, 30)]
    whole = _opened(hybrid, tokens)
    parts = _opened(hybrid, tokens[:7])
    parts.read(tokens[7:8])
    parts.read(tokens[8:])
    assert whole.tokens == parts.tokens == len(tokens)
    assert list(whole.write(GREEDY)) == list(parts.write(GREEDY))


def test_a_long_prompt_takes_several_passes(hybrid: Thinking, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = [BOS, *range(8, 40)]
    whole = list(_opened(hybrid, tokens).write(GREEDY))
    monkeypatch.setattr("think.core.generation.CHUNK", 5)
    assert list(_opened(hybrid, tokens).write(GREEDY)) == whole


def test_writing_leaves_the_state_after_the_last_token_given(hybrid: Thinking) -> None:
    opened = _opened(hybrid, [BOS, 12])
    first = list(opened.write(Limits(tokens=5, temperature=0.0)))
    more = list(opened.write(Limits(tokens=5, temperature=0.0)))
    assert first + more == list(_opened(hybrid, [BOS, 12]).write(Limits(tokens=10, temperature=0.0)))


def test_the_state_does_not_grow_with_the_text(hybrid: Thinking) -> None:
    def sizes(opened: Opened) -> dict[str, torch.Size]:
        return {name: tensor.shape for name, tensor in opened.state.tensors().items()}

    opened = _opened(hybrid, [BOS])
    before = sizes(opened)
    list(opened.write(Limits(tokens=40, temperature=0.0)))
    assert sizes(opened) == before


def test_equal_seeds_give_equal_tokens(hybrid: Thinking) -> None:
    def draw(seed: int) -> list[int]:
        torch.rand(seed + 1)  # the global generator plays no part
        return list(_opened(hybrid, [BOS]).write(Limits(tokens=30, temperature=2.0), seeding.generator(seed, "test")))

    assert draw(1) == draw(1)
    assert len({tuple(draw(seed)) for seed in range(5)}) > 1


def test_the_global_generator_is_left_alone(hybrid: Thinking) -> None:
    before = torch.get_rng_state()
    list(_opened(hybrid, [BOS]).write(Limits(tokens=5, temperature=1.0), seeding.generator(0, "test")))
    assert torch.equal(before, torch.get_rng_state())


def _forced(hybrid: Thinking, monkeypatch: pytest.MonkeyPatch, script: list[int]) -> Opened:
    """An opened text whose next tokens are given."""
    coming = iter(script)
    monkeypatch.setattr("think.core.generation.choose", lambda *_: next(coming))
    return _opened(hybrid, [BOS])


@pytest.mark.parametrize("stop", sorted(STOPS))
def test_control_tokens_end_a_text_and_are_not_taken_in(
    hybrid: Thinking, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    opened = _forced(hybrid, monkeypatch, [20, 21, stop, 22])
    assert list(opened.write(Limits(tokens=9))) == [20, 21]
    assert opened.ended == "stop"
    assert opened.tokens == 3


def test_the_limit_ends_a_text(hybrid: Thinking, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = _forced(hybrid, monkeypatch, [20, 21, 22])
    assert list(opened.write(Limits(tokens=2))) == [20, 21]
    assert opened.ended == "tokens"


def test_full_attention_ends_a_text_where_its_context_ends() -> None:
    model = _model(ATTENTION, seed=3)
    assert full_context(model) == 24
    opened = _opened(model, [BOS, *range(8, 18)])
    assert opened.room == 13
    drawn = list(opened.write(Limits(tokens=100, temperature=3.0), seeding.generator(4, "test")))
    assert opened.ended in ("context", "stop")
    assert len(drawn) <= 13
    with pytest.raises(BadData, match="sees 24"):
        _opened(model, [BOS] * 25)


def test_full_attention_context_is_used_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model(ATTENTION)
    monkeypatch.setattr("think.core.generation.choose", lambda *_: 20)
    opened = _opened(model, [BOS] * 20)
    assert list(opened.write(Limits(tokens=100))) == [20] * 4
    assert opened.ended == "context"
    assert opened.room == 0


def test_ids_beyond_the_tokenizer_are_never_drawn(hybrid: Thinking) -> None:
    for seed in range(5):
        opened = _opened(hybrid, [BOS, 9], allowed=12)
        assert all(8 <= token < 12 for token in opened.write(Limits(30, 5.0, 1.0), seeding.generator(seed, "test")))


def test_nothing_read_is_an_error(hybrid: Thinking) -> None:
    with pytest.raises(UsageError, match="nothing to go on"):
        next(Opened(hybrid).write(GREEDY))


# ---- decoders, and many texts at once -------------------------------------------------------------------------------


def test_decoders_write_the_same_and_leave_the_same_state(hybrid: Thinking) -> None:
    expected = Opened(hybrid, decoder="eager")
    expected.read([BOS, 9, 17])
    tokens = list(expected.write(Limits(tokens=40, temperature=0.0)))
    assert expected.decoder == "eager"
    found = _opened(hybrid, [BOS, 9, 17])
    assert found.decoder is None
    assert list(found.write(Limits(tokens=40, temperature=0.0))) == tokens
    assert found.decoder == ("eager" if obstacle(hybrid) else "native")
    assert found.state.position == expected.state.position == found.tokens
    for name, tensor in expected.state.tensors().items():
        torch.testing.assert_close(found.state.tensors()[name], tensor, rtol=1e-4, atol=1e-4)


def test_reading_and_writing_take_turns(hybrid: Thinking, monkeypatch: pytest.MonkeyPatch) -> None:
    script = [20, 21, 22, 9, 10, 11, 12, 13]
    texts = []
    for decoder in ("eager", "auto"):
        coming = iter(script)
        monkeypatch.setattr("think.core.generation.choose", lambda *_, coming=coming: next(coming))
        text = Opened(hybrid, decoder=decoder)
        text.read([BOS, 9])
        assert list(text.write(Limits(3))) == script[:3]
        text.read([11, 12, 13])
        assert list(text.write(Limits(5))) == script[3:]
        texts.append(text)
    _assert_alike(texts[1], texts[0])


@pytest.mark.parametrize("decoder", ["auto", "eager"])
@pytest.mark.parametrize("mixer", [HYBRID, ATTENTION], ids=["hybrid", "attention"])
def test_each_of_many_texts_is_what_it_is_alone(mixer: dict[str, object], decoder: str) -> None:
    model = _model(mixer, seed=2)
    prompts = [[BOS, 9], [BOS, *range(8, 19)], [BOS, 30, 31], [BOS, 30, 31]]
    limits = Limits(tokens=30, temperature=1.5, top_p=0.9)

    def opened(which: int) -> Opened:
        text = Opened(model, decoder=decoder)
        text.read(prompts[which])
        return text

    alone = [opened(which) for which in range(4)]
    expected = [list(text.write(limits, seeding.generator(which))) for which, text in enumerate(alone)]
    together = [opened(which) for which in range(4)]
    drawn: list[list[int]] = [[] for _ in prompts]
    for which, token in write_together(together, limits, [seeding.generator(which) for which in range(4)]):
        drawn[which].append(token)
    assert drawn == expected
    assert len({len(tokens) for tokens in drawn}) > 1, "some end before others"
    for one, other in zip(alone, together, strict=True):
        assert (one.ended, one.tokens) == (other.ended, other.tokens)
        for name, tensor in one.state.tensors().items():
            assert torch.equal(tensor, other.state.tensors()[name]), name


def test_texts_written_together_can_go_on_alone(hybrid: Thinking) -> None:
    texts = [_opened(hybrid, [BOS, 9]), _opened(hybrid, [BOS, 9, 10])]
    drawn = [token for which, token in write_together(texts, Limits(5, 0.0), [None, None]) if which == 1]
    drawn += texts[1].write(Limits(5, 0.0))
    assert drawn == list(_opened(hybrid, [BOS, 9, 10]).write(Limits(10, 0.0)))


def test_another_text_begins_where_the_first_one_is(hybrid: Thinking) -> None:
    first = _opened(hybrid, [BOS, 9, 10], allowed=30)
    second = first.another()
    assert list(second.write(Limits(8, 0.0))) == list(first.write(Limits(8, 0.0)))
    assert all(token < 30 for token in first.another().write(Limits(9, 9.0, 1.0), seeding.generator(0)))


def _assert_alike(found: Opened, expected: Opened) -> None:
    assert found.tokens == expected.tokens
    for name, tensor in expected.state.tensors().items():
        torch.testing.assert_close(found.state.tensors()[name], tensor, rtol=1e-4, atol=1e-4)


def test_writing_takes_the_weights_as_they_are_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("think.core.generation.choose", lambda *_: 20)
    model = _model(HYBRID, seed=5)
    opened = _opened(model, [BOS, 9])
    list(opened.write(Limits(4)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    expected = Opened(model, opened.state, decoder="eager")
    for text in (expected, opened):
        text.read([12])
        list(text.write(Limits(12)))
    _assert_alike(opened, expected)


def test_a_hook_that_comes_later_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("think.core.generation.choose", lambda *_: 20)
    model = _model(HYBRID)
    opened = _opened(model, [BOS, 9])
    list(opened.write(Limits(4)))
    heard = []
    model.blocks[0].register_forward_hook(lambda *_: heard.append(1))
    assert list(opened.write(Limits(3))) == [20] * 3
    assert opened.decoder == "eager"
    assert len(heard) == 3
    with torch.no_grad():
        _, expected = model(torch.tensor([[BOS, 9, *[20] * 7]]))
    for name, tensor in expected.tensors().items():
        torch.testing.assert_close(opened.state.tensors()[name], tensor, rtol=1e-4, atol=1e-4)


def test_a_decoder_by_name_is_that_one_or_an_error(hybrid: Thinking) -> None:
    with pytest.raises(UsageError, match="quick"):
        Opened(hybrid, decoder="quick")
    handle = hybrid.register_forward_hook(lambda *_: None)
    with pytest.raises(MachineCannot, match="hook"):
        Opened(hybrid, decoder="native")
    handle.remove()


NOTHING = torch.zeros(4)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_scores_that_are_not_finite_are_an_error(score: float, temperature: float) -> None:
    with pytest.raises(BadData, match="not finite"):
        choose(torch.tensor([0.0, score, 0.0, 0.0]), Limits(1, temperature), NOTHING)


def test_greedy_takes_the_lowest_of_equals() -> None:
    assert choose(torch.tensor([0.0, 1.0, 1.0, 0.0]), GREEDY, NOTHING) == 1


def test_barred_tokens_are_not_taken() -> None:
    barred = torch.tensor([0.0, -torch.inf, -torch.inf, 0.0])
    assert choose(torch.tensor([0.0, 9.0, 9.0, 1.0]), GREEDY, barred) == 3
    for seed in range(20):
        assert choose(torch.zeros(4), Limits(1, 1.0, 1.0), barred, seeding.generator(seed)) in (0, 3)


def test_temperature_and_top_p_shape_the_draws() -> None:
    scores = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    draws = seeding.generator(0, "shape")

    def shares(limits: Limits, count: int = 1200) -> list[float]:
        taken = [choose(scores, limits, NOTHING, draws) for _ in range(count)]
        return [taken.count(token) / count for token in range(4)]

    assert shares(Limits(1, 1.0, 1.0)) == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.06)
    assert shares(Limits(1, 1.0, 0.79)) == pytest.approx([0.625, 0.375, 0, 0], abs=0.06)
    assert shares(Limits(1, 1.0, 0.81)) == pytest.approx([0.526, 0.316, 0.158, 0], abs=0.06)
    assert shares(Limits(1, 1.0, 1e-9), 50) == [1, 0, 0, 0]
    assert shares(Limits(1, 1e-300, 1.0), 50) == [1, 0, 0, 0]
    hot = shares(Limits(1, 1e6, 1.0))
    assert hot == pytest.approx([0.25] * 4, abs=0.06)


@pytest.mark.parametrize(
    "fields", [{"tokens": 0}, {"temperature": -1.0}, {"temperature": float("nan")}, {"top_p": 0.0}, {"top_p": 1.1}]
)
def test_limits_out_of_range(fields: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Limits(**{"tokens": 1, **fields})  # type: ignore[arg-type]


TOKENIZER = train(BpeSettings(size=264 + 40), ["é 漢字 漢字 🙂🙃 the cat and the hat " * 20])


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_pieces_put_together_are_the_text(text: str) -> None:
    drawn = list(pieces(TOKENIZER, TOKENIZER.encode(text)))
    assert "".join(drawn) == text
    assert all(drawn)


def test_a_character_comes_only_when_it_is_whole() -> None:
    bytewise = train(BpeSettings(size=264), ["a"])
    tokens = bytewise.encode("a漢🙂b")
    assert len(tokens) == 1 + 3 + 4 + 1
    assert list(pieces(bytewise, tokens)) == ["a", "漢", "🙂", "b"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(8, 263), max_size=90))
def test_any_bytes_come_out_as_the_decoder_has_them(tokens: list[int]) -> None:
    assert "".join(pieces(TOKENIZER, tokens)) == TOKENIZER.decode(tokens)


def test_endless_broken_bytes_do_not_pile_up() -> None:
    longest = 0

    class Watched:
        size = TOKENIZER.size

        def encode(self, text: str) -> list[int]:
            return TOKENIZER.encode(text)

        def decode(self, ids: Iterable[int]) -> str:
            nonlocal longest
            longest = max(longest, len(list(ids)))
            return TOKENIZER.decode(ids)

    broken = train(BpeSettings(size=264), ["a"]).encode("漢")[1:2] * 500
    assert "".join(pieces(Watched(), broken)) == "\ufffd" * 500
    assert longest < 100


def test_turns_have_the_form_of_packed_chats() -> None:
    tokenizer: Tokenizer = TOKENIZER
    tokens = turn(tokenizer, "user", "the cat")
    assert tokens[0] == 5
    assert tokens[-1] == ENDOFTURN
    assert tokenizer.decode(tokens[1:-1]) == "the cat"
    assert EOS not in turn(tokenizer, "user", "<|eos|>")
