"""`think runs show --html`: a page of a real run, of what is half there, and what is refused."""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from think.cli.app import run as think
from think.core.errors import Exit
from think.core.runs import RunFolder

TINY = [
    "model.width=16", "model.layers=2", "model.vocabulary=300", "model.feed_forward.inner=32", "model.anchors=none",
    "model.mixer.memory.norm=none", "model.mixer.mamba.head_width=8", "model.mixer.mamba.state=8",
    "model.mixer.rwkv.mix_rank=4", "model.mixer.rwkv.decay_rank=4", "tokenizer.size=300", "data.validation=0.5",
    'data.sources=[{kind="stories",count=60}]', "stage1.steps=12", "stage1.rows=4", "stage1.length=32",
    "stage1.curriculum=[]", "stage1.schedule.warmup=2", "stage1.evaluation.every=4", "stage1.evaluation.rows=4",
    "stage1.evaluation.tokens=1024", "stage1.telemetry.gradients_every=2", "stage1.telemetry.health_every=4",
    "stage1.anomalies.top_probability=0.001", "stage1.anomalies.distinct_share=1.0", "runtime.threads=1",
]  # fmt: skip
SETS = [word for change in TINY for word in ("--set", change)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a hybrid with an anomaly and a verdict, trained here."""
    root = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("THINK_RUNS", raising=False)
        assert think(["data", "pack", "--preset", "cpu_smoke", *SETS]) == 0
        assert think(["train", "stage1", "--preset", "cpu_smoke", *SETS, "--out", "own"]) == 0
        assert think(["gate", "g3", "--run", "own"]) in (Exit.NO_VERDICT, Exit.GATE_FAILED)
    return root


@pytest.fixture(autouse=True)
def _here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.delenv("THINK_RUNS", raising=False)


@pytest.mark.slow
@pytest.mark.train
def test_a_real_run_has_everything_on_its_page(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert think(["runs", "show", "own", "--html", "own.html", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["schema"], answer["data"]["html"]) == ("think.runs-show/1", "own.html")
    page = (home / "own.html").read_text(encoding="utf-8")
    pictures = [ElementTree.fromstring(found) for found in re.findall(r"<svg .*?</svg>", page, re.DOTALL)]
    titles = [picture.get("aria-label", "") for picture in pictures]
    for wanted in (
        "Loss, nats", "Gradient norm", "Learning rate", "Throughput", "Share of the squared", "Ratio of the branches",
        "Root mean square of the state", "Participation", "Cosine", "Share of gates",
    ):  # fmt: skip
        assert any(title.startswith(wanted) for title in titles), wanted
    heats = [picture for picture in pictures if picture.get("aria-label", "").startswith("Root mean")]
    names = [element.text for element in heats[0].iter() if element.tag == "text"]
    assert names[:4] == ["0 mamba", "0 rwkv", "1 mamba", "1 rwkv"]
    digests = answer["data"]["plan"]["digests"]
    assert all(digest in page for digest in digests.values())
    for wanted in (
        "mode collapse",
        "NO_EVIDENCE",
        "cpu_smoke.toml:",
        "--set stage1.rows",
        "<pre>",
        "g3 passes from 0.5",
    ):
        assert wanted in page, wanted
    again = home / "again.html"
    assert think(["runs", "show", "own", "--html", str(again)]) == 0
    assert again.read_text(encoding="utf-8") == page


@pytest.mark.slow
def test_a_run_without_weights_has_a_page_without_a_sample_and_says_so(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = RunFolder(tmp_path / "part")
    part.path.mkdir()
    content = (home / "runs/own/telemetry-0001.jsonl").read_bytes()
    (part.path / "telemetry-0001.jsonl").write_bytes(content[: len(content) * 2 // 3])
    file = tmp_path / "part.html"
    assert think(["runs", "show", str(part.path), "--html", str(file)]) == 0
    assert "the page has no sample" in capsys.readouterr().err
    page = file.read_text(encoding="utf-8")
    assert "There is no settings.toml." in page
    assert "think runs report part" in page


@pytest.mark.parametrize("name", ["own", "runs/own/settings.toml", "page"])
def test_a_forgotten_file_is_not_written_over_a_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert think(["runs", "show", "--html", name]) == Exit.USAGE
    assert "ends in .html" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_an_error_of_writing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert think(["runs", "show", "own", "--html", str(tmp_path / "nowhere" / "own.html")]) == Exit.INPUT_OUTPUT
    assert "the page cannot be written" in capsys.readouterr().err
