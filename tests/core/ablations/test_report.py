"""Verdicts on ledgers with known figures."""

import math
from pathlib import Path

import pytest
from scipy.stats import t as student_t

from tests.core.ablations.conftest import Made
from think.core.ablations import markdown
from think.core.ablations.report import Report, Row, make
from think.core.errors import BadSettings


def judged(made: Made) -> Report:
    return make(made.study, made.cells, made.ledger.read(), made.budget)


def row(report: Report, name: str) -> Row:
    return next(row for row in report.rows if row.variant == name)


def test_a_clear_difference_helps_or_hurts_and_its_interval_is_student_s(root: Path) -> None:
    made = Made(root, ("base", "good", "bad"), (0, 1, 2))
    made.losses({"base": [3.0, 3.1, 3.2], "good": [2.8, 2.91, 3.0], "bad": [3.4, 3.51, 3.6]})
    found = judged(made)
    assert [row.verdict for row in found.rows] == ["base", "helps", "hurts"]
    differences = [-0.2, -0.19, -0.2]
    mean = sum(differences) / 3
    deviation = math.sqrt(sum((d - mean) ** 2 for d in differences) / 2)
    half = student_t.ppf(0.975, 2) * deviation / math.sqrt(3)
    interval = row(found, "good").comparison.difference
    assert interval.value == pytest.approx(mean)
    assert (interval.low, interval.high) == pytest.approx((mean - half, mean + half))


def test_one_pair_tells_nothing(root: Path) -> None:
    made = Made(root, ("base", "other"), (0,))
    made.losses({"base": [3.0], "other": [1.0]})
    other = row(judged(made), "other")
    assert (other.verdict, other.more) == ("cannot tell", 1)
    assert other.said == "cannot tell, 1 more seed at least"


def test_few_noisy_pairs_cannot_tell_and_say_how_many_more(root: Path) -> None:
    made = Made(root, ("base", "other"), (0, 1, 2))
    made.losses({"base": [3.0, 3.0, 3.0], "other": [2.9, 3.0, 2.8]})
    other = row(judged(made), "other")
    assert other.comparison is not None
    assert other.comparison.difference.low < 0 < other.comparison.difference.high
    assert other.verdict == "cannot tell"
    assert other.more is not None
    assert other.said == f"cannot tell, {other.more} more seeds"
    assert other.more > 1


def test_holm_takes_back_what_one_comparison_alone_would_have_told(root: Path) -> None:
    alone = Made(root / "alone", ("base", "slight"), (0, 1, 2))
    losses = {"base": [3.0, 3.0, 3.0], "slight": [2.90, 2.92, 2.95]}
    alone.losses(losses)
    slight = row(judged(alone), "slight")
    assert slight.verdict == "helps"
    assert 0.02 < slight.p < 0.05
    many = Made(root / "many", ("base", "slight", "idle", "lame"), (0, 1, 2))
    many.losses({**losses, "idle": [3.1, 2.9, 3.0], "lame": [3.05, 2.9, 3.1]})
    corrected = row(judged(many), "slight")
    assert corrected.p == pytest.approx(3 * slight.p)
    assert corrected.comparison.difference.excludes_zero
    assert corrected.verdict == "cannot tell"
    assert corrected.more >= 1


def test_equal_figures_are_said_to_be_equal_and_no_effect_is_claimed(root: Path) -> None:
    made = Made(root, ("base", "same"), (0, 1))
    made.losses({"base": [3.0, 3.1], "same": [3.0, 3.1]})
    same = row(judged(made), "same")
    assert same.comparison.difference.value == 0
    assert same.verdict == "cannot tell"
    assert "exactly equal in all 2 pairs" in same.said


@pytest.mark.parametrize(
    ("shared", "named"),
    [
        ({"pack": "other", "order": "order of seed 1", "tokens": 128}, "data other, not pack"),
        ({"pack": "pack", "order": "turned", "tokens": 128}, "order of the data turned"),
        ({"pack": "pack", "order": "order of seed 1", "tokens": 64}, "tokens 64, not 128"),
    ],
)
def test_cells_that_share_too_little_are_not_paired(root: Path, shared: dict[str, object], named: str) -> None:
    made = Made(root, ("base", "other"), (0, 1))
    made.losses({"base": [3.0, 3.1], "other": [2.0]})
    made.finish("other", 1, 2.1, shared=shared)
    report = judged(made)
    other = row(report, "other")
    assert other.comparison.difference.count == 1
    assert other.verdict == "cannot tell"
    assert other.refused[0].startswith(f"seed 1: {named}")
    assert f"`other` is not paired at seed 1: {named}" in markdown.text(report)


def test_iqm_from_four_seeds_on_and_the_noise_floor_of_the_base(root: Path) -> None:
    made = Made(root, ("base", "other"), (0, 1, 2, 3))
    made.losses({"base": [3.0, 3.1, 3.2, 9.0], "other": [3.0, 3.0, 3.0]})
    found = judged(made)
    assert row(found, "base").iqm == pytest.approx(3.15)
    assert row(found, "other").iqm is None
    spread = math.sqrt(sum((x - 4.575) ** 2 for x in (3.0, 3.1, 3.2, 9.0)) / 3)
    assert found.noise == pytest.approx(student_t.ppf(0.975, 3) * spread * math.sqrt(2))


def test_failed_and_missing_cells_are_listed_and_the_rest_is_judged(root: Path) -> None:
    made = Made(root, ("base", "other"), (0, 1, 2))
    made.losses({"base": [3.0, 3.1, 3.2], "other": [2.8, 2.9]})
    made.ledger.append("failed", made.facts("other", 2, exit=4, message="the loss of step 3 is nan"))
    report = judged(made)
    assert row(report, "other").comparison.difference.count == 2
    assert [(cell.variant.name, entry.state) for cell, entry in report.missing] == [("other", "failed")]
    text = markdown.text(report)
    assert "| `other` | 2 | failed | the loss of step 3 is nan |" in text
    assert "5 of 6 cells are finished" in text


def test_a_model_of_another_size_is_marked(root: Path) -> None:
    made = Made(root, ("base", "larger", "like"), (0, 1), parameters={"larger": 1060, "like": 1050})
    made.losses({"base": [3.0, 3.1], "larger": [2.8, 2.9], "like": [3.0, 3.1]})
    report = judged(made)
    assert row(report, "larger").unequal == pytest.approx(0.06)
    assert row(report, "like").unequal is None
    assert "1,060 (+6%)\\*" in markdown.text(report)


def test_a_figure_of_which_more_is_better_turns_the_verdict(root: Path) -> None:
    made = Made(root, ("base", "fast"), (0, 1, 2))
    for name, speeds in {"base": [100.0, 101.0, 102.0], "fast": [200.0, 201.0, 202.5]}.items():
        for seed, speed in enumerate(speeds):
            figures = {"held_out_loss": 3.0, "tokens_per_second": speed}
            made.ledger.append("finished", made.facts(name, seed, figures=figures, measures=["training"]))
    changed = made.study.settings.model_copy(update={"metric": "tokens_per_second"})
    object.__setattr__(made.study, "settings", changed)
    assert row(judged(made), "fast").verdict == "helps"


def test_an_unknown_figure_is_refused_with_the_known_ones(root: Path) -> None:
    made = Made(root, ("base", "other"), (0,), also=("accuracy",))
    with pytest.raises(BadSettings, match="accuracy") as error:
        judged(made)
    assert "held_out_loss" in (error.value.expected or "")


def test_code_that_changed_between_cells_is_said(root: Path) -> None:
    made = Made(root, ("base", "other"), (0,))
    made.finish("base", 0, 3.0)
    made.finish("other", 0, 3.0, code="d" * 64)
    assert any("2 states of the source" in note for note in judged(made).notes)


def test_the_report_names_the_command_of_every_cell(root: Path) -> None:
    made = Made(root, ("base", "other"), (0, 1))
    made.losses({"base": [3.0, 3.1], "other": [2.8, 2.9]})
    text = markdown.text(judged(made))
    assert text.count("think train stage1 --preset tiny") == 4
    assert "think ablate run made.toml --seeds 0,1" in text
