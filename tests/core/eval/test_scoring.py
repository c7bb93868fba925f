"""Scaled accuracy and its interval, against values worked out by hand."""

import pytest

from think.core.eval.scoring import score
from think.core.eval.summary import summarise
from think.core.eval.tasks import Result
from think.core.statistics import wilson


def result(shares: list[tuple[int, int]], *, chance: float = 0.5, rows: int = 100, task: str = "parity") -> Result:
    scores = tuple(score(size, [1] * right + [0] * (rows - right), [1] * rows, chance) for size, right in shares)
    return Result("run", task, (8, 40), scores, {})


def test_guessing_is_zero_and_every_answer_right_is_one() -> None:
    for chance in (0.5, 0.2, 1 / 120):
        assert score(8, [1] * 50, [1] * 50, chance).scaled.value == pytest.approx(1)
        assert score(8, [1] * 50, [1] * 50, chance).scaled.high == 1
    assert score(8, [1] * 60 + [0] * 240, [1] * 300, 0.2).scaled.value == pytest.approx(0)
    assert score(8, [0] * 10, [1] * 10, 0.5).scaled.value == pytest.approx(-1)


def test_the_interval_is_wilson_s_of_rows_whatever_the_number_of_questions() -> None:
    found = score(8, [4] * 30 + [0] * 10, [8] * 40, 0.25)
    assert (found.rows, found.questions) == (40, 320)
    assert found.accuracy.value == pytest.approx(0.375)
    expected = wilson(15, 40)
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx((expected.low, expected.high))
    assert found.scaled.low == pytest.approx((expected.low - 0.25) / 0.75)
    assert found.accuracy.count == 40


def test_rows_without_questions_are_refused() -> None:
    for right, asked in (([], []), ([0], [0]), ([1, 1], [1])):
        with pytest.raises(ValueError, match="rows of answers"):
            score(8, right, asked, 0.5)


def test_one_seed_has_the_interval_of_its_rows_and_several_student_s() -> None:
    one = summarise([result([(40, 90)])])[0]
    assert one.scaled.low == pytest.approx(2 * wilson(90, 100).low - 1)
    three = summarise([result([(40, right)]) for right in (80, 85, 90)])[0]
    # mean 0.7, s = 0.1, t(2, 97.5 %) = 4.3027
    assert three.scaled.value == pytest.approx(0.7)
    assert three.scaled.low == pytest.approx(0.7 - 4.3027 * 0.1 / 3**0.5, abs=1e-4)
    assert three.scaled.high == pytest.approx(0.7 + 4.3027 * 0.1 / 3**0.5, abs=1e-4)
    assert three.each == pytest.approx((0.6, 0.7, 0.8))


def test_seeds_that_agree_leave_open_what_their_rows_leave_open() -> None:
    equal = summarise([result([(40, 100)]) for _ in range(3)])[0].scaled
    assert equal.low == pytest.approx(2 * wilson(300, 300).low - 1)
    assert (equal.value, equal.high, equal.count) == (1.0, 1.0, 3)


def test_no_interval_leaves_what_a_share_can_be() -> None:
    wide = summarise([result([(40, right)]) for right in (100, 100, 40)])[0].scaled
    assert (wide.low, wide.high) == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("right", "says"),
    [(100, "solved"), (97, "above guessing"), (70, "above guessing"), (50, "guessing"), (56, "cannot tell")],
)
def test_words_follow_the_interval(right: int, says: str) -> None:
    assert summarise([result([(40, 10 * right)], rows=1000) if right != 56 else result([(40, 56)])])[0].says == says


def test_different_tasks_and_sizes_have_no_common_figure() -> None:
    with pytest.raises(ValueError, match="different tasks"):
        summarise([result([(40, 90)]), result([(40, 90)], task="z5")])
    with pytest.raises(ValueError, match="different sizes"):
        summarise([result([(40, 90)]), result([(64, 90)])])


def test_trained_sizes_are_told_from_longer_ones() -> None:
    found = result([(20, 90), (40, 90), (64, 60)])
    assert [score.size for score in found.within()] == [20, 40]
    assert [score.size for score in found.beyond()] == [64]
    assert [at.trained for at in summarise([found])] == [True, True, False]
