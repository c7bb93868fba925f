"""`think eval identity`: what it answers, and what it says when there is nothing to ask."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.core.eval.identity.test_identity import Perfect
from think.cli.app import run as think
from think.core.errors import Exit


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("THINK_RUNS", raising=False)


@pytest.fixture
def remembers(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A model that knows every fact stands in for the one of the run; the folders that were asked for."""
    asked: list[Path] = []

    def load(path: Path) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(path=path, step=7, notes=())

    monkeypatch.setattr("think.core.assembled.load", load)
    monkeypatch.setattr("think.core.eval.identity.listener.ModelListener", lambda held: Perfect())
    return asked


def test_every_condition_has_its_count_interval_chance_and_control(
    remembers: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert think(["eval", "identity", "first", "--longest", "600", "--draws", "2", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == "think.eval.identity/1"
    assert [path.parts[-2:] for path in remembers] == [("runs", "first")]
    found = {(one["probe"], one["unit"], one["distance"]): one for one in answer["data"]["conditions"]}
    assert {key[2] for key in found if key[1] == "tokens"} == {512}, "no question after more than --longest"
    late = found["recall", "tokens", 512]
    assert (late["asked"], late["right"], late["chance"]) == (80, 80, 0.1)
    assert late["accuracy"]["interval"][0] > 0.9
    assert late["control"]["value"] == pytest.approx(0.1)


def test_for_people_it_is_a_table(remembers: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert think(["eval", "identity", "first", "--longest", "1"]) == 0
    said = capsys.readouterr().out
    assert "isolation" in said
    assert "100.0% (95 % " in said
    assert "above chance, interval included: recall after 1 turns" in said


def test_without_a_run_it_says_how_to_make_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert think(["eval", "identity"]) == Exit.MISSING
    assert "think train stage1" in capsys.readouterr().err
    assert think(["eval", "identity", "nowhere"]) == Exit.MISSING
