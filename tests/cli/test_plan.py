"""`think plan`: the tree of one search, for a prompt and for a held-out puzzle, and what is refused."""

import io
import json
from pathlib import Path
from shutil import copytree
from xml.etree import ElementTree

import pytest

from think.cli.app import run
from think.core import plugins
from think.core.data.puzzles import FAMILY, Task
from think.core.data.puzzles.items import distinct
from think.core.errors import Exit

pytestmark = pytest.mark.slow

STAR = '[{kind="puzzles",task={kind="path_star",arms=3,length=2},count=300}]'
TASK: Task = plugins.load(FAMILY, "path_star")
SETTINGS = TASK.Settings(arms=3, length=2)
PUZZLES = distinct(TASK, SETTINGS, "test", 3, seed=0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with a model of small stars, two critics of it, all in one, and another model that has none."""
    folder = tmp_path_factory.mktemp("plan")
    common = [
        *("--set", "model.vocabulary=96", "--set", "model.width=32", "--set", "model.layers=1"),
        *("--set", "model.anchors.where.layers=[0]", "--set", "stage1.steps=3", "--set", "stage1.schedule.warmup=0"),
        *("--set", "stage1.rows=2", "--set", "stage1.length=32", "--set", "stage1.curriculum=[]"),
        *("--set", "stage1.evaluation.rows=2", "--set", "tokenizer={kind='character'}"),
        *("--set", f"data.sources={STAR}", "--set", f"data.path={folder / 'data'}", "--preset", "cpu_smoke"),
    ]
    tiny = ["steps=2", "rows=4", "games={kind='puzzles'}", "schedule.warmup=0", "learning_rate=0.01"]
    tiny += ["evaluation.rows=4", "evaluation.rows_at_end=8"]
    assert run(["data", "pack", *common]) == Exit.DONE
    assert run(["train", "stage1", *common, "--out", str(folder / "stars")]) == Exit.DONE
    for name, stage, below in (("foresight", 2, "stars"), ("critic", 3, "foresight")):
        changes = [f"stage{stage}.{change}" for change in tiny] + ["stage2.pool=4"] * (stage == 2)
        words = [word for change in changes for word in ("--set", change)]
        words += ["--from", str(folder / below), "--out", str(folder / name)]
        assert run(["train", f"stage{stage}", *common, *words]) == Exit.DONE
    words = [word for change in [*tiny[:2], *tiny[3:]] for word in ("--set", f"stage4.{change}")]
    words += ["--from", str(folder / "critic"), "--out", str(folder / "whole")]
    assert run(["train", "stage4", *common, *words]) == Exit.DONE
    copytree(folder / "stars", folder / "others")
    copytree(folder / "critic", folder / "newer")  # as old as the other, and then names decide
    return folder


@pytest.fixture(autouse=True)
def runs_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THINK_RUNS", str(place))


def _asked(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    capsys.readouterr()
    assert run(["plan", "--json", *words]) == Exit.DONE
    envelope = json.loads(capsys.readouterr().out)
    assert envelope["schema"] == "think.plan/1"
    return envelope["data"]


def _nodes(branch: dict) -> list[dict]:
    return [branch, *(node for child in branch["children"] for node in _nodes(child))]


def test_a_puzzle_is_planned_within_the_rules_and_judged_by_them(capsys: pytest.CaptureFixture[str]) -> None:
    data = _asked(capsys, "--critic", "critic", "--puzzle", "2", "--simulations", "20")
    puzzle = PUZZLES[1]
    assert data["prompt"] == puzzle.prompt()
    assert data["puzzle"] == {"number": 2, "split": "test", "seed": 0, "is": puzzle.model_dump(mode="json")}
    tree = data["tree"]
    assert tree["visits"] == 21
    assert sum(child["visits"] for child in tree["children"]) == 20
    assert {child["action"] for child in tree["children"]} == set(puzzle.start().legal())
    assert sum(child["prior"] for child in tree["children"]) == pytest.approx(1)
    assert [node["action"] for node in _nodes(tree) if node["chosen"]][1:] == data["line"]
    assert data["rules"] == "below the root"
    position = puzzle.start()
    for action in data["answer"]:  # the line, and after its choice the one way on
        position = position.play(action)
    assert position.ended
    assert data["answer"][: len(data["line"])] == data["line"]
    assert data["judged"]["solved"] == position.solved


def test_options_reach_the_search_and_the_drawing(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--critic", "critic", "--puzzle", "1", "--simulations", "9"]
    usual = _asked(capsys, *few)
    assert _asked(capsys, *few, "--rules-below") == usual
    shallow = _asked(capsys, *few, "--depth", "1", "--most", "2")
    assert len(_nodes(shallow["tree"])) == 3
    assert shallow["tree"]["others"] == 1
    assert shallow["line"] == usual["line"]
    one = _asked(capsys, *few, "--considered", "1")
    assert (len(one["tree"]["children"]), one["considered"], usual["considered"]) == (1, 1, 3)
    assert _asked(capsys, *few, "--split", "validation")["prompt"] != usual["prompt"]
    assert _asked(capsys, *few, "--seed", "1")["prompt"] != usual["prompt"]
    longer = _asked(capsys, *few, "--set", "length=3")
    assert len(longer["prompt"]) > len(usual["prompt"])
    free = _asked(capsys, *few, "--no-rules-below")
    assert free["rules"] == "at the root"
    assert {child["action"] for child in free["tree"]["children"]} == set(PUZZLES[0].start().legal())
    below = {node["action"] for child in free["tree"]["children"] for node in child["children"]}
    ruled = {node["action"] for child in usual["tree"]["children"] for node in child["children"]}
    assert below != ruled


def test_the_newest_critic_is_taken_and_a_run_says_whose(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--run", "stars"]):
        data = _asked(capsys, "--puzzle", "1", *words)
        assert "/newer/" in data["critic"]
        assert "/stars/" in data["model"]
    assert run(["plan", "--puzzle", "1", "--run", "others"]) == Exit.MISSING
    assert "that stands on others" in capsys.readouterr().err


def test_a_run_of_stage_4_plans_by_itself_and_with_the_policy_of_all_its_layers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--puzzle", "1", "--simulations", "9"]
    usual, own = _asked(capsys, "--critic", "critic", *words), _asked(capsys, "--run", "whole", *words)
    assert "/whole/" in own["model"]
    assert "/whole/" in own["critic"]
    assert (own["tree"], own["search"]["prior"]) == (usual["tree"], "model")
    assert _asked(capsys, "--critic", "whole", *words) == own
    fused = _asked(capsys, "--prior", "fused", *words)  # the newest that has one
    assert ("/whole/" in fused["critic"], fused["search"]["prior"]) == (True, "fused")
    assert fused["tree"] == usual["tree"], "the model has one layer"


def test_of_a_prompt_no_rules_are_known_and_it_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = PUZZLES[0].prompt()
    data = _asked(capsys, prompt, "--critic", "critic", "--simulations", "16")
    assert (data["judged"], data["puzzle"], data["rules"], data["considered"]) == (None, None, "none", 16)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{prompt}\n".encode())))
    assert _asked(capsys, "-", "--critic", "critic", "--simulations", "16") == data
    assert run(["plan", prompt, "--critic", "critic", "--simulations", "16"]) == Exit.DONE
    said = capsys.readouterr().out
    assert "no rules are known" in said
    assert "cannot be said" in said


def test_people_see_a_tree_and_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "tree.svg"
    words = ["plan", "--critic", "critic", "--puzzle", "1", "--svg", str(picture)]
    assert run(words) == Exit.DONE
    said = capsys.readouterr().out
    data = _asked(capsys, *words[1:])
    lines = said.splitlines()
    assert f"root  65 visits  value {data['tree']['value']:.3f}" in lines
    chosen = [line for line in lines if "─ * " in line]
    assert [line.split("* ")[1].split()[0] for line in chosen] == [data["names"][action] for action in data["line"]]
    assert f"by the rules, asked afterwards: {data['judged']['reason']}" in lines
    assert "\x1b" not in said
    shown = ElementTree.parse(picture).getroot()
    assert len(list(shown.iter("{http://www.w3.org/2000/svg}g"))) == len(_nodes(data["tree"]))
    assert run(["--color", "always", *words]) == Exit.DONE
    assert "\x1b[1;36m" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], Exit.USAGE, "neither a PROMPT nor --puzzle"),
        (["AB", "--puzzle", "1"], Exit.USAGE, "both given"),
        ([""], Exit.USAGE, "the prompt is empty"),
        (["A\x1b[2JB"], Exit.BAD_DATA, "such as '\\x1b'"),
        (["A\udcffB"], Exit.BAD_DATA, "not UTF-8"),
        (["A\u00e9"], Exit.BAD_DATA, "does not know 1 of the characters"),
        (["AB", "--no-rules-below"], Exit.USAGE, "--no-rules-below is for --puzzle"),
        (["AB", "--split", "test"], Exit.USAGE, "--split is for --puzzle"),
        (["AB", "--seed", "1"], Exit.USAGE, "--seed is for --puzzle"),
        (["AB", "--set", "length=3"], Exit.USAGE, "--set is for --puzzle"),
        (["AB", "--simulations", "0"], Exit.USAGE, "simulations"),
        (["AB", "--considered", "51"], Exit.BAD_SETTINGS, "at most 50"),
        (["AB", "--value-scale", "nan"], Exit.USAGE, "above 0"),
        (["AB", "--depth", "0"], Exit.USAGE, "depth"),
        (["--puzzle", "0"], Exit.USAGE, "puzzle"),
        (["--puzzle", "1", "--split", "train"], Exit.USAGE, "nobody trains on"),
        (["--puzzle", "1", "--svg", "nowhere/tree.svg"], Exit.INPUT_OUTPUT, "the picture cannot be written"),
        (["AB", "--critic", "stars"], Exit.BAD_SETTINGS, "trains no critic"),
        (["AB", "--prior", "fused"], Exit.BAD_SETTINGS, "a run of stage 4"),
        (["AB", "--prior", "critic"], Exit.USAGE, "model or fused"),
        (["AB", "--critic", "nowhere"], Exit.MISSING, "nowhere"),
        (["AB", "--critic", "newer", "--run", "others"], Exit.BAD_SETTINGS, "leave RUN out"),
    ],
)
def test_what_cannot_be_planned(
    words: list[str],
    code: Exit,
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = [] if "--critic" in words else ["--critic", "critic"]
    assert run(["plan", *words, *chosen]) == code
    said = capsys.readouterr().err
    assert says in said
    assert "\x1b" not in said


def test_without_a_critic_it_says_how_one_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THINK_RUNS", str(tmp_path))
    assert run(["plan", "AB"]) == Exit.MISSING
    assert "think train stage3" in capsys.readouterr().err
