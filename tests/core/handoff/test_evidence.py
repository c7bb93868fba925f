"""Runs and verdicts as evidence: figures with seed, count and interval, held against their files later."""

import json

import pytest

from think.core.errors import BadData, Missing
from think.core.gates import store
from think.core.gates.evidence import Source
from think.core.gates.verdict import Finding, Status, Verdict
from think.core.handoff import audit, evidence, log, rules
from think.core.runs import RunFolder
from think.core.telemetry.writer import Writer as Telemetry


def train(root, name="tiny", losses=(2.0, 1.5), finished=True):
    """A run folder as training leaves it, written by the real writer."""
    run = RunFolder.create(root / "runs", name)
    run.settings_file.write_text("seed = 3\n")
    with Telemetry(run.path) as telemetry:
        telemetry.write("run_start", step=0, stage="stage1", seed=3, steps=100, digests={"stage1": "d"})
        for step, loss in enumerate(losses, start=1):
            telemetry.write(
                "eval", step=50 * step, split="held_out", loss=loss, tokens=4096, interval=[loss - 1, loss + 1]
            )
        if finished:
            telemetry.write("run_end", step=100, status="finished")
    return run


def judged(run, gate="g2", status=Status.FAIL, time="2030-05-01T12:00:00Z"):
    finding = Finding("entropy", status, "6.09 nats", "2.0 to 5.0", value=6.09, count=512, interval=(6.0, 6.2))
    thresholds = {"low": 2.0}
    stored = store.Stored(gate, Verdict.of([finding]), thresholds, "abc", None, Source(seed=7), time)
    store.append(run.gates_file, stored)


def test_a_run_gives_its_newest_held_out_loss_with_seed_count_and_interval(project):
    found = evidence.of_run(train(project.root), project.root)
    assert (found["kind"], found["run"], found["seed"]) == ("run", "tiny", 3)
    assert (found["value"], found["count"], found["interval"]) == (1.5, 4096, [0.5, 2.5])
    assert found["text"] == "finished after 100 steps of 100, held-out loss 1.5000 nats per token"
    assert set(found["sources"]) == {"runs/tiny/settings.toml", "runs/tiny/telemetry-0001.jsonl"}


def test_a_run_without_figures_says_so_and_a_blank_one_is_refused(project):
    assert "no held-out loss" in evidence.of_run(train(project.root, losses=()), project.root)["text"]
    blank = RunFolder.create(project.root / "runs", "blank")
    with pytest.raises(BadData, match="recorded nothing"):
        evidence.of_run(blank, project.root)


def test_a_loss_that_is_not_finite_can_be_entered(project):
    found = evidence.of_run(train(project.root, losses=(float("nan"),)), project.root)
    assert found["value"] == "nan"
    project.do("agent-a", rules.progress, evidence=[found])
    assert log.read(project.folder).evidence["E1"].value == "nan"


def test_a_verdict_gives_its_word_its_figure_and_where_it_stands(project):
    run = train(project.root)
    judged(run, status=Status.PASS)
    judged(run)
    found = evidence.of_gate("g2", run, project.root / "runs", project.root)
    assert (found["verdict"], found["passed"], found["seed"]) == ("FAIL", False, 7)
    assert (found["value"], found["count"], found["interval"]) == (6.09, 512, [6.0, 6.2])
    assert found["sources"]["runs/tiny/gates.jsonl"]["bytes"] == run.gates_file.stat().st_size


def test_a_gate_that_was_not_judged_says_how_to_judge_it(project):
    with pytest.raises(Missing) as caught:
        evidence.of_gate("g3", train(project.root), project.root / "runs", project.root)
    assert caught.value.remedy == "judge it: think gate g3 --run tiny"


@pytest.mark.parametrize(
    ("status", "passed"), [("PASS", True), ("WARN", True), ("FAIL", False), ("NO_EVIDENCE", None), ("BLOCKED", None)]
)
def test_only_a_verdict_that_was_reached_speaks_for_anything(project, status, passed):
    run = train(project.root)
    judged(run, status=Status(status))
    assert evidence.of_gate("g2", run, project.root / "runs", project.root)["passed"] is passed


def test_the_board_shows_the_newest_verdict_of_each_gate_and_run(project):
    run = train(project.root)
    for status in (Status.PASS, Status.FAIL):
        judged(run, status=status)
        found = evidence.of_gate("g2", run, project.root / "runs", project.root)
        project.do("agent-a", rules.progress, evidence=[found])
    assert [each.verdict for each in log.read(project.folder).gates()] == ["FAIL"]


def test_the_verdict_of_a_gate_without_a_run_is_the_one_that_was_reached_last(project):
    runs_folder = project.root / "runs"
    assert evidence.judged_last("g2", runs_folder) is None
    first, second = train(project.root, "first"), train(project.root, "second")
    judged(first, time="2030-05-02T12:00:00Z")
    judged(second, time="2030-05-01T12:00:00Z")
    judged(second, gate="g1", time="2030-05-09T12:00:00Z")
    assert evidence.judged_last("g2", runs_folder) == first


def look(project):
    state = log.read(project.folder)
    found = audit.audit(project.folder, project.root, state, project.clock.now, look_at_evidence=True)
    return [(each.weight, each.where) for each in found if each.where.startswith("E")]


def test_evidence_is_held_against_the_run_it_came_from(project):
    run = train(project.root, finished=False)
    project.do("agent-a", rules.progress, evidence=[evidence.of_run(run, project.root)])
    assert look(project) == []
    (telemetry,) = run.path.glob("telemetry-*.jsonl")
    content = telemetry.read_bytes()
    with open(telemetry, "ab") as file:
        file.write(b'{"more": 1}\n')  # a run that goes on is no contradiction
    assert look(project) == []
    telemetry.write_bytes(content.replace(b"1.5", b"0.5"))
    assert look(project) == [("wrong", "E1")]
    telemetry.unlink()
    assert look(project) == [("gone", "E1")]


def test_evidence_that_was_changed_in_the_log_is_found_by_its_own_digest(project):
    found = evidence.of_run(train(project.root), project.root)
    project.do("agent-a", rules.progress, evidence=[{**found, "text": "held-out loss 0.1"}])
    assert look(project) == [("wrong", "E1")]


def test_gone_evidence_is_no_verdict_and_wrong_evidence_is_wrong():
    gone, wrong = (audit.Finding(weight, "E1", "", "") for weight in ("gone", "wrong"))
    assert [int(audit.exit_code(found)) for found in ([], [gone], [wrong], [gone, wrong])] == [0, 3, 1, 1]


def test_evidence_survives_as_json(project):
    found = evidence.of_run(train(project.root), project.root)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
