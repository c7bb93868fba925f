"""From a backbone to an assembled model by the commands that a user gives: every stage finds what it stands on."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import think
from think.cli.app import run
from think.core import plugins
from think.core.critics import critic_run
from think.core.data.puzzles import FAMILY
from think.core.errors import Exit
from think.core.eval.reasoning.assembly import latent, planner
from think.core.eval.reasoning.searching import Searching
from think.core.planning.dynamics import Dynamics
from think.core.runs import RunFolder
from think.core.training import sealed
from think.core.training.checkpoint import Checkpoints
from think.core.training.predecessor import weights_digest

pytestmark = [pytest.mark.slow, pytest.mark.train]

MODEL = """
summary = "The whole pipeline at its smallest"

[model]
vocabulary = 80
width = 16
layers = 2
gamma = 0.1

[model.mixer]
kind = "hybrid"
rwkv = { heads = 2, mix_rank = 2, decay_rank = 2 }
mamba = { expand = 1, head_width = 8, state = 4 }
fusion = { kind = "gated" }

[model.feed_forward]
kind = "channel_mix"
inner = 16

[tokenizer]
kind = "character"

[data]
path = "data"
validation = 0.2
sources = [{ kind = "puzzles", task = { kind = "path_star", arms = 2, length = 2 }, count = 200 }]

[stage1]
steps = 20
rows = 4
length = 32
learning_rate = 0.01
evaluation = { every = 10, rows = 2 }

[stage2]
steps = 6
rows = 8
learning_rate = 0.01
pool = 16
dynamics = { latent = 8, embedding = 8 }
games = { kind = "puzzles" }
evaluation = { every = 3, rows = 8, rows_at_end = 16 }

[stage3]
steps = 6
rows = 8
learning_rate = 0.01
games = { kind = "puzzles" }
evaluation = { every = 3, rows = 8, rows_at_end = 16 }

[stage4]
steps = 6
rows = 8
learning_rate = 0.5
evaluation = { every = 3, rows = 8, rows_at_end = 16 }

[runtime]
device = "cpu"
threads = 1
"""

STAGES = ("stage1", "stage2", "stage3", "stage4")


def said(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """The JSON that a command prints, which must succeed."""
    assert run([*words, "--json"]) == 0, capsys.readouterr().err
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer["data"]


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = run([*words])
    return code, capsys.readouterr().err


def same_worlds(one: str, other: str) -> None:
    """Two runs with critics have the same model, critic and dynamics: nodes of searches are equal to the last bit."""
    found = []
    for judge in (critic_run(RunFolder(Path(folder))) for folder in (one, other)):
        thinker = think.load(judge.model)
        asked, task = Searching(simulations=2), plugins.load(FAMILY, "path_star")
        exact = planner(judge, thinker, task, asked.settings(task), legality=True).world
        foreseen = latent(judge, thinker, task, asked.settings(task))
        nodes = exact.root(torch.tensor([[1, 4, 5, 9, 7]]))
        nodes = exact.after(nodes, torch.tensor([3]))
        root = foreseen.dynamics.root(foreseen.read(torch.tensor([[1, 4, 5, 9, 7]])).residuals)
        ahead = foreseen.dynamics.world.step(root, torch.tensor([3])).states
        found.append([*nodes.parts.values(), root, ahead])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def exam(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, dict[str, tuple[Any, ...]]]:
    """The run that was asked, and of each arm what it solved and what that cost."""
    arms = ("search", "search_latent", "best_by_critic")
    named = [word for arm in arms for word in ("--arm", arm)]
    found = said(capsys, "eval", "reasoning", *words, *named, "--simulations", "4", "--count", "8")
    assert found["search"].get("prior", "model") == ("fused" if "fused" in words else "model")
    kept = ("solved", "flops_per_puzzle", "parameters")
    return found["run"], {arm["arm"]: tuple(arm[name] for name in kept) for arm in found["arms"]}


def last(folder: str) -> Path:
    found = Checkpoints(Path(folder) / "checkpoints").latest()
    assert found is not None
    return found


def test_every_stage_finds_what_it_stands_on_and_the_last_one_holds_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.toml").write_text(MODEL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    said(capsys, "data", "pack", "--preset", "small.toml")

    # Out of order: what is missing, and the command that makes it.
    code, told = refused(capsys, "train", "stage2", "--preset", "small.toml")
    assert code == Exit.MISSING
    assert "think train stage1 --preset small.toml" in told
    otherwise = ("--data", "data", "--set", "model.gamma=0.2", "--set", "stage2.steps=4")
    _, told = refused(capsys, "train", "stage2", "--preset", "small.toml", *otherwise)
    assert "remedy: think train stage1 --preset small.toml --set model.gamma=0.2 --data data\n" in told
    code, told = refused(capsys, "train", "stage2", "--preset", "shakespeare_char")
    assert code == Exit.BAD_SETTINGS
    assert "no [stage2]" in told

    made = {stage: said(capsys, "train", stage, "--preset", "small.toml", "--out", stage) for stage in STAGES}
    assert [made[stage]["steps"] for stage in STAGES] == [20, 6, 6, 6]
    assert made["stage1"].keys() >= {"tokens", "held_out_tokens"}
    assert made["stage2"]["rows"] == 48
    assert made["stage3"]["held_out"].keys() >= {"auroc"}

    # Each names the very weights that it stands on, down to the first.
    held = sealed.facts(last(made["stage4"]["path"]))
    below = held["predecessor"]
    for stage in reversed(STAGES[:-1]):
        assert (below["stage"], below["run"]) == (stage, stage)
        assert below["sha256"] == weights_digest(last(made[stage]["path"]))
        below = below["before"]
    assert below is None
    plan = json.loads((Path(made["stage4"]["path"]) / "plan.json").read_text())
    assert plan["predecessor"]["before"]["before"]["path"].endswith("stage1")

    # The last one is asked like the critic that it was made of: by itself, or beside the model that it stands on.
    same_worlds(made["stage3"]["path"], made["stage4"]["path"])
    judged = exam(capsys, "--critic", "stage3")
    assert judged[0] == "stage1"
    assert exam(capsys, "stage1", "--critic", "stage4") == judged
    assert exam(capsys, "--critic", "stage4") == exam(capsys, "stage4") == ("stage4", judged[1])
    _, fused = exam(capsys, "stage4", "--prior", "fused")
    assert fused["search"][1] > judged[1]["search"][1], "the layers are weighed at every place"
    assert fused["search"][2]["fusion"] == 2
    for arm in ("search_latent", "best_by_critic"):
        assert fused[arm][:2] == judged[1][arm][:2], "it has no use for them"
    for wrong, says in (
        (("--critic", "stage3", "--arm", "search"), "has the weight of each layer"),
        (("--critic", "stage4", "--arm", "greedy"), "prior has no effect on greedy"),
    ):
        code, told = refused(capsys, "eval", "reasoning", *wrong, "--prior", "fused")
        assert (code != 0, says in " ".join(told.split())) == (True, True), told
    swept = said(capsys, "eval", "sweep", "stage4", "--study", "prior", "--simulations", "2", "--count", "8")
    assert swept["values"] == ["model", "fused"]

    # The same data in another place are the same data.
    Path("data").rename("elsewhere")
    for stage in STAGES[1:]:
        code, told = refused(capsys, "train", stage, "--preset", "small.toml", "--dry-run")
        assert code == Exit.MISSING
        assert "there are no packed data" in told
        assert "steps" in said(capsys, "train", stage, "--preset", "small.toml", "--data", "elsewhere", "--dry-run")
    Path("elsewhere").rename("data")

    # Going on: as before, but on no other weights.
    again = said(capsys, "train", "stage3", "--resume", "--out", "stage3", "--set", "stage3.steps=8")
    assert again["steps"] == 8
    said(capsys, "train", "stage1", "--preset", "small.toml", "--seed", "1", "--out", "other")
    code, told = refused(capsys, "train", "stage2", "--resume", "--out", "stage2", "--from", "other")
    assert code == Exit.BAD_SETTINGS
    assert "another predecessor" in told
    code, told = refused(capsys, "train", "stage3", "--preset", "small.toml", "--from", "stage1")
    assert code == Exit.USAGE
    assert "stage3 stands on stage2" in told
    changed = ("--set", "model.feed_forward.inner=32")
    code, told = refused(capsys, "train", "stage2", "--preset", "small.toml", *changed, "--from", "stage1")
    assert code == Exit.BAD_SETTINGS
    assert "model.feed_forward.inner: 16 in the run, 32 now" in told

    # What the runs hold can be used, shown and listed.
    assert "parameters" in said(capsys, "train", "stage4", "--preset", "small.toml", "--dry-run")
    code, told = refused(capsys, "generate", "--run", "stage2")
    assert code == Exit.BAD_SETTINGS
    assert "stage1" in told
    listed = said(capsys, "runs", "list")
    assert {row["stage"] for row in listed} == set(STAGES)
    for stage in STAGES:
        said(capsys, "runs", "show", stage)

    # What they reach on held-out puzzles: the model alone, and searches with both worlds.
    arms = ("greedy", "search", "search_latent")
    words = [word for arm in arms for word in ("--arm", arm)]
    asked = said(capsys, "eval", "reasoning", "--critic", "stage3", *words, "--simulations", "4", "--count", "8")
    assert [(arm["arm"], arm["count"]) for arm in asked["arms"]] == [(arm, 8) for arm in arms]
    costs = {arm["arm"]: arm["flops_per_puzzle"] for arm in asked["arms"]}
    assert costs["search"] > costs["greedy"], "it searched"
    (alone,) = said(capsys, "eval", "reasoning", "stage4", "--arm", "greedy", "--count", "8")["arms"]
    assert alone["solved"] == asked["arms"][0]["solved"], "the assembled model is that of stage 1"

    # A part that does not do what it did when it was trained is refused by name.
    root = Dynamics.root
    with monkeypatch.context() as patch:
        patch.setattr(Dynamics, "root", lambda self, residuals: -root(self, residuals))
        code, told = refused(capsys, "train", "stage4", "--preset", "small.toml", "--from", "stage3")
    assert code == Exit.BAD_DATA
    assert "the dynamics of stage2 does not do what it did" in told

    # The backbone learns from searches where that is asked for, which moves what reads it.
    distilled = ("--out", "taught", "--set", "stage4.distillation.simulations=4")
    taught = said(capsys, "train", "stage4", "--preset", "small.toml", *distilled)
    assert made["stage4"]["held_out"]["dynamics_moved"] == 0.0
    assert taught["held_out"]["dynamics_moved"] > 0.0
    assert exam(capsys, "--critic", "taught")[0] == "taught"
    code, told = refused(capsys, "eval", "reasoning", "stage1", "--critic", "taught", "--arm", "search")
    assert code == Exit.BAD_SETTINGS
    assert "which has learned from searches" in " ".join(told.split())
    code, told = refused(capsys, "eval", "reasoning", "other", "--critic", "stage4", "--arm", "search")
    assert code == Exit.BAD_SETTINGS
    assert "belongs to the model that this run holds" in " ".join(told.split())

    # The last one needs none of the others.
    for stage in STAGES[:-1]:
        shutil.rmtree(made[stage]["path"])
    whole, tensors = think.load(made["stage4"]["path"]), sealed.read(last(made["stage4"]["path"]), ("model",))["model"]
    assert whole.parts is not None
    assert whole.model is whole.parts.backbone
    assert (whole.parts.critic.examined > 0).all(), "stage 3 has examined its critic, and the assembly knows"
    assert float(whole.parts.fusion.weights.detach().sum()) == pytest.approx(1.0)
    assert not torch.equal(whole.parts.fusion.theta, torch.zeros(2)), "the weights of the layers have learned"
    assert {name.partition(".")[0] for name in tensors} == {"actions", "backbone", "critic", "dynamics", "fusion"}
    assert whole.generate("1", tokens=3, seed=1) is not None
    assert exam(capsys, "stage4", "--prior", "fused")[0] == "stage4"
