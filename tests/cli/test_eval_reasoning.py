"""`think eval reasoning` and `think eval sweep`: from packing a task to tables and a page, and what is refused."""

import json
from pathlib import Path

import pytest

from think.cli.app import run
from think.cli.eval_page import _recipes
from think.core.errors import Exit
from think.core.predecessors import newest_checkpoint
from think.core.runs import RunFolder

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


@pytest.fixture(scope="module")
def critic(place: Path) -> Path:
    """A run of stage 3 on the stars, and below it one of stage 2, of two steps each."""
    data = ["--set", f"data.sources={STAR}", "--set", f"data.path={place / 'stars-data'}"]
    games = "{kind='puzzles'}"
    for stage, below in (("stage2", "stars"), ("stage3", "stage2")):
        tiny = [f"{stage}.steps=2", f"{stage}.rows=4", f"{stage}.games={games}", f"{stage}.schedule.warmup=0"]
        tiny += [f"{stage}.evaluation.rows=4", f"{stage}.evaluation.rows_at_end=8", f"{stage}.learning_rate=0.01"]
        tiny += ["stage2.pool=4"] if stage == "stage2" else []
        words = [word for change in tiny for word in ("--set", change)]
        words += ["--from", str(place / below), "--out", str(place / stage)]
        assert run(["train", stage, "--preset", "cpu_smoke", *SMALL, *data, *words]) == Exit.DONE
    return place / "stage3"


def test_arms_that_look_ahead_or_judge(place: Path, critic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arms = ["search", "greedy", "best_by_critic", "refine", "random_search", "search_shuffled", "search_identity"]
    arms += ["search_latent", "larger"]
    words = [word for arm in arms for word in ("--arm", arm)]
    words += ["--critic", str(critic), "--larger", str(place / "stars"), "--simulations", "6", "--match"]
    data = _asked(place, capsys, *words, "--count", "12")
    found = {arm["arm"]: arm for arm in data["arms"]}
    assert list(found) == arms
    assert data["search"]["simulations"] == 6
    assert found["search"]["flops_per_puzzle"] > found["greedy"]["flops_per_puzzle"]
    for arm in ("best_by_critic", "refine", "random_search"):
        assert found[arm]["samples"] >= 1
        assert found[arm]["flops_per_puzzle"] >= 0.9 * found["search"]["flops_per_puzzle"]
    assert found["search_identity"]["solved"] == found["greedy"]["solved"] == found["larger"]["solved"]
    assert found["search_latent"]["parameters"]["dynamics"] > 0
    assert found["greedy"]["against"]["than"] == "search"
    assert found["greedy"]["against"]["difference_low"] <= found["greedy"]["against"]["difference"]


def test_the_critic_names_its_model_and_rules_can_be_taken_away(
    critic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    words = ["--critic", str(critic), "--arm", "search", "--simulations", "4", "--count", "8", "--no-rules-below"]
    assert run(["eval", "reasoning", *words, "--json"]) == Exit.DONE
    data = json.loads(capsys.readouterr().out)["data"]
    assert "stars" in data["model"]
    assert data["search"]["rules_below"] is False
    assert run(["eval", "reasoning", *words, "--rules-below", "--json"]) == Exit.DONE
    usual = json.loads(capsys.readouterr().out)["data"]
    assert usual["search"]["rules_below"] is True
    assert run(["eval", "reasoning", *words[:-1], "--keep-tree", "--json"]) == Exit.DONE
    kept = json.loads(capsys.readouterr().out)["data"]
    assert kept["search"]["keep_tree"] is True
    assert kept["arms"][0]["solved"] == usual["arms"][0]["solved"]  # stars have one choice: nothing follows it
    assert kept["kept"] != usual["kept"]


def test_rule_and_heads_are_told_and_kept(place: Path, critic: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--critic", str(critic), "--arm", "search", "--simulations", "3", "--count", "6"]
    usual = _asked(place, capsys, *words, "--value-scale", "0.5")
    other = _asked(place, capsys, *words, "--rule", "puct", "--exploration", "2", "--heads", "0", "--caution", "0")
    assert usual["search"]["rule"]["value_scale"] == 0.5
    assert other["search"]["rule"] == {"kind": "puct", "exploration": 2.0, "growth": 19652.0}
    assert (other["search"]["heads"], other["search"]["caution"]) == ([0], 0.0)
    assert usual["kept"] != other["kept"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--arm", "search", "--critic", "CRITIC", "--simulations", "0"], Exit.USAGE, "simulations"),
        (["--arm", "search", "--critic", "CRITIC", "--considered", "99"], Exit.BAD_SETTINGS, "the world has 50"),
        (["--arm", "search", "--critic", "CRITIC", "--value-scale", "0"], Exit.USAGE, "above 0"),
        (["--arm", "search", "--critic", "CRITIC", "--rule", "uct"], Exit.USAGE, "no rule 'uct'"),
        (["--arm", "search", "--critic", "CRITIC", "--rule", "puct", "--considered", "2"], Exit.USAGE, "of the rule"),
        (["--arm", "search", "--critic", "CRITIC", "--heads", "1"], Exit.BAD_SETTINGS, "heads 0 to 0"),
        (["--arm", "search", "--critic", "CRITIC", "--heads", "first"], Exit.USAGE, "heads 'first'"),
        (["--arm", "search", "--critic", "CRITIC", "--caution", "-1"], Exit.USAGE, "--caution -1"),
        (["--arm", "search"], Exit.USAGE, "think train stage3"),
        (["--arm", "larger"], Exit.USAGE, "--larger"),
        (["--arm", "greedy", "--match"], Exit.USAGE, "nothing is there to match"),
        (["--arm", "search", "--critic", "STARS"], Exit.BAD_SETTINGS, "trains no critic"),
        (["--arm", "search", "--critic", "nowhere"], Exit.MISSING, "nowhere"),
    ],
)
def test_searches_that_cannot_be_made(
    words: list[str], code: Exit, says: str, place: Path, critic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    named = {"CRITIC": str(critic), "STARS": str(place / "stars")}
    assert run(["eval", "reasoning", *(named.get(word, word) for word in words)]) == code
    assert says in capsys.readouterr().err


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
        (["stars", "--arm", "greedy", "--keep-tree"], Exit.USAGE, "keep_tree has no effect on greedy"),
    ],
)
def test_requests_that_cannot_be_met(
    words: list[str], code: Exit, says: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["eval", "reasoning", str(place / words[0]), *words[1:]]) == code
    assert says in capsys.readouterr().err


def test_a_page_of_what_was_asked(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = _asked(place, capsys, "--count", "12", "--seed", "7")
    assert Path(data["kept"]).is_file()
    out = tmp_path / "page.md"
    assert run(["eval", "page", str(place / "stars"), "--out", str(out)]) == Exit.DONE
    page = out.read_text()
    assert "seed 7, run `stars`" in page
    assert all((tmp_path / name).is_file() for name in ("page/exam-1.svg",))
    assert run(["eval", "page", str(place / "stories"), "--out", str(out)]) == Exit.MISSING
    assert run(["eval", "page", str(place / "stars"), "--out", "page.html"]) == Exit.USAGE


def test_a_critic_that_has_been_trained_on_is_not_the_one_that_was_asked(
    critic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = newest_checkpoint(RunFolder(critic))
    asked = [{"critic": str(path), "critic_run": critic.name} for path in (now, now.with_name("step-00000000"))]
    assert list(_recipes(asked)) == [str(now)]
    assert "step-00000000 stand in no table of seeds" in capsys.readouterr().err


def _swept(place: Path, critic: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    capsys.readouterr()
    asked = ["eval", "sweep", str(place / "stars"), "--critic", str(critic), "--count", "8", "--json", *words]
    assert run(asked) == Exit.DONE
    return json.loads(capsys.readouterr().out)["data"]


def test_a_sweep_asks_each_value_what_an_exam_of_it_asks(
    place: Path, critic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--arm", "search", "--arm", "larger", "--larger", str(place / "stars"), "--value-scale", "0.5"]
    data = _swept(place, critic, capsys, "--over", "simulations=5,2", *words)
    assert data["values"] == ["2", "5"]
    assert [one["arm"] for one in data["beside"]] == ["larger"]
    (arm,) = data["arms"]
    assert arm["monotone"] in ("yes", "no", "cannot tell")
    assert arm["points"][1]["against"]["than"] == "2"
    asked = ["--critic", str(critic), "--arm", "search", "--count", "8", "--value-scale", "0.5"]
    for point in arm["points"]:
        (alone,) = _asked(place, capsys, *asked, "--simulations", point["value"])["arms"]
        same = ("solved", "flops_per_puzzle")
        assert [point[name] for name in same] == [alone[name] for name in same]
    assert Path(data["kept"]).name.startswith("sweep-path_star-")
    out = tmp_path / "page.md"
    assert run(["eval", "page", str(place / "stars"), "--out", str(out)]) == Exit.DONE
    page = out.read_text()
    number = next(line for line in page.splitlines() if line.startswith("## Sweep") and "simulations" in line)[9]
    assert (tmp_path / f"page/sweep-{number}.svg").is_file()
    assert f"(page/sweep-{number}.svg)" in page


def test_a_shipped_study_is_its_values_and_people_read_a_table(
    place: Path, critic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = _swept(place, critic, capsys, "--study", "root_rule", "--simulations", "3", "--arm", "search")
    assert (rules["values"], rules["study"]) == (["gumbel", "puct"], "root_rule")
    assert run(["eval", "sweep", "--critic", str(critic), "--study", "critic_heads", "--count", "4"]) == Exit.DONE
    said = capsys.readouterr().out
    assert "heads gone through" in said
    assert "greedy" in said


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], Exit.USAGE, "one of caution, critic_heads, prior, root_rule, simulations"),
        (["--over", "simulations=1,2", "--study", "simulations"], Exit.USAGE, "both given"),
        (["--over", "simulations=2"], Exit.USAGE, "two or more"),
        (["--over", "depth=1,2"], Exit.USAGE, "no option 'depth'"),
        (["--over", "simulations=1,2", "--arm", "greedy"], Exit.USAGE, "no effect on greedy"),
        (["--over", "simulations=1,2", "--simulations", "5"], Exit.USAGE, "is what is gone through"),
        (["--over", "value-scale=1,0"], Exit.USAGE, "no weight of values"),
        (["--over", "heads=all,1"], Exit.BAD_SETTINGS, "heads 0 to 0"),
        (["--study", "simulation"], Exit.MISSING, "did you mean simulations?"),
        (["--study", "./nowhere.toml"], Exit.MISSING, "nowhere.toml"),
    ],
)
def test_sweeps_that_cannot_be_made(
    words: list[str], code: Exit, says: str, critic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["eval", "sweep", "--critic", str(critic), "--count", "4", *words]) == code
    assert says in " ".join(capsys.readouterr().err.split())
