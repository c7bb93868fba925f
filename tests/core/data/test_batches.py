"""Tracks against a slow stream built token by token: order, continuity, resets, weights."""

import os
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from think.core.data.batches import Batch, Tracks, passes
from think.core.data.pack import pack, texts
from think.core.data.settings import DataSettings
from think.core.data.sources.text import Settings as Text
from think.core.data.store import Packed, Split
from think.core.data.tokenizer import BOS, EOS, PAD, CharacterSettings, train
from think.core.errors import BadData

FIELDS = ("tokens", "targets", "weights", "reset")

SPLITS = st.tuples(st.sampled_from([1, 2, 5, 12]), st.sampled_from([3, 17, 1000]), st.integers(0, 1))
"(documents, tokens in a shard, seed of the lengths)"


@pytest.fixture(scope="module", autouse=True)
def fast_disk() -> Iterator[None]:
    """These tests write thousands of small packs; forcing each to the disk would be most of their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@lru_cache(maxsize=200)
def make_split(documents: int, shard: int, seed: int) -> Split:
    """A packed split of documents of 3 to 30 tokens, each character as rare as possible."""
    random = np.random.default_rng(seed)
    folder = Path(_FOLDER.name) / f"{documents}-{shard}-{seed}"
    folder.mkdir()
    letters = iter(range(0x4E00, 0x9FFF))
    lines = ["".join(chr(next(letters)) for _ in range(random.integers(1, 29))) for _ in range(documents)]
    (folder / "in.txt").write_text("\n".join(lines))
    wanted = DataSettings(
        sources=(Text(path=str(folder / "in.txt")),), split_on="record", validation=0.0, shard_tokens=shard
    )
    pack(wanted.sources, wanted, train(CharacterSettings(), texts(wanted.sources, wanted)), folder / "out")
    return Packed.open(folder / "out").split("train")


_FOLDER = tempfile.TemporaryDirectory()


def parts(batch: Batch) -> list[torch.Tensor]:
    return [getattr(batch, name) for name in FIELDS]


def joined(batches: list[Batch]) -> list[torch.Tensor]:
    return [torch.cat([getattr(batch, name) for batch in batches], dim=1) for name in FIELDS]


@settings(max_examples=40, deadline=None)
@given(
    shape=SPLITS,
    rows=st.integers(1, 4),
    seed=st.integers(0, 5),
    start=st.integers(0, 300),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    period=st.none() | st.integers(1, 7),
)
def test_the_stream_does_not_depend_on_how_it_is_cut_into_windows(
    shape: tuple[int, int, int], rows: int, seed: int, start: int, cuts: list[int], period: int | None
) -> None:
    """So a row goes on where it was, the curriculum changes only T, and the cursor is one integer."""
    split = make_split(*shape)
    if rows > split.tokens:
        return
    tracks = Tracks(split, rows, seed, period)
    position, windows = start, []
    for length in cuts:
        length = min(length, tracks.epoch_length)
        windows.append(tracks.at(position, length))
        position += length
    single = [Tracks(split, rows, seed, period).at(place, 1) for place in range(start, position)]
    for ours, theirs in zip(joined(windows), joined(single), strict=True):
        assert torch.equal(ours, theirs)


@settings(max_examples=40, deadline=None)
@given(shape=SPLITS, rows=st.integers(1, 5), seed=st.integers(0, 5), epoch=st.integers(0, 3))
def test_an_epoch_is_every_document_once_in_a_circle_of_its_own(
    shape: tuple[int, int, int], rows: int, seed: int, epoch: int
) -> None:
    split = make_split(*shape)
    tracks = Tracks(split, rows, seed)
    length = tracks.epoch_length
    assert 0 <= length * rows - split.tokens < rows
    tokens, targets, weights, reset = (part.numpy() for part in parts(tracks.at(epoch * length, length)))

    # Padding stands only at the very end of a row, and the rows one after the other are the stream of the epoch.
    assert (tokens[:, :-1] != PAD).all()
    stream = tokens[tokens != PAD]
    assert sorted(stream) == sorted(split.read(0, split.tokens))
    following = np.roll(stream, -1)
    real = tokens != PAD
    assert (targets[real] == following).all()
    assert (weights[real] == (following != BOS)).all()
    assert not weights[~real].any()
    assert not reset[~real].any()

    # Cut at bos and closed to a circle, it falls into exactly the documents of the split.
    first = int(np.flatnonzero(stream == BOS)[0])
    turned = np.roll(stream, -first)
    found = sorted(tuple(part) for part in np.split(turned, np.flatnonzero(turned == BOS)[1:]))
    whole = split.read(0, split.tokens)
    assert found == sorted(tuple(whole[start:end]) for start, end in zip(split.starts, split.ends, strict=True))
    assert all(part[-1] == EOS for part in found)

    # A reset is where a document begins or a track does, and nowhere else.
    expected = tokens == BOS
    expected[:, 0] = True
    assert (reset == (expected & real)).all()


@settings(max_examples=30, deadline=None)
@given(shape=SPLITS, period=st.integers(1, 20), start=st.integers(0, 200))
def test_a_reset_period_counts_from_the_start_of_the_stream(
    shape: tuple[int, int, int], period: int, start: int
) -> None:
    split = make_split(*shape)
    plain, periodic = Tracks(split, 1, 0), Tracks(split, 1, 0, period)
    length = plain.epoch_length
    added = periodic.at(start, length).reset
    extra = torch.tensor([[(start + place) % period == 0 for place in range(length)]])
    assert torch.equal(added, plain.at(start, length).reset | extra)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    split = make_split(12, 40, 1)
    tracks = Tracks(split, 1, 7)
    length = tracks.epoch_length
    orders = [tracks.at(epoch * length, length).tokens for epoch in range(4)] + [
        Tracks(split, 1, 8).at(0, length).tokens
    ]
    for number, one in enumerate(orders):
        for other in orders[number + 1 :]:
            assert not torch.equal(one, other)


def test_a_single_document_is_cut_elsewhere_in_each_epoch() -> None:
    split = make_split(1, 40, 2)
    tracks = Tracks(split, 1, 0)
    length = tracks.epoch_length
    assert len({tuple(tracks.at(epoch * length, length).tokens[0].tolist()) for epoch in range(6)}) > 1


def test_the_order_is_frozen() -> None:
    """Another order here would change what every run is trained on."""
    split = make_split(8, 40, 1)
    first = {int(split.read(start + 1, start + 2)[0]): number for number, start in enumerate(split.starts.tolist())}
    drawn = []
    for epoch in (0, 1):
        row = Tracks(split, 1, 7).at(epoch * split.tokens, split.tokens).tokens[0].tolist()
        drawn.append([first[after] for token, after in zip(row, row[1:] + row[:1], strict=True) if token == BOS])
    assert drawn == [[5, 0, 4, 1, 6, 3, 2, 7], [3, 1, 6, 2, 5, 4, 0, 7]]


@settings(max_examples=40, deadline=None)
@given(shape=SPLITS, rows=st.integers(1, 6), length=st.integers(1, 50))
def test_a_pass_scores_every_target_once_and_hands_the_state_on(
    shape: tuple[int, int, int], rows: int, length: int
) -> None:
    split = make_split(*shape)
    whole = split.read(0, split.tokens)
    batches = list(passes(split, rows, length))
    assert {batch.tokens.shape for batch in batches} == {(rows, length)}
    tokens, targets, weights, reset = (part.numpy() for part in joined(batches))
    real = tokens != PAD
    assert (tokens[real] == whole).all()
    expected = np.append(whole[1:], PAD)
    assert (targets[real] == expected).all()
    assert (weights[real] == ((expected != BOS) & (expected != PAD))).all()
    assert not weights[~real].any()
    assert weights.sum() == split.tokens - split.documents
    begins = tokens == BOS
    begins[:, 0] |= real[:, 0]
    assert (reset == begins).all()


def test_micro_batches_are_rows() -> None:
    batch = Tracks(make_split(12, 40, 1), 4, 0).at(0, 8)
    halves = [batch.rows(slice(0, 2)), batch.rows(slice(2, 4))]
    for ours, theirs in zip(parts(batch), zip(*map(parts, halves), strict=True), strict=True):
        assert torch.equal(ours, torch.cat(theirs))


def test_types() -> None:
    batch = Tracks(make_split(12, 40, 1), 2, 0).at(3, 5)
    assert [part.dtype for part in parts(batch)] == [torch.int64, torch.int64, torch.float32, torch.bool]
    assert {tuple(part.shape) for part in parts(batch)} == {(2, 5)}


def test_too_short_a_corpus_is_said_in_numbers() -> None:
    split = make_split(1, 40, 2)
    with pytest.raises(BadData, match=f"{split.tokens} tokens") as caught:
        Tracks(split, 2, 0).at(0, split.tokens)
    assert "lower stage1.rows or stage1.length" in (caught.value.remedy or "")
    with pytest.raises(BadData, match="too short"):
        Tracks(split, split.tokens + 1, 0)
