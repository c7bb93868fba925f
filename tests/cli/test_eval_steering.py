"""`think eval steering`: what it measures on a run, and what it says when it cannot."""

import json
from pathlib import Path

import pytest
import torch

from think.cli.app import run as think
from think.core.data.pack import pack, texts
from think.core.data.settings import DataSettings
from think.core.data.sources.stories import Settings as StoriesSettings
from think.core.data.tokenizer import CharacterSettings, train
from think.core.errors import Exit
from think.core.models import build
from think.core.settings import RunSettings
from think.core.training.checkpoint import Checkpoints
from think.core.training.weights import weights
from think.presets.decode import decode
from think.presets.render import as_toml
from think.presets.sources import read


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("THINK_THREADS", "1")


SMALL = ["model.width=32", "model.layers=1", "model.anchors=none", "model.mixer.memory.norm=none"]
ASKED = ["--count", "4", "--prompt-tokens", "8", "--plan-tokens", "4", "--rate", "0", "--rate", "0.5", "--json"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of random weights, with its data."""
    root = tmp_path_factory.mktemp("work")
    sources, data = (StoriesSettings(count=60),), DataSettings(path=str(root / "data"))
    manifest = pack(sources, data, train(CharacterSettings(), texts(sources, data)), root / "data")
    folder = root / "runs" / "first-0001"
    folder.mkdir(parents=True)
    resolved = decode(read("cpu_smoke", [*SMALL, f"data.path={json.dumps(str(root / 'data'))}"]), RunSettings)
    (folder / "settings.toml").write_text(as_toml(resolved), encoding="utf-8")
    torch.manual_seed(0)
    model = build(resolved.settings.model)
    Checkpoints(folder / "checkpoints").save(
        7, {"model": weights(model)}, {"step": 7, "digests": {"pack": manifest.digest}}
    )
    return folder


def test_a_closed_gate_does_nothing_and_an_open_one_does(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert think(["eval", "steering", "--model", str(run), *ASKED]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == "think.eval.steering/1"
    closed, opened = answer["data"]["results"]
    for figure in ("likelihood", "frequency", "beyond"):
        for arm in ("planned", "shuffled", "other", "random"):
            assert closed[figure][arm]["gain"]["interval"] == [0.0, 0.0]
            assert opened[figure][arm]["gain"]["count"] == 4
    assert (closed["alpha"], opened["alpha"]) == (0.0, 0.5)
    assert opened["likelihood"]["planned"]["gain"]["value"] != 0.0


def test_equal_seeds_draw_equal_texts_and_plans(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for seed in ("1", "1", "2"):
        assert think(["eval", "steering", "--model", str(run), *ASKED, "--seed", seed]) == 0
        found.append(json.loads(capsys.readouterr().out)["data"]["results"])
    assert found[0] == found[1] != found[2]


def test_a_plan_in_words(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--plan", "the hat", "--count", "3", "--prompt-tokens", "8", "--rate", "0.3", "--lag", "1", "--decay", "1"]
    assert think(["eval", "steering", "--model", str(run), *asked]) == 0
    said = capsys.readouterr().out
    assert "the plan is 'the hat', 7 tokens" in said
    assert "more than random" in said
    assert "what truly follows" not in said


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--plan", "ab", "--plan-tokens", "4"], "both given"),
        (["--plan", "a"], "a plan of 1 tokens"),
        (["--lag", "7", "--count", "4"], "none left to score"),
        (["--count", "100000"], "lie inside of documents"),
    ],
)
def test_what_cannot_be_asked(run: Path, asked: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert think(["eval", "steering", "--model", str(run), *asked]) in (Exit.USAGE, Exit.BAD_DATA)
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_study_gives_what_was_not_asked_for(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('summary = "?"\nrates = [0.0, 0.2]\nlags = [0, 1]\nplan_tokens = 5\n')
    asked = ["eval", "steering", "--model", str(run), "--count", "3", "--prompt-tokens", "8", "--json"]
    assert think([*asked, "--study", str(file)]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert [(one["rate"], one["lag"]) for one in data["results"]] == [(0.0, 0), (0.2, 0), (0.0, 1), (0.2, 1)]
    assert (data["plan_tokens"], data["study"]) == (5, str(file))
    assert think([*asked, "--study", "injection_rate", "--rate", "0.5", "--plan-tokens", "4"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert [(one["rate"], one["lag"]) for one in data["results"]] == [(0.5, 0)]
    assert data["plan_tokens"] == 4
    assert think([*asked, "--study", "rates"]) == Exit.MISSING
    assert "injection_rate, lag" in capsys.readouterr().err


def test_what_was_found_is_kept_in_the_run_and_stands_on_a_page(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = set((run / "evaluations").glob("steering-*.json"))
    for seed in ("5", "5", "6"):
        assert (
            think(["eval", "steering", "--model", str(run / "checkpoints" / "step-00000007"), "--seed", seed, *ASKED])
            == 0
        )
    capsys.readouterr()
    kept = sorted(set((run / "evaluations").glob("steering-*.json")) - before)
    assert len(kept) == 2
    assert think(["eval", "page", str(run), "--out", "page.md"]) == 0
    page = Path("page.md").read_text(encoding="utf-8")
    closed, opened = (
        next(line for line in page.splitlines() if line.startswith(f"| {rate} | 0 |")) for rate in ("0", "0.5")
    )
    assert "+0.0000 (+0.0000 to +0.0000)" in closed
    assert closed.endswith("| **unmoved** |")
    assert "unmoved" not in opened
    assert b"planned" in Path("page/steering-1-likelihood.svg").read_bytes()
    assert Path("page/steering-2-beyond.svg").is_file()
    kept[0].write_text("{}")
    assert think(["eval", "page", str(run), "--out", "page.md"]) == Exit.BAD_DATA
