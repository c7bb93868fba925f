"""`think data reasoning` writes records, says what it wrote, and keeps what was there."""

import json
from pathlib import Path

import pytest

from think.cli.app import run
from think.core.errors import Exit


def _write(path: Path, *words: str) -> int:
    return run(["data", "reasoning", "--output", str(path), *words])


def test_writes_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "tasks.jsonl"
    assert _write(path, "--count", "12", "--seed", "2025", "--json") == Exit.DONE
    data = json.loads(capsys.readouterr().out)["data"]
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == data["count"] == sum(data["kinds"].values()) == 12
    assert data["written"] is True
    assert {line["kind"] for line in lines} == set(data["kinds"])


def test_again_is_no_change_and_another_seed_needs_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tasks.jsonl"
    assert _write(path, "--count", "5", "--seed", "1") == Exit.DONE
    before = path.read_bytes()
    assert _write(path, "--count", "5", "--seed", "1") == Exit.DONE
    assert "held them already" in capsys.readouterr().out
    assert _write(path, "--count", "5", "--seed", "2") == Exit.USAGE
    assert "different file" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert _write(path, "--count", "5", "--seed", "2", "--force") == Exit.DONE
    assert path.read_bytes() != before


def test_kinds_and_reports_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tasks.jsonl"
    assert _write(path, "--count", "6", "--kind", "ratio", "--kind", "addition", "--no-gold-reports") == Exit.DONE
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert {(record["kind"], record["gold_report"]) for record in records} == {("ratio", None), ("addition", None)}
    assert _write(path, "--kind", "rato") == Exit.USAGE
    assert "did you mean 'ratio'" in capsys.readouterr().err


def test_reports_are_there_unless_refused(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    assert _write(path, "--count", "2", "--gold-reports") == Exit.DONE
    assert all(json.loads(line)["gold_report"] for line in path.read_text(encoding="utf-8").splitlines())


def test_a_place_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert _write(tmp_path / "file" / "tasks.jsonl", "--count", "1") == Exit.INPUT_OUTPUT
    assert "cannot write" in capsys.readouterr().err
