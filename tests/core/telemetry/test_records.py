"""Records: strict JSON on disk, nothing lost on the way back, room for what is not known yet."""

import contextlib
import enum
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from think.core.telemetry import records
from think.core.telemetry.records import ENVELOPE, KINDS, LARGEST_RECORD, Record, decode, encode, misfits, superseded_by

finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.text(min_size=1).filter(lambda name: name not in ENVELOPE)


@given(st.builds(Record, kind=st.text(), step=st.none() | st.integers(), fields=st.dictionaries(names, values)))
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    line = encode(record)
    assert line.count(b"\n") == 1
    assert decode(line) == record


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_words_on_disk_and_numbers_again(value: float) -> None:
    line = encode(Record("component_gradients", 1, {"ratio": value, "norms": {"rwkv": value}}))
    json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is not strict JSON"))
    fields = decode(line).fields
    assert repr(fields["ratio"]) == repr(fields["norms"]["rwkv"]) == repr(value)


def test_a_text_that_reads_like_a_number_stays_a_text() -> None:
    assert decode(encode(Record("log", None, {"message": "nan"}))).fields["message"] == "nan"


def test_numbers_of_other_libraries_and_odd_values_have_a_written_form() -> None:
    class Colour(enum.Enum):
        RED = "red"

    fields = {
        "a": np.float32(0.5),
        "b": torch.tensor(3),
        "c": torch.tensor([1.0, math.nan]),
        "d": Path("x/y"),
        "e": Colour.RED,
        "f": {1},
        "g": object,
        "h": np.int64(7),
    }
    found = decode(encode(Record("log", np.int64(3), fields)))  # type: ignore[arg-type]
    assert found.step == 3
    assert found.fields == {
        "a": 0.5,
        "b": 3,
        "c": [1.0, "nan"],
        "d": "x/y",
        "e": "red",
        "f": [1],
        "g": "<class 'object'>",
        "h": 7,
    }


def test_a_field_cannot_pose_as_the_envelope() -> None:
    found = decode(encode(Record("log", 5, {"time": 1, "kind": "step"}, time=9.0)))
    assert (found.kind, found.time) == ("log", 9.0)
    assert found.fields == {"field_time": 1, "field_kind": "step"}


@given(st.lists(st.integers(0, 3 * LARGEST_RECORD), max_size=6))
def test_a_large_record_leaves_out_its_largest_fields_and_says_which(sizes: list[int]) -> None:
    fields = {f"field{number}": "x" * size for number, size in enumerate(sizes)} | {"loss": 1.0}
    line = encode(Record("step", 1, fields))
    assert len(line) <= LARGEST_RECORD
    found = decode(line).fields
    omitted = found.pop("omitted", [])
    assert found == {name: value for name, value in fields.items() if name not in omitted}
    assert found["loss"] == 1.0
    assert bool(omitted) == (sum(sizes) > LARGEST_RECORD - len(encode(Record("step", 1, dict.fromkeys(fields, "")))))


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"null", b'{"kind": 1}', b"\xff\xfe{", b"[" * 100_000, b'{"kind": "step"', b"\x00" * 50]
)
def test_what_is_no_record_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json and unicode raise their own kinds of it
        decode(line)


@given(
    st.binary()
    | st.text().map(str.encode)
    | values.map(lambda value: json.dumps({"kind": "step", "v": value}).encode())
)
def test_any_line_is_a_record_or_a_value_error(line: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(decode(line), Record)


def test_kinds_fields_and_versions_of_the_future_are_kept() -> None:
    found = decode(b'{"v": 7, "kind": "dream", "step": "soon", "time": 1e999, "seq": null, "depth": 3}')
    assert (found.version, found.kind, found.step, found.fields) == (7, "dream", None, {"depth": 3})
    assert found.number("depth") == 3.0


@pytest.mark.parametrize(
    ("value", "number"), [(1, 1.0), ("nan", math.nan), ("x", None), (True, None), (None, None), (10**400, None)]
)
def test_a_number_is_read_from_whatever_stands_there(value: object, number: float | None) -> None:
    assert repr(Record("dream", None, {"value": value}).number("value")) == repr(number)


def test_no_declared_field_hides_the_envelope() -> None:
    for kind, declared in KINDS.items():
        assert not set(declared.__annotations__) & set(ENVELOPE), kind
        assert declared.__doc__


def test_misfits_names_what_is_not_declared() -> None:
    assert misfits("step", {"loss": 1.0, "los": 1.0}) == ["los"]
    assert misfits("dream", {}) == ["dream"]
    assert misfits("search", {"depth": 1}) == []


@pytest.mark.parametrize(
    ("resumed_from", "kind", "step", "void"),
    [
        (100, "step", 100, False),
        (100, "step", 101, True),
        (100, "eval", 150, True),
        (100, "log", 150, False),
        (100, "run_end", 150, False),
        (100, "gate", None, False),
        (None, "step", 0, True),
        (0, "eval", 0, False),
    ],
)
def test_a_resumed_run_voids_what_it_does_again(resumed_from: int | None, kind: str, step: int, void: bool) -> None:
    start = Record("run_start", None, {"resumed_from_step": resumed_from})
    assert superseded_by(start, Record(kind, step)) is void


def test_the_module_needs_the_standard_library_only() -> None:
    assert "torch" not in vars(records)
    assert "numpy" not in vars(records)
