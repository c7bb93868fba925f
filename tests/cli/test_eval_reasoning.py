"""`think eval reasoning`: from packing a task to the table of arms, and what is refused."""

import json
from pathlib import Path

import pytest

from think.cli.app import run
from think.core.errors import Exit

pytestmark = pytest.mark.slow

STAR = '[{kind="puzzles",task={kind="path_star",arms=3,length=2},count=300}]'
WORDS = '[{kind="stories",count=300}]'
SMALL = [
    *("--set", "model.vocabulary=96", "--set", "model.width=32", "--set", "model.layers=1"),
    *("--set", "model.anchors.where.layers=[0]", "--set", "stage1.steps=3", "--set", "stage1.schedule.warmup=0"),
    *("--set", "stage1.rows=2", "--set", "stage1.length=32", "--set", "stage1.curriculum=[]"),
    *("--set", "stage1.evaluation.rows=2", "--set", "tokenizer={kind='character'}"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that was trained on small stars for three steps, and one that was trained on stories."""
    folder = tmp_path_factory.mktemp("reasoning")
    for name, source in (("stars", STAR), ("stories", WORDS)):
        data = ["--set", f"data.sources={source}", "--set", f"data.path={folder / f'{name}-data'}"]
        changes = [*SMALL, *data]
        assert run(["data", "pack", "--preset", "cpu_smoke", *changes]) == Exit.DONE
        assert run(["train", "stage1", "--preset", "cpu_smoke", *changes, "--out", str(folder / name)]) == Exit.DONE
    return folder


def _asked(place: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    capsys.readouterr()
    assert run(["eval", "reasoning", str(place / "stars"), "--json", *words]) == Exit.DONE
    return json.loads(capsys.readouterr().out)["data"]


def test_every_arm_on_the_same_puzzles(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arms = ["greedy", "majority", "beam", "best_of_n", "random_legal"]
    words = [word for arm in arms for word in ("--arm", arm)]
    data = _asked(place, capsys, *words, "--count", "60", "--samples", "4", "--seed", "3")
    assert [arm["arm"] for arm in data["arms"]] == arms
    assert data["chance"] == pytest.approx(1 / 3)
    for arm in data["arms"]:
        assert arm["count"] == 60
        assert 0 <= arm["low"] <= arm["share"] <= arm["high"] <= 1
        assert arm["solved"] == round(arm["share"] * 60)
    assert data["arms"][1]["against"]["than"] == "greedy"
    assert data["arms"][3]["tokens_per_puzzle"] > data["arms"][0]["tokens_per_puzzle"] > 0


def test_a_seed_gives_the_same_again_and_another_split_other_puzzles(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def solved(*words: str) -> list[int]:
        data = _asked(place, capsys, "--count", "40", "--arm", "majority", "--arm", "random_legal", *words)
        return [arm["solved"] for arm in data["arms"]]

    assert solved() == solved()
    assert _asked(place, capsys, "--count", "5", "--split", "validation")["split"] == "validation"


def test_a_run_meets_longer_puzzles(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = _asked(place, capsys, "--count", "20", "--set", "length=3")
    assert data["task"] == {"kind": "path_star", "arms": 3, "length": 3}


def test_people_read_a_table(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", "reasoning", "--model", str(place / "stars"), "--count", "30"]) == Exit.DONE
    said = capsys.readouterr().out
    assert "30 different puzzles of the test split, chance 33.3 %" in said
    assert "greedy" in said
    assert "random_legal" in said


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["stars", "--arm", "greddy"], Exit.USAGE, "did you mean 'greedy'"),
        (["stars", "--split", "train"], Exit.USAGE, "nobody trains on"),
        (["stars", "--set", "depth=3"], Exit.BAD_SETTINGS, "no such setting"),
        (["stars", "--set", "arms=30"], Exit.BAD_SETTINGS, "arms"),
        (["stories"], Exit.BAD_SETTINGS, "0 sources of puzzles"),
        (["nowhere"], Exit.MISSING, "nowhere"),
    ],
)
def test_requests_that_cannot_be_met(
    words: list[str], code: Exit, says: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["eval", "reasoning", str(place / words[0]), *words[1:]]) == code
    assert says in capsys.readouterr().err
