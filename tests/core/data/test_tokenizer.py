"""Text survives encoding exactly, and no text can write a control token."""

import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from think.core.data.pieces import FORCED_CUT_CHARACTERS, PIECE_CHARACTERS, cut_safely, last_safe_cut
from think.core.data.tokenizer import (
    CONTROL,
    CONTROL_TEXT,
    SMALLEST_BPE,
    UNK,
    BpeSettings,
    CharacterSettings,
    Tokenizer,
    train,
)
from think.core.errors import BadData, Missing

SAMPLE = [
    "The quick brown fox jumps over the lazy dog.\nIt's 12 o'clock; we'll see <|eos|> about that!\n\n" * 3,
    "  two spaces,\ttabs\r\nand ünïcödé — “quotes” 漢字かな交じり文 🙂 e\u0301\n \n",
]

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
WORDLIKE = st.text(st.sampled_from("alsvreZé漢1²_'.,!<|>- \n\t\r\u00a0\u2028\u0301\u3000\u180e\x1c\x85"), max_size=80)


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    return train(BpeSettings(size=400), SAMPLE)


@pytest.fixture(scope="module")
def character() -> Tokenizer:
    return train(CharacterSettings(), SAMPLE)


@given(text=ANY_TEXT)
def test_bpe_gives_back_any_text(bpe: Tokenizer, text: str) -> None:
    assert bpe.decode(bpe.encode(text)) == text
    assert all(number >= len(CONTROL) for number in bpe.encode(text))


@given(text=st.text(st.sampled_from(sorted(set("".join(SAMPLE)))), max_size=60))
def test_characters_give_back_what_they_know(character: Tokenizer, text: str) -> None:
    ids = character.encode(text)
    assert len(ids) == len(text)
    assert character.decode(ids) == text


@given(text=ANY_TEXT)
def test_our_character_table_is_the_library_tokenizer(character: Tokenizer, text: str) -> None:
    inner = tokenizers.Tokenizer.from_str(character._serialized)
    inner.encode_special_tokens = True
    assert character.encode(text) == inner.encode(text).ids


@pytest.mark.parametrize("name", ["bpe", "character"])
def test_control_tokens_in_text_stay_text(name: str, request: pytest.FixtureRequest) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(name)
    text = "".join(CONTROL_TEXT)
    ids = tokenizer.encode(text)
    assert not set(ids) & {number for number in range(len(CONTROL)) if number != UNK}
    if name == "bpe":
        assert tokenizer.decode(ids) == text


def test_training_on_forged_control_tokens_cannot_merge_them() -> None:
    tokenizer = train(BpeSettings(size=600), ["<|eos|><|bos|> <|user|>\n" * 2000])
    assert min(tokenizer.encode("<|eos|><|bos|> <|user|>")) >= len(CONTROL)


@pytest.mark.parametrize("name", ["bpe", "character"])
def test_saved_and_loaded_it_is_the_same(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    tokenizer: Tokenizer = request.getfixturevalue(name)
    loaded = Tokenizer.load(tokenizer.save(tmp_path / "new").parent)
    assert (loaded.kind, loaded.size, loaded.digest) == (tokenizer.kind, tokenizer.size, tokenizer.digest)
    assert loaded.encode_batch(SAMPLE) == tokenizer.encode_batch(SAMPLE)
    plain = tokenizers.Tokenizer.from_file(str(tmp_path / "new" / "tokenizer.json"))
    assert [plain.token_to_id(text) for text in CONTROL_TEXT] == list(range(8))


def test_training_is_deterministic_and_ids_fit() -> None:
    first, second = (train(BpeSettings(size=500), iter(SAMPLE)) for _ in range(2))
    assert first.digest == second.digest
    assert first.size <= 500
    assert max(first.encode(SAMPLE[0])) < first.size
    flat, lengths = first.encode_flat(SAMPLE)
    assert flat.dtype == np.uint16
    assert lengths.sum() == len(flat)


def test_visible_control_tokens(bpe: Tokenizer) -> None:
    ids = [2, *bpe.encode("hello"), 3]
    assert bpe.decode(ids) == "hello"
    assert bpe.decode(ids, control=True) == "<|bos|>hello<|eos|>"


def test_half_a_surrogate_pair_is_named(bpe: Tokenizer, character: Tokenizer) -> None:
    for tokenizer in (bpe, character):
        with pytest.raises(BadData, match="U\\+D800"):
            tokenizer.encode("x\ud800")


def test_nothing_to_train_on() -> None:
    for kind in (CharacterSettings(), BpeSettings(size=SMALLEST_BPE)):
        with pytest.raises(BadData, match="no text"):
            train(kind, [])


def test_a_damaged_file_is_refused_in_words(bpe: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(Missing):
        Tokenizer.load(tmp_path)
    good = json.loads(bpe._serialized)

    def damaged(**changes: object) -> str:
        return json.dumps(good | changes)

    model = good["model"]
    swapped = {**model["vocab"], "<|bos|>": 3, "<|eos|>": 2}
    for text in (
        bpe._serialized[:-40],
        "[]",
        damaged(normalizer={"type": "NFC"}),
        damaged(pre_tokenizer={"type": "Whitespace"}),
        damaged(pre_tokenizer={**good["pre_tokenizer"], "add_prefix_space": True}),
        damaged(model={**model, "vocab": swapped}),
        damaged(model={**model, "merges": [["no", "such"]]}),
        damaged(model={**model, "merges": [["<|b", "os|>"]]}),
    ):
        (tmp_path / "tokenizer.json").write_text(text)
        with pytest.raises(BadData) as caught:
            Tokenizer.load(tmp_path)
        assert caught.value.where == str(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(BadData):
        Tokenizer.load(tmp_path)


def words(text: str) -> list[str]:
    """The words that byte-level BPE works in; equal words give equal ids whatever the merges are."""
    before = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return [word for word, _ in before.pre_tokenize_str(text)]


@settings(max_examples=300)
@given(text=WORDLIKE)
def test_cutting_at_any_place_that_could_be_chosen_changes_no_word(text: str) -> None:
    for end in range(2, len(text) + 1):
        if place := last_safe_cut(text[:end]):
            assert words(text[:place]) + words(text[place:]) == words(text)


def test_long_text_is_cut_into_bounded_pieces_however_it_is_read(bpe: Tokenizer) -> None:
    text = SAMPLE[0] * (4 * PIECE_CHARACTERS // len(SAMPLE[0]))
    pieces = list(cut_safely([text[:PIECE_CHARACTERS], text[PIECE_CHARACTERS:]]))
    assert "".join(pieces) == text
    assert [number for ids in bpe.encode_batch(pieces) for number in ids] == bpe.encode(text)


def test_text_without_any_safe_place_is_cut_all_the_same() -> None:
    fragments = ["x" * PIECE_CHARACTERS] * (3 * FORCED_CUT_CHARACTERS // PIECE_CHARACTERS)
    pieces = list(cut_safely(fragments))
    assert max(map(len, pieces)) <= FORCED_CUT_CHARACTERS
    assert "".join(pieces) == "".join(fragments)
