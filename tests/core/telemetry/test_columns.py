"""Decoding many lines at once gives what decoding them one by one gives."""

import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from think.core.telemetry.columns import ABSENT, Decoder, figures, rows_of
from think.core.telemetry.records import Record, decode, encode

NUMBERS = st.one_of(st.floats(), st.integers(-(2**70), 2**70))
FIELDS = st.dictionaries(
    st.sampled_from(["loss", "tokens", "length", "seconds", "new one", 'with "quotes"', "ünïcode"]),
    st.one_of(NUMBERS, st.none(), st.text(max_size=5), st.booleans(), st.lists(NUMBERS, max_size=2)),
)
LINES = st.one_of(
    st.builds(
        lambda kind, step, fields: encode(Record(kind, step, fields, run="r", seq=1, time=2.0, mono=3.0)),
        st.sampled_from(["step", "step", "eval", "of the future"]),
        st.one_of(st.none(), st.integers(0, 2**40)),
        FIELDS,
    ),
    st.sampled_from([b"{}\n", b"null\n", b"garbage\n", b'{"kind":3}\n', b'{"kind":"step"\n', b"\xff\xfe\n", b"[[[\n"]),
)


@given(st.lists(LINES, min_size=1, max_size=12))
def test_equal_to_the_plain_decoder(lines: list[bytes]) -> None:
    block = Decoder(["new one", 'with "quotes"', "ünïcode"]).block(b"".join(lines))
    expected: list[tuple[int, str, float]] = []
    others = garbage = 0
    for line in lines:
        try:
            record = decode(line)
        except ValueError:
            garbage += 1
            continue
        if record.kind == "step" and record.step is not None:
            expected += [(record.step, name, number) for name, number in figures(record).items()]
        others += record.kind != "step"
    found: list[tuple[int, str, float]] = []
    loose = [record for record in block.others if record.kind == "step" and record.step is not None]
    tables = [block.steps] if block.steps is not None else []
    tables += [rows_of([(record, figures(record))]) for record in loose]
    for rows in tables:
        for row, column in np.argwhere(rows.values != ABSENT).tolist():
            found.append((int(rows.steps[column]), rows.names[row], float(rows.values[row, column])))
    key = [(step, name, repr(number)) for step, name, number in expected]
    assert sorted((step, name, repr(number)) for step, name, number in found) == sorted(key)
    assert block.garbage == garbage
    assert sum(record.kind != "step" for record in block.others) == others


def test_words_for_what_is_not_finite_are_numbers_and_null_is_nothing() -> None:
    lines = [
        {"kind": "step", "step": 1, "loss": "nan", "entropy": "-inf", "tokens": None},
        {"kind": "step", "step": 2, "loss": 1.5},
    ]
    rows = Decoder().block(b"".join(json.dumps(line).encode() + b"\n" for line in lines)).steps
    assert rows is not None
    loss, entropy, tokens = (rows.values[rows.names.index(name)] for name in ("loss", "entropy", "tokens"))
    assert math.isnan(loss[0])
    assert loss[1] == 1.5
    assert entropy.tolist() == [-math.inf, ABSENT]
    assert tokens.tolist() == [ABSENT, ABSENT]


def test_a_figure_that_was_not_known_is_found_at_the_ends_of_a_block() -> None:
    decoder = Decoder()
    rows = decoder.block(encode(Record("step", 1, {"loss": 1.0, "surprise": 4.0}))).steps
    assert rows is not None
    assert rows.values[rows.names.index("surprise")].tolist() == [4.0]


def test_a_record_of_a_newer_format_is_read_and_told() -> None:
    block = Decoder().block(encode(Record("step", 1, {"loss": 1.0}, version=9)))
    assert block.newer
    assert block.steps is not None
    assert len(block.steps) == 1
