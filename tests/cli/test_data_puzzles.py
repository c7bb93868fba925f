"""`think data reasoning` with puzzles: written by split, checked line by line, and refused in words."""

import json
from pathlib import Path
from typing import Any

import pytest

from think.cli.app import run
from think.core.errors import Exit


def _write(path: Path, *words: str) -> int:
    return run(["data", "reasoning", "--output", str(path), *words])


def _changed(path: Path, line: int, **changes: Any) -> None:
    lines = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    lines[line - 1] = {**lines[line - 1], **changes}
    path.write_text("".join(json.dumps(record) + "\n" for record in lines))


@pytest.mark.parametrize("kind", ["path_star", "pointer_chase", "arithmetic"])
def test_what_is_written_is_sound(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "puzzles.jsonl"
    assert _write(path, "--kind", kind, "--count", "8", "--split", "test") == Exit.DONE
    capsys.readouterr()
    assert run(["data", "reasoning", "--check", str(path), "--json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out)["data"]["kinds"] == {kind: 8}


def test_problems_of_the_older_kinds_are_checked_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "problems.jsonl"
    assert _write(path, "--count", "6") == Exit.DONE
    assert run(["data", "reasoning", "--check", str(path)]) == Exit.DONE
    assert "6 records, all sound" in capsys.readouterr().out
    _changed(path, 4, answer="123456")
    assert run(["data", "reasoning", "--check", str(path)]) == Exit.BAD_DATA
    assert f"{path}:4" in capsys.readouterr().err


def test_splits_and_settings_reach_the_puzzles(tmp_path: Path) -> None:
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    assert _write(one, "--kind", "path_star", "--count", "5", "--split", "test", "--set", "length=7") == Exit.DONE
    assert _write(other, "--kind", "path_star", "--count", "5", "--split", "train", "--set", "length=7") == Exit.DONE
    records = [[json.loads(line) for line in path.read_text().splitlines()] for path in (one, other)]
    assert all(len(record["answer"]) == 7 for record in records[0])
    assert not {record["prompt"] for record in records[0]} & {record["prompt"] for record in records[1]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"validator": {"kind": "sudoku4", "operands": {"cells": "11.............."}}}, "no solution"),
        ({"validator": {"kind": "sudoku4", "operands": {"cells": 4}}}, "no puzzle of sudoku4: cells"),
        ({"validator": {"kind": "sudoku4", "operands": {"grid": "1"}}}, "no puzzle of sudoku4"),
        ({"validator": {"kind": "sudoku4"}}, "no `operands`"),
        ({"validator": None}, "no `operands`"),
        ({"answer": ""}, "stops after 0 actions"),
        ({"prompt": "..../..../..../...."}, "not that of the puzzle"),
    ],
)
def test_a_bad_line_is_named(
    changes: dict[str, Any], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "puzzles.jsonl"
    assert _write(path, "--kind", "sudoku4", "--count", "4") == Exit.DONE
    _changed(path, 3, **changes)
    capsys.readouterr()
    assert run(["data", "reasoning", "--check", str(path)]) == Exit.BAD_DATA
    said = capsys.readouterr().err
    assert f"{path}:3" in said
    assert says in said


def test_files_of_another_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file.jsonl"
    for content, says in (("", "no record"), ("[]\n", "without"), ("{}\n", "without"), ("text\n", "not JSON")):
        path.write_text(content)
        assert run(["data", "reasoning", "--check", str(path)]) == Exit.BAD_DATA
        assert says in capsys.readouterr().err
    assert run(["data", "reasoning", "--check", str(tmp_path / "none")]) == Exit.MISSING


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--kind", "sudoku4", "--kind", "ratio"], Exit.USAGE, "one task"),
        (["--kind", "ratio", "--split", "test"], Exit.USAGE, "--split is for puzzles"),
        (["--set", "length=3"], Exit.USAGE, "--set is for puzzles"),
        (["--kind", "sudoku4", "--split", "dev"], Exit.USAGE, "no split 'dev'"),
        (["--kind", "path_star", "--set", "length"], Exit.USAGE, "KEY=VALUE"),
        (["--kind", "path_star", "--set", "length=40"], Exit.BAD_SETTINGS, "length"),
        (["--kind", "path_star", "--set", "depth=4"], Exit.BAD_SETTINGS, "no such setting"),
        (["--kind", "arc"], Exit.BAD_SETTINGS, "needs to be given"),
        (["--kind", "gsm8k", "--set", "path=nowhere"], Exit.MISSING, "nowhere"),
    ],
)
def test_requests_that_cannot_be_met(
    words: list[str], code: Exit, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _write(tmp_path / "out.jsonl", "--count", "4", *words) == code
    assert says in capsys.readouterr().err


def test_more_puzzles_than_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "train.jsonl"
    file.write_text("".join(f'{{"question": "Is it {n}?", "answer": "#### {n}"}}\n' for n in range(20)))
    assert _write(tmp_path / "out.jsonl", "--kind", "gsm8k", "--set", f"path={file}", "--count", "40") == Exit.BAD_DATA
    assert "no new puzzle of the train split" in capsys.readouterr().err


def test_either_a_file_to_write_or_one_to_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "reasoning"]) == Exit.USAGE
    assert "--output nor --check" in capsys.readouterr().err
    assert run(["data", "reasoning", "--check", "a", "--output", "b"]) == Exit.USAGE
