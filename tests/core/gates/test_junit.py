"""JUnit and annotations: every word lands where a build service expects it, whatever text it carries."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from think.core.gates.evidence import Source
from think.core.gates.junit import annotations, junit
from think.core.gates.store import Stored
from think.core.gates.verdict import Finding, Status, Verdict, Waiver

FAILED = Verdict.of([Finding("loss", Status.FAIL, "loss rises, 3 % worse\nline: two", "falls")], remedy="train again")
WAIVED = FAILED.waived(Waiver("g2", "known", "Ada", date(2030, 1, 1)))


def stored(verdict: Verdict, gate: str = "g0") -> Stored:
    return Stored(gate, verdict, {}, "t", None, Source(run="r-1", digests={"model": "m"}), "2030-01-01T00:00:00+00:00")


def of(status: Status) -> Verdict:
    return Verdict.of([Finding("x", status, "seen", "wanted")])


RECORDS = [
    stored(of(Status.PASS), "g0"), stored(FAILED, "g1"), stored(WAIVED, "g2"), stored(of(Status.WARN), "g3"),
    stored(Verdict.cannot_tell("nothing"), "g4"), stored(Verdict.blocked("g1 is FAIL"), "g5"),
]  # fmt: skip


def test_each_word_has_its_element() -> None:
    suite = ET.fromstring(junit(RECORDS)).find("testsuite")
    assert suite is not None
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6", "failures": "1", "errors": "1", "skipped": "2",
    }  # fmt: skip
    kinds = {case.get("name"): [child.tag for child in case if child.tag != "properties"] for case in suite}
    assert kinds == {
        "g0": [], "g1": ["failure"], "g2": ["skipped"], "g3": ["system-out"], "g4": ["error"], "g5": ["skipped"],
    }  # fmt: skip


def test_strict_makes_a_warning_a_failure_here_too() -> None:
    suite = ET.fromstring(junit(RECORDS, strict=True)).find("testsuite")
    assert suite is not None
    assert suite.get("failures") == "2"
    assert annotations([stored(of(Status.WARN))], strict=True)[0].startswith("::error")


def test_a_waived_gate_tells_who_why_and_until() -> None:
    text = junit(RECORDS).decode()
    assert all(word in text for word in ("Ada", "known", "2030-01-01", "would be FAIL"))


@given(st.text())
def test_any_text_gives_readable_xml(text: str) -> None:
    verdict = Verdict.of([Finding("x", Status.FAIL, text.encode("utf-8", "replace").decode(), "wanted")])
    ET.fromstring(junit([stored(verdict)]))


@given(st.text())
def test_an_annotation_is_one_line(text: str) -> None:
    (line,) = annotations([stored(Verdict.cannot_tell(text, remedy=text))])
    assert "\n" not in line
    assert "\r" not in line


def test_annotations_come_worst_first_and_no_more_than_are_shown() -> None:
    levels = [line.split(" ")[0] for line in annotations(RECORDS)]
    assert levels == ["::error", "::error", "::error", "::warning", "::notice"]
    assert len(annotations([replace(RECORDS[1], gate=f"g{n}") for n in range(30)])) == 10


def test_annotations_escape_what_would_end_them() -> None:
    (line,) = annotations([stored(FAILED, "g1")])
    assert line.startswith("::error title=think gate g1%3A FAIL::")
    assert "3 %25 worse%0Aline: two" in line
