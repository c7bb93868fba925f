"""`think data` from the command line: what it writes, says, refuses, and with which exit code."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from think.cli.app import run
from think.core.data.store import Packed

TEXT = "".join(f"Line {number} of a small corpus.\n\n" for number in range(60))


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT)
    return path


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert run(["data", *arguments, "--json"]) == code
    envelope = json.loads(capsys.readouterr().out)
    assert envelope["ok"] == (code == 0)
    return envelope["data"] if code == 0 else envelope["error"]


def test_pack_inspect_verify(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = answer(capsys, "pack", "corpus.txt", "--kind", "character", "--split-on", "blank_line", "--out", "out")
    assert made["splits"]["train"]["documents"] == 54
    assert made["splits"]["validation"]["documents"] == 6
    assert made["already_packed"] is False
    seen = answer(capsys, "inspect", "out", "--samples", "3")
    assert seen["digest"] == made["digest"]
    assert seen["splits"]["train"]["document_tokens"]["longest"] == len("Line 59 of a small corpus.") + 2
    assert [sample["text"].startswith("<|bos|>Line ") for sample in seen["samples"]] == [True] * 6
    checked = answer(capsys, "verify", "out")
    assert checked["digest"] == made["digest"]
    again = answer(capsys, "pack", "corpus.txt", "--kind", "character", "--split-on", "blank_line", "--out", "out")
    assert again["already_packed"] is True


def test_the_human_answers(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus.write_text(TEXT + "\x1b[2J")
    assert run(["data", "pack", "corpus.txt", "--kind", "character", "--out", "out"]) == 0
    shown = capsys.readouterr()
    assert "out: packed" in shown.out
    assert "source: text corpus.txt" in shown.err
    assert run(["data", "pack", "corpus.txt", "--kind", "character", "--out", "out"]) == 0
    assert "already packed" in capsys.readouterr().out
    assert run(["data", "inspect", "out"]) == 0
    inspected = capsys.readouterr().out
    assert "Line 0 of a small corpus." in inspected
    assert "\x1b" not in inspected
    assert run(["data", "verify", "out"]) == 0
    assert "every checksum holds" in capsys.readouterr().out


def test_a_preset_and_what_changes_it(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--set", 'data.sources=[{kind="stories", count=40}]', "--set", "data.path=packed"]
    made = answer(capsys, "pack", "--preset", "cpu_smoke", *small, "--validation", "0.25")
    assert made["folder"] == "packed"
    assert made["splits"]["validation"]["documents"] == 10
    assert made["tokenizer"]["kind"] == "bpe"
    assert answer(capsys, "inspect", "--preset", "cpu_smoke", *small)["digest"] == made["digest"]


def test_a_trained_tokenizer_is_used(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = answer(capsys, "tokenizer", "corpus.txt", "--kind", "bpe", "--size", "280", "--out", "tok")
    assert trained["size"] == 280
    made = answer(capsys, "pack", "corpus.txt", "--tokenizer", "tok/tokenizer.json", "--out", "out")
    assert made["tokenizer"] == {"kind": "bpe", "size": 280, "sha256": trained["sha256"]}
    answer(capsys, "tokenizer", "corpus.txt", "--size", "280", "--out", "tok")
    assert "--force" in answer(capsys, "tokenizer", "corpus.txt", "--size", "290", "--out", "tok", code=2)["remedy"]
    assert answer(capsys, "tokenizer", "corpus.txt", "--size", "290", "--out", "tok", "--force")["size"] == 290
    assert "packed corpus" in answer(capsys, "tokenizer", "corpus.txt", "--out", "out", "--force", code=2)["message"]


def test_weights_fields_and_encodings_land_in_the_sources(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("rows.jsonl").write_text("\n".join(json.dumps({"question": f"q{n} ä", "answer": f"a{n}"}) for n in range(40)))
    Path("latin.txt").write_bytes("".join(f"größe {n}\n" for n in range(40)).encode("latin-1"))
    given = ["rows.jsonl", "latin.txt", "--field", "question", "--field", "answer", "--encoding", "latin-1"]
    made = answer(
        capsys, "pack", *given, "--weight", "3", "--weight", "1", "--split-on", "record", "--kind", "character",
        "--out", "out",
    )  # fmt: skip
    rows, latin = (source["settings"] for source in made["sources"])
    assert (rows["weight"], rows["fields"]) == (3.0, ["question", "answer"])
    assert (latin["weight"], latin["encoding"]) == (1.0, "latin-1")
    assert Packed.open("out").split("train").documents > 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["pack", "missing.txt"], 66, "no such file"),
        (["pack", "empty.txt"], 65, "no text"),
        (["pack", "binary.txt"], 65, "NUL"),
        (["pack", "latin.txt"], 65, "offset 2"),
        (["pack", "corpus.txt", "--weight", "1", "--weight", "2"], 2, "2 weights for 1 inputs"),
        (["pack", "--weight", "1"], 2, "none is given"),
        (["pack", "corpus.txt", "--split-on", "page"], 78, "page"),
        (["pack", "corpus.txt", "--validation", "1.5"], 78, "validation"),
        (["pack", "corpus.txt", "--kind", "words"], 78, "words"),
        (["pack", "corpus.txt", "--size", "3"], 78, "size"),
        (["pack", "corpus.txt", "--tokenizer", "corpus.txt"], 65, "corpus.txt"),
        (["pack", "corpus.txt", "--tokenizer", "none.json"], 66, "no tokenizer"),
        (["pack", "corpus.txt", "--out", "full"], 2, "not a pack"),
        (["pack", "corpus.txt", "--out", "corpus.txt/below"], 74, "Not a directory"),
        (["tokenizer", "empty.txt"], 65, "no text"),
        (["inspect", "nowhere"], 66, "no packed corpus"),
        (["verify", "nowhere"], 66, "no packed corpus"),
        (["verify", "full"], 66, "no packed corpus"),
    ],
)
def test_mistakes(corpus: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str) -> None:
    Path("empty.txt").write_text("")
    Path("binary.txt").write_bytes(b"x\0y")
    Path("latin.txt").write_bytes(b"gr\xf6\xdfe")
    Path("full").mkdir()
    Path("full/diary.txt").write_text("x")
    before = sorted(str(path) for path in Path().rglob("*"))
    error = answer(capsys, *arguments, code=code)
    assert said in json.dumps(error)
    assert sorted(str(path) for path in Path().rglob("*")) == before


def test_a_damaged_pack_is_exit_65_and_names_the_shard(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer(capsys, "pack", "corpus.txt", "--out", "out")
    shard = Path("out/train-00000.tokens")
    content = bytearray(shard.read_bytes())
    content[5] ^= 4
    shard.write_bytes(content)
    error = answer(capsys, "verify", "out", code=65)
    assert error["where"] == str(shard)
    assert "--force" in error["remedy"]
    answer(capsys, "pack", "corpus.txt", "--out", "out", "--force")
    answer(capsys, "verify", "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("locked").mkdir(mode=0o500)
    assert "another folder" in answer(capsys, "pack", "corpus.txt", "--out", "locked/out", code=74)["remedy"]


def test_interrupted_it_says_how_to_go_on(
    corpus: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from think.core.data import pack as packing

    def interrupt(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(packing, "encode", interrupt)
        error = answer(capsys, "pack", "corpus.txt", "--out", "out", code=130)
    assert "same command again" in error["remedy"]
    assert not Path("out").exists()
    answer(capsys, "pack", "corpus.txt", "--out", "out")
    assert not list(Path().glob(".out*"))
