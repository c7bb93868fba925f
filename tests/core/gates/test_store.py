"""Stored verdicts survive torn lines and damage, and a damaged line never counts."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from think.core.errors import InputOutput
from think.core.gates import store
from think.core.gates.evidence import Source
from think.core.gates.store import Stored
from think.core.gates.verdict import Finding, Status, Verdict

RECORD = Stored(
    gate="g2",
    verdict=Verdict.of([Finding("entropy", Status.FAIL, "nan", "more", value=float("nan"), interval=(0.0, 1.0))]),
    thresholds={"least": 3},
    thresholds_sha256="abc",
    evidence={"name": "initial_entropy", "sha256": "d", "values": {"nats": ["NaN"]}},
    source=Source(run="r-1", digests={"model": "m"}, seed=3),
    time="2030-05-01T12:00:00+00:00",
    notes=("a note",),
)


def test_a_verdict_comes_back_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "gates.jsonl"
    store.append(file, RECORD)
    store.append(file, RECORD)
    assert [repr(stored) for stored in store.read([file])] == [repr(RECORD)] * 2


def test_no_file_means_no_verdicts(tmp_path: Path) -> None:
    assert store.lines(tmp_path / "none.jsonl") == []


@given(cut=st.integers(1, 200))
def test_a_torn_line_is_closed_off_and_neither_counts_nor_harms(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    file = tmp_path_factory.mktemp("torn") / "gates.jsonl"
    store.append(file, RECORD)
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:-cut])
    store.append(file, RECORD)
    read = store.lines(file)
    assert [line.stored is not None for line in read] == ([True, True, True] if cut == 1 else [True, False, True])


@pytest.mark.parametrize("junk", [b"{}\n", b"\xff\xfe\n", b"null\n", b'{"schema":"other/1"}\n', b"[1,2]\n"])
def test_a_line_that_is_no_verdict_is_named_and_passed_over(tmp_path: Path, junk: bytes) -> None:
    file = tmp_path / "gates.jsonl"
    file.write_bytes(junk)
    store.append(file, RECORD)
    first, second = store.lines(file)
    assert first.stored is None
    assert first.problem
    assert second.stored is not None


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(InputOutput, match="could not be stored") as caught:
        store.append(tmp_path / "gates.jsonl", RECORD)
    assert caught.value.where == str(tmp_path / "gates.jsonl")
