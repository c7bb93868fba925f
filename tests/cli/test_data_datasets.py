"""`think data` reads the split of a saved dataset that it is asked for."""

import json
from pathlib import Path

import pytest

from think.cli.app import run
from think.core.errors import Exit

pytestmark = pytest.mark.slow  # importing datasets takes seconds


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    datasets = pytest.importorskip("datasets")
    folder = tmp_path_factory.mktemp("datasets") / "saved"

    def rows(word: str, count: int):
        return datasets.Dataset.from_list([{"text": f"{word} number {index} goes by."} for index in range(count)])

    datasets.DatasetDict({"train": rows("cart", 30), "test": rows("ship", 40)}).save_to_disk(folder)
    return folder


def test_pack_reads_the_split_that_was_asked_for(dataset, tmp_path, capsys):
    for split, documents in (("train", 30), ("test", 40)):
        out = str(tmp_path / split)
        line = ["data", "pack", str(dataset), "--dataset-split", split, "--out", out, "--kind", "character", "--json"]
        assert run(line) == Exit.DONE
        splits = json.loads(capsys.readouterr().out)["data"]["splits"]
        assert sum(part["documents"] for part in splits.values()) == documents


def test_tokenizer_learns_from_the_split_that_was_asked_for(dataset, tmp_path):
    from think.core.data.tokenizer import Tokenizer

    out = tmp_path / "tokenizer"
    line = ["data", "tokenizer", str(dataset), "--dataset-split", "test", "--out", str(out), "--kind", "character"]
    assert run(line) == Exit.DONE
    tokenizer = Tokenizer.load(out)
    assert tokenizer.decode(tokenizer.encode("ship")) == "ship"
    assert tokenizer.decode(tokenizer.encode("cart")) != "cart"  # c is in no row of this split


def test_a_split_that_is_not_there_is_an_error(dataset, tmp_path, capsys):
    line = ["data", "pack", str(dataset), "--dataset-split", "tset", "--out", str(tmp_path / "no")]
    assert run(line) in (Exit.BAD_DATA, Exit.MISSING, Exit.BAD_SETTINGS)
    error = capsys.readouterr().err
    assert "tset" in error
    assert not (tmp_path / "no").exists()
