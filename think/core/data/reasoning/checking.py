"""Judge a completion by the validator block of its record; the stored answer is not consulted."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pydantic import ValidationError

from think.core import plugins
from think.core.data.reasoning import answers
from think.core.data.reasoning.kinds import FAMILY, Kind
from think.core.errors import BadData, UsageError


@dataclass(frozen=True)
class Outcome:
    """What the check of one completion found.

    correct           the stated answer solves the problem; nothing else enters
    value             the stated answer, None where there is none
    reason            why there is no answer, or why it fails
    missing_markers   required sections that are absent or empty
    missing_keywords  required words that do not stand in the sections
    confidence        stated probability of being right, None where there is none
    """

    correct: bool
    value: Fraction | None
    reason: str
    missing_markers: tuple[str, ...]
    missing_keywords: tuple[str, ...]
    confidence: Fraction | None


def check(record: Mapping[str, Any], completion: str) -> Outcome:
    """Judge a completion of a record (its JSON object). Raises BadData when the record's blocks are malformed."""
    stated = answers.answer(completion)
    parts = [part for part in answers.sections(completion) if part.text.strip(" \t\n*_")]
    present = {part.name for part in parts}
    words = set(re.findall(r"[a-z]+", " ".join(part.text for part in parts).lower()))
    correct = stated.value is not None and solves(_block(record, "validator", dict), stated.value)
    return Outcome(
        correct=correct,
        value=stated.value,
        reason="solves the problem" if correct else stated.reason if stated.value is None else "another number",
        missing_markers=tuple(name for name in _block(record, "markers", list) if name not in present),
        missing_keywords=tuple(word for word in _block(record, "keywords", list) if word.lower() not in words),
        confidence=answers.confidence(completion),
    )


def solves(validator: Mapping[str, Any], value: Fraction) -> bool:
    """Whether a number solves the problem of a validator block. Raises BadData when the block is malformed."""
    kind = _kind(validator)
    try:
        operands = kind.operands.model_validate_json(json.dumps(validator["operands"]))
    except (KeyError, ValidationError) as error:
        raise BadData(
            f"the operands of a {validator['kind']} validator are malformed: {error}",
            expected=f"the fields {', '.join(kind.operands.model_fields)}",
            remedy="write the tasks again with `think data reasoning`",
        ) from error
    return kind.holds(operands, value)


def _kind(validator: Mapping[str, Any]) -> Kind[Any]:
    try:
        kind: Kind[Any] = plugins.load(FAMILY, str(validator.get("kind")))
    except UsageError as error:
        raise BadData(f"a validator of an unknown kind: {validator.get('kind')!r}", expected=error.expected) from error
    return kind


def _block(record: Mapping[str, Any], name: str, shape: type) -> Any:
    if not isinstance(record.get(name), shape):
        raise BadData(
            f"a reasoning record without a {name!r} {'object' if shape is dict else 'list'}",
            where=str(record.get("id", "record")),
            expected="a record as `think data reasoning` writes it",
        )
    return record[name]
