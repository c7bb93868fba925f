"""The embedded corpus: deterministic, varied, well formed, learnable."""

import re
from collections import Counter

import pytest

from think.core.data.reasoning.wording import PEOPLE
from think.core.data.sources import Reading
from think.core.data.sources.stories import SPEC, Settings

PRONOUNS = {"he": {"he", "him", "his"}, "she": {"she", "her"}}


def _texts(settings: Settings) -> list[str]:
    return [str(document.text) for document in SPEC.documents(settings, Reading())]


CORPUS = _texts(Settings())
STORIES = [text for text in CORPUS if not text.startswith("Problem:")]


def test_size_and_vocabulary() -> None:
    assert 1_000_000 < sum(len(text.encode()) for text in CORPUS) < 1_500_000
    assert len({word.lower() for text in CORPUS for word in re.findall(r"[A-Za-z]+", text)}) < 1500
    assert len(set("".join(CORPUS))) < 100


def test_no_document_comes_twice() -> None:
    assert len(set(CORPUS)) == len(CORPUS) == Settings().count


def test_share_of_reasoning() -> None:
    assert 0.27 < 1 - len(STORIES) / len(CORPUS) < 0.33
    assert all(text.startswith("Problem:") for text in _texts(Settings(count=50, reasoning=1.0)))
    assert not any(text.startswith("Problem:") for text in _texts(Settings(count=50, reasoning=0.0)))


def test_reasoning_documents_have_all_sections() -> None:
    for text in CORPUS:
        if text.startswith("Problem:"):
            order = re.findall(r"^(Problem|Plan|Step|Monitor|Diagnosis|Confidence|Answer)\b", text, re.MULTILINE)
            assert [name for name in order if name != "Step"] == [
                "Problem",
                "Plan",
                "Monitor",
                "Diagnosis",
                "Confidence",
                "Answer",
            ]
            assert "Step" in order


def test_some_reports_mend_a_slip() -> None:
    mended = [text for text in CORPUS if "does not fit" in text]
    assert 0.1 < len(mended) / (len(CORPUS) - len(STORIES)) < 0.3
    assert all("slip" in text for text in mended)


def test_pronouns_agree_with_the_hero() -> None:
    by_name = {person.name: person.he for person in PEOPLE}
    for text in STORIES:
        hero = next(word for word in re.findall(r"[A-Z][a-z]+", text) if word in by_name)
        words = {word.lower() for word in re.findall(r"[A-Za-z]+", text)}
        wrong = PRONOUNS["she" if by_name[hero] == "he" else "he"]
        assert not words & wrong, text


def test_nobody_appears_out_of_nowhere() -> None:
    """At most two people, and the friend is named before the plot begins to need the friend."""
    names = {person.name for person in PEOPLE}
    for text in STORIES:
        assert len({word for word in re.findall(r"[A-Z][a-z]+", text) if word in names}) <= 2, text


def test_text_is_well_formed() -> None:
    for text in CORPUS:
        assert "{" not in text
        assert "  " not in text
        assert not re.search(r"\b[Aa] (?=[aeiou])", text), text
        assert not re.search(r"\b[Aa]n (?=[^aeiou])", text), text
    for text in STORIES:
        assert text[-1] in '.!?"', text
        assert text.count('"') % 2 == 0, text
        assert not re.search(r"[.!?] [a-z]", re.sub(r'"[^"]*"', "", text)), text


def test_no_opening_rules_the_corpus() -> None:
    openings = Counter(text[:40] for text in STORIES)
    assert openings.most_common(1)[0][1] < 0.02 * len(STORIES)


def test_deterministic_and_named_by_seed() -> None:
    assert _texts(Settings(count=40)) == CORPUS[:40]
    assert _texts(Settings(count=40, seed=1)) != CORPUS[:40]


@pytest.mark.parametrize("change", [{"seed": 1}, {"count": 10}, {"reasoning": 0.5}])
def test_origin_names_what_determines_the_text(change: dict[str, float]) -> None:
    (base,), (again,), (changed,) = (SPEC.origins(Settings.model_validate(fields)) for fields in ({}, {}, change))
    assert base == again
    assert changed.sha256 != base.sha256


def test_progress_adds_up_to_the_origin() -> None:
    seen: list[int] = []
    settings = Settings(count=25)
    for _ in SPEC.documents(settings, Reading(advance=seen.append)):
        pass
    assert sum(seen) == SPEC.origins(settings)[0].size
