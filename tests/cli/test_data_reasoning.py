"""`think data reasoning` writes records, says what it wrote, and keeps what was there."""

import json
from pathlib import Path

import pytest

from think.cli.console import console
from think.cli.data_reasoning import reasoning
from think.core.errors import UsageError


def test_writes_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "tasks.jsonl"
    console.begin(json=True)
    reasoning(path, count=12, seed=2025)
    data = json.loads(capsys.readouterr().out)["data"]
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == data["count"] == sum(data["kinds"].values()) == 12
    assert data["written"] is True
    assert {line["kind"] for line in lines} == set(data["kinds"])


def test_again_is_no_change_and_another_seed_needs_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tasks.jsonl"
    console.begin(json=False)
    reasoning(path, count=5, seed=1)
    before = path.read_bytes()
    reasoning(path, count=5, seed=1)
    assert "held them already" in capsys.readouterr().out
    with pytest.raises(UsageError, match="different file"):
        reasoning(path, count=5, seed=2)
    assert path.read_bytes() == before
    reasoning(path, count=5, seed=2, kind=["ratio"], gold_reports=False, force=True)
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert {(record["kind"], record["gold_report"]) for record in records} == {("ratio", None)}
