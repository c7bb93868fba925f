"""Records: what they promise, and that nothing cheap passes their validators."""

import itertools
import json
import re
from fractions import Fraction
from pathlib import Path

import pytest

from think.core import plugins
from think.core.data.reasoning import records
from think.core.data.reasoning.checking import check, solves
from think.core.data.reasoning.kinds import FAMILY
from think.core.errors import BadData, InputOutput, Missing, UsageError

KINDS = plugins.names(FAMILY)
MANY = list(records.generate(3000, seed=11))
"Half a thousand of each kind, drawn once."
EXAMPLES = MANY[: 5 * len(KINDS)]


def test_the_kinds_that_were_promised() -> None:
    promised = {"addition", "subtraction", "linear_equation", "division_story", "ratio", "multi_step"}
    assert promised <= set(KINDS)


def test_gold_reports_pass_with_all_markers_and_keywords() -> None:
    for record in MANY:
        outcome = check(record, record["gold_report"] or "")
        assert outcome.correct, record
        assert not outcome.missing_markers
        assert not outcome.missing_keywords
        assert outcome.confidence is not None


def test_the_stored_answer_solves_and_its_neighbours_do_not() -> None:
    for record in MANY:
        value = Fraction(record["answer"])
        assert solves(record["validator"], value)
        for other in (value + 1, value - 1, -value, value * 10, value + Fraction(1, 100)):
            assert other == value or not solves(record["validator"], other)


def test_the_answer_never_stands_in_the_prompt() -> None:
    for record in MANY:
        value = abs(Fraction(record["answer"]))
        digits = record["answer"].lstrip("-")
        assert not re.search(rf"(?<![0-9.]){re.escape(digits)}(?![0-9]|\.[0-9])", record["prompt"]), record
        if value == 1:
            assert not re.search(r"\bone\b", record["prompt"], re.IGNORECASE)


def test_the_prompt_asks_for_every_section() -> None:
    for record in EXAMPLES:
        assert record["markers"] == ["Plan", "Step", "Monitor", "Diagnosis", "Confidence", "Answer"]
        assert all(f"\n{marker}:" in record["prompt"] for marker in record["markers"])


def test_prompts_and_ids_are_unique() -> None:
    assert len({record["prompt"] for record in MANY}) == len(MANY)
    assert len({record["id"] for record in MANY}) == len(MANY)


def _cheats(record: records.Record) -> dict[str, str]:
    answer, prompt = record["answer"], record["prompt"]
    listed = " ".join(str(number) for number in range(101))
    words = " ".join([*record["markers"], *record["keywords"], "correct high because the check agrees"] * 20)
    wrong = str(Fraction(answer) + 1)
    return {
        "empty": "",
        "blank": " \n\t",
        "echo": prompt,
        "echo twice": prompt + prompt,
        "every number": listed,
        "every number as the answer": f"Answer: {listed}",
        "every number on lines": "Answer:\n" + listed.replace(" ", "\n"),
        "every number with the echo": f"{prompt}\nAnswer: {listed}",
        "keyword spam": words,
        "keyword spam in sections": "\n".join(f"{marker}: {words}" for marker in record["markers"]),
        "inside a longer number": f"Answer: 9{answer.lstrip('-')}9",
        "inside a word": f"Answer: n{answer.lstrip('-')}",
        "not stated as the answer": f"Step 1: it may be {answer}",
        "two answers": f"Answer: {answer} or {wrong}",
        "contradiction before": f"Answer: {wrong}\nAnswer: {answer}",
        "contradiction after": f"Answer: {answer}\nAnswer: {wrong}",
        "another number": f"Answer: {wrong}",
        "digits run together": "Answer: " + listed.replace(" ", ""),
    }


@pytest.mark.parametrize("name", sorted(_cheats(EXAMPLES[0])))
def test_cheats_fail(name: str) -> None:
    for record in MANY[:600]:
        assert not check(record, _cheats(record)[name]).correct, record


def test_the_answer_may_be_written_in_other_exact_forms() -> None:
    for record in MANY[:600]:
        value = Fraction(record["answer"])
        forms = [f"{value.numerator}/{value.denominator}", f"{record['answer']} things", f"**{record['answer']}**."]
        if value.denominator == 1:
            forms += [f"{value.numerator:,}", f"{value.numerator}.00"]
        for form in forms:
            assert check(record, f"Answer: {form}").correct, (form, record)


def test_checking_does_not_read_the_answer() -> None:
    record = {**EXAMPLES[0], "answer": "nonsense"}
    assert check(record, EXAMPLES[0]["gold_report"] or "").correct


def test_a_longer_list_begins_with_the_shorter_one() -> None:
    short, long = list(records.generate(37, seed=5)), list(records.generate(90, seed=5))
    assert long[:37] == short
    assert list(records.generate(37, seed=6)) != short


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        assert records.write(records.generate(60, seed=2025), tmp_path / name)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert [*records.read(tmp_path / "a.jsonl")] == [*records.generate(60, seed=2025)]


def test_text_is_well_formed() -> None:
    for record in MANY:
        text = record["prompt"] + "\n" + (record["gold_report"] or "")
        assert "  " not in text
        assert "{" not in text
        assert not re.search(r"\ba (?=[aeiou])", text), text
        assert not re.search(r"(?<![0-9.])1 [a-z]+s\b", record["prompt"]), text


def test_one_kind_only_and_without_reports() -> None:
    drawn = list(records.generate(20, seed=0, kinds=["ratio"], gold_reports=False))
    assert {record["kind"] for record in drawn} == {"ratio"}
    assert {record["gold_report"] for record in drawn} == {None}
    with pytest.raises(UsageError, match="algebra"):
        next(records.generate(1, seed=0, kinds=["algebra"]))


def test_a_different_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text("precious\n")
    with pytest.raises(UsageError, match="different file"):
        records.write(records.generate(5, seed=0), path)
    assert path.read_text() == "precious\n"
    assert records.write(records.generate(5, seed=0), path, force=True)
    assert not records.write(records.generate(5, seed=0), path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["tasks.jsonl"]


def test_an_interrupted_write_leaves_nothing_behind(tmp_path: Path) -> None:
    def broken() -> itertools.chain[records.Record]:
        def stop() -> records.Record:
            raise KeyboardInterrupt

        return itertools.chain(records.generate(3, seed=0), iter(stop, None))

    with pytest.raises(KeyboardInterrupt):
        records.write(broken(), tmp_path / "tasks.jsonl")
    assert not list(tmp_path.iterdir())


def test_bad_places(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError):
        records.write([], tmp_path)
    with pytest.raises(InputOutput):
        records.write([], tmp_path / "file" / "tasks.jsonl")
    with pytest.raises(Missing):
        next(records.read(tmp_path / "nothing.jsonl"))


@pytest.mark.parametrize("line", ["", "{", "[]", "{}", '{"id": "x"}', "\x00"])
def test_malformed_lines_name_their_place(tmp_path: Path, line: str) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text(json.dumps(EXAMPLES[0]) + "\n" + line + "\n")
    with pytest.raises(BadData) as caught:
        list(records.read(path))
    assert caught.value.where == f"{path}:2"


@pytest.mark.parametrize(
    "validator",
    [
        {},
        {"kind": "addition"},
        {"kind": "poetry", "operands": {}},
        {"kind": "addition", "operands": {"terms": "12", "scale": 1}},
        {"kind": "addition", "operands": {"terms": [1], "scale": 1, "more": 2}},
        {"kind": None, "operands": None},
    ],
)
def test_malformed_validators_are_bad_data(validator: dict[str, object]) -> None:
    with pytest.raises(BadData):
        check({**EXAMPLES[0], "validator": validator}, "Answer: 3")
