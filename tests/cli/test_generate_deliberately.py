"""`think generate --deliberate`: searches run and plans move the text, by a critic that was trained and examined."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from think.cli.app import run
from think.cli.generate_deliberately import unmoved
from think.core.errors import Exit
from think.core.planning.critic import Critic
from think.core.planning.plans import Fate
from think.core.telemetry.index import Index
from think.core.telemetry.records import misfits
from think.core.telemetry.tail import read
from think.core.training.checkpoint import Checkpoints
from think.core.training.sealed import facts
from think.core.training.sealed import read as read_sealed
from think.tui.screens.deliberation import SPEC as SCREEN
from think.tui.views.extra.deliberation import SPEC as FOLLOWED

pytestmark = [pytest.mark.slow, pytest.mark.train]

MODEL = """
summary = "Texts, every stage at its smallest"

[model]
vocabulary = 96
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
validation = 0.3
sources = [{ kind = "stories", count = 60 }]

[stage1]
steps = 8
rows = 4
length = 32
learning_rate = 0.02
evaluation = { every = 8, rows = 2, tokens = 256 }

[stage2]
steps = 4
rows = 8
learning_rate = 0.01
pool = 16
dynamics = { latent = 8, embedding = 8 }
games = { kind = "texts", prompt = 8, steps = 4 }
evaluation = { every = 4, rows = 8, rows_at_end = 16 }

[stage3]
steps = 30
rows = 24
learning_rate = 0.03
games = { kind = "texts", prompt = 8, steps = 4 }
calibration = 200
evaluation = { every = 30, rows = 8, rows_at_end = 16 }

[stage4]
steps = 2
rows = 8
learning_rate = 0.5
evaluation = { every = 2, rows = 8, rows_at_end = 16 }

[runtime]
device = "cpu"
threads = 1
"""

TEXT = ("--prompt", "The", "--seed", "1", "--tokens", "40")
ASKED = ("--deliberate", "--every", "4")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of all stages, and a transformer that has none but the first."""
    folder = tmp_path_factory.mktemp("speaks")
    (folder / "small.toml").write_text(MODEL, encoding="utf-8")
    plain = MODEL[MODEL.index("[model.feed_forward]") :]
    attention = '[model.mixer]\nkind = "attention"\nheads = 2\ncontext = 64\n\n'
    head = MODEL[: MODEL.index("[model.mixer]")]
    (folder / "plain.toml").write_text(head + attention + plain, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CONFIG_HOME", str(folder))
        assert run(["data", "pack", "--preset", "small.toml"]) == Exit.DONE
        for stage in ("stage1", "stage2", "stage3", "stage4"):
            assert run(["train", stage, "--preset", "small.toml", "--out", stage]) == Exit.DONE
        assert run(["train", "stage1", "--preset", "plain.toml", "--out", "plain"]) == Exit.DONE
    return folder


@pytest.fixture(autouse=True)
def _there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("THINK_RUNS", str(place / "runs"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place))
    monkeypatch.setenv("THINK_THREADS", "1")


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[dict[str, Any], list[str]]:
    """What a call gives, and its warnings."""
    capsys.readouterr()
    assert run(["generate", "--json", *TEXT, *words]) == Exit.DONE, capsys.readouterr().err
    envelope = json.loads(capsys.readouterr().out)
    return envelope["data"], envelope["warnings"]


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    code = run(["generate", *words])
    return code, capsys.readouterr().err


def test_searches_run_and_plans_are_injected(capsys: pytest.CaptureFixture[str]) -> None:
    data, warnings = answer(capsys, "--run", "stage4", *ASKED, "--lag", "0", "--rate", "0.9")
    found, common = data["deliberation"], data["deliberated"]
    assert warnings == []
    assert common["doubt"] is None
    assert min(common["trust"]) > 0
    assert data["tokens"] > 20
    assert found["searches"] == -(-data["tokens"] // 4), "one after the first token, and one every four"
    assert found["injections"] == found["fates"]["on_time"] > 0
    assert found["plans"] == sum(found["fates"].values())
    assert found["lag_tokens"] == 0
    assert found["lag_milliseconds"] > 0
    assert found["tokens_per_second"] > 0


def test_beside_a_text_as_it_is_written_every_plan_is_accounted_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing here is told when a plan comes; that one came and was injected is a matter of time, so none is late."""
    words = ("--set", "injection.longest_lag=100000", "--set", "deliberation.busy=1.0")
    data, _ = answer(capsys, "--run", "stage4", "--deliberate", "--every", "2", "--simulations", "1", *words)
    found = data["deliberation"]
    ends = found["refused"] + found["abandoned"] + found["failed"] + found["silent"] + found["plans"]
    assert found["asked"] == ends > 0
    assert found["plans"] == sum(found["fates"].values())


def test_a_rate_of_nothing_leaves_the_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    alone, _ = answer(capsys, "--run", "stage4")
    nothing, _ = answer(capsys, "--run", "stage4", *ASKED, "--lag", "1", "--rate", "0")
    moved, _ = answer(capsys, "--run", "stage4", *ASKED, "--lag", "1", "--rate", "1", "--set", "injection.decay=1")
    assert nothing["text"] == alone["text"]
    assert nothing["deliberation"]["searches"] > 0
    assert nothing["deliberation"]["injections"] == 0
    assert moved["deliberation"]["injections"] > 0
    assert moved["deliberation"]["lag_tokens"] == 1


def test_equal_seeds_give_equal_texts_alone_and_among_others(capsys: pytest.CaptureFixture[str]) -> None:
    noisy = (*ASKED, "--lag", "2", "--rate", "1", "--set", "search.rule.noise=1.0")
    one, _ = answer(capsys, "--run", "stage4", *noisy, "--seed", "2")
    several, _ = answer(capsys, "--run", "stage4", *noisy, "--samples", "2")
    first, second = several["texts"]
    assert second["text"] == one["text"]
    counts = ("searches", "injections", "fates")
    assert [second["deliberation"][name] for name in counts] == [one["deliberation"][name] for name in counts]
    assert first["text"] != second["text"]


def test_a_critic_and_its_dynamics_are_found_by_name_and_from_their_model(capsys: pytest.CaptureFixture[str]) -> None:
    words = (*ASKED, "--lag", "0")
    whole, _ = answer(capsys, "--run", "stage4", *words)
    for named in (("--critic", "stage3"), ("--run", "stage1"), ("--run", "stage1", "--critic", "stage3")):
        found, _ = answer(capsys, *named, *words)
        assert found["model"].endswith("stage1/checkpoints/step-00000008")
        assert "stage3" in found["deliberated"]["critic"]
        assert found["deliberation"]["fates"] == whole["deliberation"]["fates"]
        assert found["text"] == whole["text"]
    for named in (("--critic", "stage4"), ("--run", "stage1", "--critic", "stage4")):
        found, _ = answer(capsys, *named, *words)
        assert ("stage1" in found["model"], "stage4" in found["deliberated"]["critic"]) == ("--run" in named, True)
        assert found["text"] == whole["text"], "the model of stage 1 has the same weights"
    newest, _ = answer(capsys, *words)
    assert newest["model"] == whole["model"], "a whole run of stage 4 comes first"


@pytest.mark.parametrize(
    ("words", "where", "value"),
    [
        (("--simulations", "3"), "search.simulations", 3),
        (("--considered", "2"), "search.rule.considered", 2),
        (("--every", "9"), "deliberation.every", 9),
        (("--ahead", "2"), "deliberation.ahead", 2),
        (("--rate", "0.3"), "injection.rate", 0.3),
        (("--set", "plan.longest=2"), "plan.longest", 2),
        (("--set", "search.rule.kind=puct"), "search.rule.kind", "puct"),
        (("--set", "search.depth=1"), "search.depth", 1),
    ],
)
def test_what_is_asked_is_what_is_done(
    words: tuple[str, ...], where: str, value: Any, capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    """Beside what the settings say, the records of searches must tell of it."""
    found = place / "runs" / "stage4" / "deliberations"
    told: list[Any] = []
    for asked in ((), words):
        shutil.rmtree(found, ignore_errors=True)
        data, _ = answer(capsys, "--run", "stage4", "--deliberate", "--lag", "0", "--every", "4", "--record", *asked)
        records = [record for record in read(found) if record.kind in ("search", "injection")]
        dropped = ("seconds", "waited", "milliseconds")
        told.append([{key: each for key, each in record.fields.items() if key not in dropped} for record in records])
    shutil.rmtree(found)
    held = data["deliberated"]["settings"]
    for key in where.split("."):
        held = held[key]
    assert held == value
    assert told[0] != told[1]


def test_the_monitor_shows_what_was_recorded(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    folder = place / "runs" / "stage4"
    before = {path.name: path.read_bytes() for path in folder.glob("telemetry-*")}
    data, _ = answer(capsys, "--run", "stage4", *ASKED, "--lag", "0", "--record", "--samples", "2")
    records = read(folder / "deliberations")
    assert not any(misfits(record.kind, record.fields) for record in records)
    assert {record.fields["generation"] for record in records if record.kind == "search"} == {1, 2}
    assert {path.name: path.read_bytes() for path in folder.glob("telemetry-*")} == before, (
        "the training log is as it was"
    )
    seen = FOLLOWED(Index(folder), None)
    assert seen is not None
    searches = sum(text["deliberation"]["searches"] for text in data["texts"])
    assert seen.searched == searches
    injected = sum(count for fate, count in seen.fates if fate == "on_time")
    assert injected == sum(text["deliberation"]["injections"] for text in data["texts"])
    assert SCREEN.key == "7"
    shutil.rmtree(folder / "deliberations")


def test_without_an_examined_critic_nothing_is_injected_and_the_text_says_why(
    capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path
) -> None:
    """A checkpoint from before critics were examined, as it would be: without what came later."""
    copy = shutil.copytree(place / "runs" / "stage4", tmp_path / "older")
    (checkpoint,) = (path for path in (copy / "checkpoints").iterdir() if path.name.startswith("step-"))
    held, told = read_sealed(checkpoint, ("model",))["model"], facts(checkpoint)
    shutil.rmtree(copy / "checkpoints")
    left = {name: value for name, value in held.items() if name.rpartition(".")[2] not in Critic.CAME_LATER}
    assert len(left) == len(held) - 3
    Checkpoints(copy / "checkpoints").save(told["step"], {"model": left}, told)
    data, warnings = answer(capsys, "--run", str(copy), *ASKED, "--lag", "0", "--rate", "1")
    assert data["deliberation"]["searches"] > 0
    assert data["deliberation"]["injections"] == 0
    assert data["deliberation"]["fates"]["closed"] == data["deliberation"]["plans"]
    assert any("never examined" in warning and "think train stage4" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({"injections": 1, "late": 1}, None),
        ({"asked": 0}, None),
        ({"closed": 2, "plans": 2}, "every gate was closed"),
        ({"unused": 1, "plans": 1}, "--lag N"),
        ({"abandoned": 1}, "--lag N"),
        ({"too_late": 1, "plans": 1}, "no plan came in time"),
        ({}, "no search proposed anything"),
    ],
)
def test_people_are_told_why_nothing_moved(counts: dict[str, int], says: str | None) -> None:
    told = {"asked": 1, "abandoned": 0, "plans": 0, "injections": 0} | counts
    found = unmoved(told | {"fates": {fate.value: 0 for fate in Fate} | counts})
    assert (found is None) if says is None else (says in str(found))


def test_people_are_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["generate", *TEXT, "--run", "stage4", *ASKED, "--lag", "1"]) == Exit.DONE
    captured = capsys.readouterr()
    assert captured.out.startswith("The")
    (line,) = (line for line in captured.err.splitlines() if line.startswith("deliberation:"))
    assert " searches; " in line
    assert "1 tokens and" in line
    assert line.endswith("tokens/s")


def test_what_cannot_be_asked(capsys: pytest.CaptureFixture[str], place: Path, tmp_path: Path) -> None:
    code, told = refused(capsys, *TEXT, "--run", "plain", "--deliberate")
    assert (code, "no recurrent state" in told) == (Exit.BAD_DATA, True)
    for option in (("--lag", "2"), ("--critic", "stage3"), ("--set", "plan.longest=2"), ("--record",)):
        code, told = refused(capsys, *TEXT, *option)
        assert code == Exit.USAGE
        assert f"{option[0]} is for deliberation" in told
    assert refused(capsys, *TEXT, "--deliberate", "--simulations", "0")[0] == Exit.USAGE
    code, told = refused(capsys, *TEXT, "--run", "stage4", "--deliberate", "--considered", "97")
    assert (code, "at most 96" in told) == (Exit.BAD_SETTINGS, True)
    code, told = refused(capsys, *TEXT, "--run", "stage4", "--deliberate", "--set", "injection.rat=1", "--rate", "0.1")
    assert (code, "did you mean injection.rate?" in told) == (Exit.BAD_SETTINGS, True)
    code, told = refused(capsys, *TEXT, "--run", "stage2", "--deliberate")
    assert (code, "stage1" in told) == (Exit.BAD_SETTINGS, True)
    other = shutil.copytree(place / "runs" / "stage1", tmp_path / "runs" / "alone")
    code, told = refused(capsys, *TEXT, "--run", str(other), "--deliberate")
    assert (code, "think train stage3" in told) == (Exit.MISSING, True)
    code, told = refused(capsys, *TEXT, "--run", str(other), "--deliberate", "--critic", "stage3")
    assert (code, "was trained on stage1" in told) == (Exit.BAD_SETTINGS, True)
    assert run(["runs", "export", "stage1", "--to", "huggingface", "--out", str(tmp_path / "exported")]) == Exit.DONE
    code, told = refused(capsys, *TEXT, "--model", str(tmp_path / "exported"), "--deliberate")
    assert (code, "no critic beside it" in told) == (Exit.USAGE, True)
