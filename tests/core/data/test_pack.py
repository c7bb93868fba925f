"""What goes into a pack comes out of it, whatever the shards, and whatever happens while it is written."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from think.core.data import encode, pieces, shards
from think.core.data.manifest import Manifest
from think.core.data.pack import pack, texts
from think.core.data.settings import DataSettings
from think.core.data.sources import SourceSettings
from think.core.data.sources.chat import Settings as Chat
from think.core.data.sources.text import Settings as Text
from think.core.data.store import Packed, Split
from think.core.data.tokenizer import (
    ASSISTANT,
    BOS,
    ENDOFTURN,
    EOS,
    SYSTEM,
    USER,
    BpeSettings,
    CharacterSettings,
    Tokenizer,
    train,
)
from think.core.errors import BadData, BadSettings, InputOutput, Locked, Missing, ThinkError, UsageError

LINES = "".join(f"Line {number} of the corpus, it's {number * number}.\n" for number in range(60))


@pytest.fixture(scope="module", autouse=True)
def fast_disk() -> Iterator[None]:
    """These tests write thousands of small packs; forcing each to the disk would be most of their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


def write(folder: Path, **files: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_bytes(text.encode())
    return str(folder)


def data(path: str, **changes: Any) -> DataSettings:
    return DataSettings(sources=(Text(path=path),), **changes)


def packed(wanted: DataSettings, out: Path, tokenizer: Tokenizer | None = None) -> Packed:
    known = tokenizer or train(CharacterSettings(), texts(wanted.sources, wanted))
    pack(wanted.sources, wanted, known, out)
    found = Packed.open(out)
    found.verify()
    return found


def documents(tokenizer: Tokenizer, split: Split) -> list[str]:
    """Every document as text, by a way of its own: the whole array, cut at the recorded ends."""
    ids = split.read(0, split.tokens)
    found = []
    for start, end in pairwise([0, *split.ends.tolist()]):
        assert ids[start] == BOS
        assert ids[end - 1] == EOS
        found.append(tokenizer.decode(ids[start + 1 : end - 1].tolist()))
    return found


def content(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


# ---- round trip -----------------------------------------------------------------------------------------------------

TEXT = st.text(st.sampled_from("ab '.\n\n\r\téß漢🙂<|>0 "), min_size=1, max_size=120).filter(
    lambda text: "\0" not in text
)


@settings(max_examples=25, deadline=None)
@given(parts=st.lists(TEXT, min_size=1, max_size=25), shard=st.integers(1, 300), bpe=st.booleans())
def test_packed_text_comes_back(parts: list[str], shard: int, bpe: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, text in enumerate(parts):
            (folder / f"{number:03d}.txt").write_bytes(text.encode())
        wanted = data(name, shard_tokens=shard, validation=0.0)
        kind = BpeSettings(size=280) if bpe else CharacterSettings()
        tokenizer = train(kind, texts(wanted.sources, wanted))
        found = packed(wanted, folder / "out", tokenizer)
        split = found.split("train")
        assert documents(tokenizer, split) == parts
        sizes = [record.tokens for record in found.manifest.splits["train"].shards]
        assert all(size == shard for size in sizes[:-1])
        assert 0 < sizes[-1] <= shard
        assert sum(sizes) == split.tokens
        starts = split.starts
        assert split.mask(0, split.tokens).tolist() == [int(place not in starts) for place in range(split.tokens)]


@settings(max_examples=25, deadline=None)
@given(
    parts=st.lists(TEXT, min_size=1, max_size=30),
    piece=st.integers(2, 40),
    block=st.integers(1, 50),
    split_on=st.sampled_from(["file", "blank_line", "record"]),
)
def test_how_text_is_read_and_cut_changes_nothing(parts: list[str], piece: int, block: int, split_on: str) -> None:
    """Tiny blocks, pieces and batches must give the bytes that one read gives."""
    from think.core.data.sources import text as reading

    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        (Path(name) / "in.txt").write_bytes("".join(parts).encode())
        wanted = data(name, split_on=split_on, validation=0.0)
        try:
            tokenizer = train(BpeSettings(size=280), texts(wanted.sources, wanted))
        except BadData:
            return  # nothing but separators
        whole = packed(wanted, Path(name) / "whole", tokenizer)
        patch.setattr(reading, "BLOCK_BYTES", block)
        patch.setattr(pieces, "PIECE_CHARACTERS", piece)
        patch.setattr(encode, "BATCH_CHARACTERS", 2 * piece)
        small = packed(wanted, Path(name) / "small", tokenizer)
        assert small.digest == whole.digest


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_where_documents_are_cut(tmp_path: Path, ending: str) -> None:
    text = ending.join(["one", "two", "", "three", " \t", "", "four", ""])
    path = write(tmp_path / "in", a=text)
    expected = {
        "file": [text],
        "blank_line": [ending.join(["one", "two"]), "three", "four"],
        "record": [line for line in re.split(r"\r?\n", text) if line],
    }
    for split_on, wanted in expected.items():
        found = packed(data(path, split_on=split_on, validation=0.0), tmp_path / split_on)
        assert documents(found.tokenizer, found.split("train")) == wanted


def test_large_vocabulary_takes_four_bytes(tmp_path: Path) -> None:
    alphabet = "".join(chr(point) for point in range(0x4E00, 0x4E00 + 20000)) + "".join(
        chr(point) for point in range(0x20000, 0x20000 + 46000)
    )
    found = packed(data(write(tmp_path / "in", a=alphabet), validation=0.0), tmp_path / "out")
    assert found.manifest.dtype == "uint32"
    assert documents(found.tokenizer, found.split("train")) == [alphabet]


def test_what_a_tokenizer_does_not_know_is_counted(tmp_path: Path) -> None:
    wanted = data(write(tmp_path / "in", a="abcabc", b="aXbYc"), validation=0.0)
    found = packed(wanted, tmp_path / "out", train(CharacterSettings(), ["abc"]))
    assert found.manifest.sources[0].given["train"].unknown == 2


# ---- train and validation -------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(count=st.integers(20, 120), share=st.sampled_from([0.05, 0.1, 0.25, 0.3, 0.5, 0.8]))
def test_documents_are_divided_once_and_fairly(count: int, share: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "in.txt").write_text("".join(f"document {number}\n" for number in range(count)))
        found = packed(data(name, split_on="record", validation=share), Path(name) / "out")
        train_part, held = (documents(found.tokenizer, found.split(part)) for part in ("train", "validation"))
        assert sorted(train_part + held) == sorted(f"document {number}" for number in range(count))
        assert not set(train_part) & set(held)
        assert abs(len(held) - share * count) <= 1


@settings(max_examples=25, deadline=None)
@given(parts=st.lists(TEXT, min_size=1, max_size=12), share=st.sampled_from([0.01, 0.1, 0.5]))
def test_few_documents_are_divided_by_text(parts: list[str], share: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        for number, text in enumerate(parts):
            (Path(name) / f"{number:03d}.txt").write_bytes(text.encode())
        wanted = data(name, validation=share)
        if len("".join(parts)) == 1:
            with pytest.raises(BadData, match="nothing is left"):
                packed(wanted, Path(name) / "out")
            return
        found = packed(wanted, Path(name) / "out")
        train_part, held = (documents(found.tokenizer, found.split(part)) for part in ("train", "validation"))
        assert "".join(train_part + held) == "".join(parts)
        division = found.manifest.sources[0].division
        assert division.by == "text"
        if division.at_line and division.character:
            assert train_part[-1].endswith("\n")
        if "\n" not in "".join(parts):
            assert abs(len("".join(held)) - share * len("".join(parts))) <= 1


def test_a_book_is_cut_at_the_line_after_its_share(tmp_path: Path) -> None:
    found = packed(data(write(tmp_path / "in", a=LINES), validation=0.1), tmp_path / "out")
    train_part, held = (documents(found.tokenizer, found.split(part))[0] for part in ("train", "validation"))
    assert train_part + held == LINES
    assert held.startswith("Line ")
    assert 0 <= len(train_part) - int(0.9 * len(LINES)) < 45


def test_one_conversation_cannot_be_divided(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "hello"}]}))
    wanted = DataSettings(sources=(Chat(path=str(path)),))
    with pytest.raises(BadData, match="single conversation"):
        pack(wanted.sources, wanted, train(CharacterSettings(), ["helo"]), tmp_path / "out")


# ---- mixtures -------------------------------------------------------------------------------------------------------


def mixture(tmp_path: Path, weights: tuple[float | None, ...], counts: tuple[int, ...]) -> DataSettings:
    sources: list[SourceSettings] = []
    for number, (weight, count) in enumerate(zip(weights, counts, strict=True)):
        letter = "abc"[number]
        path = write(tmp_path / letter, text="".join(f"{letter * (5 + row % 7)}\n" for row in range(count)))
        sources.append(Text(path=path, weight=weight))
    return DataSettings(sources=tuple(sources), split_on="record")


def test_weights_are_kept_at_every_moment_until_a_source_runs_out(tmp_path: Path) -> None:
    found = packed(mixture(tmp_path, (60.0, 30.0, 10.0), (900, 900, 100)), tmp_path / "out")
    manifest = found.manifest
    for name in ("train", "validation"):
        given = [source.given[name] for source in manifest.sources]
        total = sum(share.characters for share in given)
        for share, weight in zip(given, (0.6, 0.3, 0.1), strict=True):
            assert abs(share.characters - weight * total) <= 12
        assert min(share.unused_documents for share in given) == 0
        assert max(share.unused_documents for share in given) > 0
    half = documents(found.tokenizer, found.split("train"))[: found.split("train").documents // 2]
    total = sum(map(len, half))
    assert abs(sum(len(text) for text in half if text[0] == "a") - 0.6 * total) <= 24
    for source, count in zip(manifest.sources, (900, 900, 100), strict=True):
        assert sum(share.documents + share.unused_documents for share in source.given.values()) == count


def test_without_weights_everything_is_taken(tmp_path: Path) -> None:
    found = packed(mixture(tmp_path, (None, None, None), (30, 40, 50)), tmp_path / "out")
    assert [sum(s.documents for s in source.given.values()) for source in found.manifest.sources] == [30, 40, 50]


def test_some_weights_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="source 1 has no weight"):
        packed(mixture(tmp_path, (60.0, None, 10.0), (30, 30, 30)), tmp_path / "out")


# ---- conversations --------------------------------------------------------------------------------------------------


def test_only_the_assistant_is_scored(tmp_path: Path) -> None:
    messages = [("system", "be kind"), ("user", "2+2?"), ("assistant", "4"), ("user", ""), ("assistant", "<|eos|>")]
    record = {"messages": [{"role": role, "content": text} for role, text in messages]}
    path = tmp_path / "chat.jsonl"
    path.write_text("\n".join([json.dumps(record)] * 3))
    wanted = DataSettings(
        sources=(Chat(path=str(path)), Text(path=write(tmp_path / "in", a="be kind"))), validation=0.0
    )
    tokenizer = train(BpeSettings(size=270), texts(wanted.sources, wanted))
    split = packed(wanted, tmp_path / "out", tokenizer).split("train")
    expected, scores = [BOS], [0]
    for role, text in messages:
        ids = tokenizer.encode(text)
        expected += [{"system": SYSTEM, "user": USER, "assistant": ASSISTANT}[role], *ids, ENDOFTURN]
        scores += [0] + [int(role == "assistant")] * (len(ids) + 1)
    expected, scores = [*expected, EOS], [*scores, 0]
    assert split.read(0, len(expected)).tolist() == expected
    assert split.mask(0, len(scores)).tolist() == scores
    last = int(split.starts[-1])
    assert split.mask(last, split.tokens).tolist() == [0] + [1] * (split.tokens - last - 1)


# ---- killed, full, locked -------------------------------------------------------------------------------------------


def kill_at(call: int, patch: pytest.MonkeyPatch, error: Callable[[], BaseException]) -> None:
    """Let the given call, among all that change the disk, die instead."""
    calls = [0]

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any, **named: Any) -> Any:
            calls[0] += 1
            if calls[0] == call:
                raise error()
            return real(*given, **named)

        return wrapped

    patch.setattr(os, "fsync", dying(os.fsync))
    patch.setattr(os, "replace", dying(os.replace))
    patch.setattr(Path, "rename", dying(Path.rename))
    patch.setattr(Path, "unlink", dying(Path.unlink))
    patch.setattr(shards.ShardWriter, "add", dying(shards.ShardWriter.add))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[tuple[DataSettings, Tokenizer, dict[str, str]]]:
    wanted = data(write(tmp_path / "in", a=LINES, b=LINES[::-1]), shard_tokens=300)
    tokenizer = train(BpeSettings(size=300), texts(wanted.sources, wanted))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE_CHARACTERS", 100)
        patch.setattr(encode, "BATCH_CHARACTERS", 350)
        pack(wanted.sources, wanted, tokenizer, tmp_path / "whole")
        yield wanted, tokenizer, content(tmp_path / "whole")


@pytest.mark.parametrize("twice", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(
    small: tuple[DataSettings, Tokenizer, dict[str, str]], tmp_path: Path, twice: bool
) -> None:
    wanted, tokenizer, expected = small
    for call in range(1, 1000):
        out = tmp_path / f"out-{call}"
        killed = False
        for kill in (call, call // 2 + 1) if twice else (call,):
            with pytest.MonkeyPatch.context() as patch:
                kill_at(kill, patch, Killed)
                try:
                    pack(wanted.sources, wanted, tokenizer, out)
                except Killed:
                    killed = True
            assert not (out / "manifest.json").exists() or Packed.open(out).verify()
        pack(wanted.sources, wanted, tokenizer, out)
        assert content(out) == expected
        if not killed:
            break
    assert call > 40  # it has died at every one of its writes
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_finished_shards_are_kept_and_damaged_ones_made_again(
    small: tuple[DataSettings, Tokenizer, dict[str, str]], tmp_path: Path
) -> None:
    wanted, tokenizer, expected = small
    out = tmp_path / "out"

    def stop(share: float, note: str) -> None:
        journal = next(tmp_path.glob(".out.packing-*/journal.json"), None)
        if journal is not None and len(json.loads(journal.read_text())["entries"]) >= 4:
            raise KeyboardInterrupt

    from think.core.data.sources import text as reading

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK_BYTES", 200)
        with pytest.raises(KeyboardInterrupt):
            pack(wanted.sources, wanted, tokenizer, out, stop)
    assert not out.exists()
    work = next(tmp_path.glob(".out.packing-*"))
    kept, flipped = work / "train-00001.tokens", work / "train-00002.tokens"
    inode = kept.stat().st_ino
    flipped.write_bytes(bytes([flipped.read_bytes()[0] ^ 1]) + flipped.read_bytes()[1:])
    pack(wanted.sources, wanted, tokenizer, out)
    assert (out / kept.name).stat().st_ino == inode
    assert content(out) == expected


def test_a_full_disk_loses_nothing(small: tuple[DataSettings, Tokenizer, dict[str, str]], tmp_path: Path) -> None:
    wanted, tokenizer, expected = small
    out = tmp_path / "out"
    for call in (1, 8, 15):
        with pytest.MonkeyPatch.context() as patch:
            kill_at(call, patch, lambda: OSError(28, "No space left on device"))
            with pytest.raises(InputOutput, match="No space left") as caught:
                pack(wanted.sources, wanted, tokenizer, out)
            assert "free some space" in (caught.value.remedy or "")
    pack(wanted.sources, wanted, tokenizer, out)
    assert content(out) == expected


def test_two_packers_of_the_same_do_not_meet(tmp_path: Path) -> None:
    wanted = data(write(tmp_path / "in", a=LINES))
    tokenizer = train(CharacterSettings(), texts(wanted.sources, wanted))
    met: list[ThinkError] = []

    def meanwhile(share: float, note: str) -> None:
        try:
            pack(wanted.sources, wanted, tokenizer, tmp_path / "out")
        except Locked as error:
            met.append(error)

    pack(wanted.sources, wanted, tokenizer, tmp_path / "out", meanwhile)
    assert met


def test_a_source_that_changes_meanwhile_is_not_vouched_for(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "in", a=LINES)) / "a.txt"
    wanted = data(str(path))
    tokenizer = train(CharacterSettings(), texts(wanted.sources, wanted))
    with pytest.raises(BadData, match="changed while"):
        pack(wanted.sources, wanted, tokenizer, tmp_path / "out", lambda *progress: path.write_text(LINES[5:]))
    assert not list(tmp_path.glob("*out*"))


def test_progress_is_one_whole_and_other_half_done_work_is_swept(tmp_path: Path) -> None:
    wanted = data(write(tmp_path / "in", a=LINES))
    tokenizer = train(CharacterSettings(), texts(wanted.sources, wanted))
    (tmp_path / ".out.packing-0123").mkdir()
    shares: list[float] = []
    pack(wanted.sources, wanted, tokenizer, tmp_path / "out", lambda share, note: shares.append(share))
    assert abs(sum(shares) - 1) < 1e-9
    assert min(shares) >= 0
    assert not list(tmp_path.glob(".out.*"))


def test_an_existing_pack_is_kept_or_replaced_only_by_force(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = data(write(tmp_path / "in", a=LINES))
    found = packed(first, out)
    before = content(out)
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert pack(first.sources, first, found.tokenizer, out).digest == found.digest
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == times
    other = data(first.sources[0].path, shard_tokens=100)  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="another pack"):
        pack(other.sources, other, found.tokenizer, out)
    assert content(out) == before
    pack(other.sources, other, found.tokenizer, out, force=True)
    assert len(Packed.open(out).manifest.splits["train"].shards) > 1
    stranger = tmp_path / "stranger"
    write(stranger, diary="dear diary")
    with pytest.raises(UsageError, match="not a pack"):
        pack(first.sources, first, found.tokenizer, stranger, force=True)
    assert (stranger / "diary.txt").read_text() == "dear diary"


# ---- damage ---------------------------------------------------------------------------------------------------------


def test_every_flipped_bit_and_lost_byte_is_found(tmp_path: Path) -> None:
    out = tmp_path / "out"
    packed(data(write(tmp_path / "in", a=LINES), shard_tokens=900), out)
    generator = np.random.default_rng(0)
    for path in sorted(path for path in out.iterdir() if path.stat().st_size):
        good = path.read_bytes()
        for place in generator.integers(0, len(good), 8):
            bad = bytearray(good)
            bad[place] ^= 1 << int(generator.integers(8))
            path.write_bytes(bytes(bad))
            with pytest.raises(BadData) as caught:
                Packed.open(out).verify()
            assert caught.value.where == str(path)
            assert caught.value.remedy
        path.write_bytes(good[:-2])
        with pytest.raises(BadData):
            Packed.open(out).verify()
        path.write_bytes(good)
    Packed.open(out).verify()


@pytest.mark.parametrize("name", ["train-00000.tokens", "tokenizer.json", "manifest.json"])
def test_packing_again_tells_of_damage_and_repairs_it_by_force(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    wanted = data(write(tmp_path / "in", a=LINES))
    tokenizer = packed(wanted, out).tokenizer
    good = content(out)
    bad = bytearray((out / name).read_bytes())
    bad[len(bad) // 2] ^= 1
    (out / name).write_bytes(bytes(bad))
    with pytest.raises(BadData) as caught:
        pack(wanted.sources, wanted, tokenizer, out)
    assert caught.value.where == str(out / name)
    assert "--force" in str(caught.value.remedy)
    pack(wanted.sources, wanted, tokenizer, out, force=True)
    assert content(out) == good


def test_missing_and_short_files_are_named_on_opening(tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = packed(data(write(tmp_path / "in", a=LINES), validation=0.0), out)
    with pytest.raises(Missing, match="no validation split"):
        found.split("validation")
    (out / "train-00000.ends").unlink()
    with pytest.raises(BadData, match="missing") as caught:
        Packed.open(out)
    assert caught.value.where == str(out / "train-00000.ends")
    with pytest.raises(Missing, match="no packed corpus"):
        Packed.open(tmp_path / "nowhere")


def test_the_manifest_accounts_for_everything(tmp_path: Path) -> None:
    wanted = data(write(tmp_path / "in", a=LINES, b="short"), shard_tokens=512)
    found = packed(wanted, tmp_path / "out")
    manifest: Manifest = found.manifest
    source = manifest.sources[0]
    assert [file.bytes for file in source.files] == [len(LINES), 5]
    assert source.files[0].sha256 == hashlib.sha256(LINES.encode()).hexdigest()
    assert sum(share.characters for share in source.given.values()) == len(LINES) + 5
    for name, split in manifest.splits.items():
        assert split.tokens == source.given[name].tokens
        assert split.documents == source.given[name].documents == found.split(name).documents
    assert manifest.tokenizer.sha256 == found.tokenizer.digest


def test_the_digest_is_of_the_content_not_of_the_place(tmp_path: Path) -> None:
    first = packed(data(write(tmp_path / "one", a=LINES)), tmp_path / "x")
    second = packed(data(write(tmp_path / "two" / "three", a=LINES)), tmp_path / "y")
    third = packed(data(write(tmp_path / "four", a=LINES + "\n")), tmp_path / "z")
    assert first.digest == second.digest != third.digest
