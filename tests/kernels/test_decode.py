"""Programs, packed matrices and draws: what decoding stands on."""

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from think.kernels.decode import Op, Operand, Program, draw, native
from think.kernels.decode.pack import LANES, pack, padded, size, unpack
from think.kernels.decode.program import OPERATIONS
from think.kernels.native import library

pytestmark = pytest.mark.kernel
needs_draw = pytest.mark.skipif(draw.lacking() is not None, reason=str(draw.lacking()))


# ---- packing and programs --------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(1, 40))
def test_packing_loses_nothing_and_adds_zeros(outputs: int, inputs: int) -> None:
    matrix = torch.arange(1.0, outputs * inputs + 1).view(outputs, inputs)
    packed = torch.full((size(outputs, inputs),), float("nan"))
    pack(matrix, packed)
    assert torch.equal(unpack(packed, outputs, inputs), matrix)
    assert packed.numel() == padded(outputs) * inputs
    assert int((packed == 0).sum()) == packed.numel() - matrix.numel()


def test_native_code_numbers_operations_and_memories_alike() -> None:
    header = (Path(native.__file__).parents[1] / "native" / "decode.h").read_text(encoding="utf-8")
    kinds, spaces = (re.search(rf"enum {name} {{(.*?)}}", header, re.DOTALL)[1] for name in ("kind", "space"))
    assert tuple(word.strip().lower() for word in kinds.split(",")) == OPERATIONS
    assert tuple(word.strip().lower() for word in spaces.split(",")) == native.SPACES


def test_operands_do_not_overlap_and_temporaries_are_used_again() -> None:
    program = Program()
    lasting = program.register(5)
    with program.temporaries():
        first, second = program.register(17), program.register(3)
    again = program.register(30)
    assert again.offset == first.offset
    assert lasting.offset + lasting.width <= first.offset
    assert first.offset + first.width <= second.offset
    assert program.registers >= second.offset + second.width
    assert all(operand.offset % LANES == 0 for operand in (lasting, first, second))


def test_what_fits_no_program_is_refused() -> None:
    program = Program()
    x = program.register(8)
    with pytest.raises(ValueError, match="no decoding operation named 'tan'"):
        program.apply("tan", x)
    with pytest.raises(ValueError, match="widths"):
        program.apply("add", x, program.register(7))
    with pytest.raises(ValueError, match="3 inputs expected, the operand has 8"):
        program.linear(x, torch.zeros(4, 3))
    with pytest.raises(ValueError, match="part 4:9"):
        x.part(4, 9)
    with pytest.raises(TypeError, match="float64"):
        program.vector(torch.zeros(3, dtype=torch.float64))


def linear(out: int, x: int, width: int = 16) -> Op:
    return Op("linear", Operand("register", out, width), (Operand("register", x, width), Operand("weight", 0, 256)))


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        ([linear(16, 0), linear(32, 0), linear(48, 0)], [3, 1, 1]),
        ([linear(16, 0), linear(32, 16)], [1, 1]),
        ([linear(16, 0), linear(24, 0)], [1, 1]),
        ([linear(16, 0), linear(0, 32)], [1, 1]),
        ([linear(16, 0), Op("tanh", Operand("register", 32, 4), ()), linear(48, 0), linear(64, 0)], [1, 1, 2, 1]),
    ],
    ids=["one input", "a chain", "outputs overlap", "writes an input", "something between"],
)
def test_only_maps_that_do_not_wait_for_one_another_go_together(ops: list[Op], expected: list[int]) -> None:
    assert native.groups(ops) == expected


# ---- drawing ---------------------------------------------------------------------------------------------------------


def scores(count: int, seed: int, spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    given = spread * torch.randn(count, generator=generator)
    if seed % 3 == 0:  # ties
        given = given.round()
    bias = torch.zeros(count).masked_fill(torch.rand(count, generator=generator) < 0.2, float("-inf"))
    bias[count // 2] = 0.0
    return given, bias


def chances(given: torch.Tensor, bias: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """The rule, written once more: sorted, cut, summed."""
    shares = ((given.double() + bias - (given + bias).max().double()) / temperature).softmax(0)
    order = sorted(range(len(shares)), key=lambda i: (-float(shares[i]), i))
    kept, reached = torch.zeros_like(shares), 0.0
    for i in order:
        if reached >= top_p and top_p < 1:
            break
        kept[i] = shares[i]
        reached += float(shares[i])
    return kept / kept.sum()


DRAWS = [draw.plain, pytest.param(draw.native, marks=needs_draw)]
LIMITS = [(0.8, 0.95), (1.0, 1.0), (3.0, 0.5), (0.1, 0.3), (1.0, 1e-9), (1e-300, 1.0), (1e-300, 0.9)]


@pytest.mark.parametrize("drawn", DRAWS)
@pytest.mark.parametrize(("temperature", "top_p"), LIMITS)
@pytest.mark.parametrize("count", [1, 2, 15, 17, 96, 300])
def test_each_token_has_its_share_of_the_chances(drawn, temperature: float, top_p: float, count: int) -> None:
    for seed in range(6):
        given, bias = scores(count, seed, spread=2.0)
        reached = chances(given, bias, temperature, top_p).cumsum(0)
        for chance in (0.0, 0.1, 0.33, 0.5, 0.77, 0.9999, 1 - 2**-53):
            token = drawn(given, bias, temperature, top_p, chance)
            before = 0.0 if token == 0 else float(reached[token - 1])
            # a share of float32 may fall on the other side of an edge that lies within its rounding
            assert before - 1e-6 <= chance <= float(reached[token]) + 1e-6
            assert float(reached[token]) > before
            assert bias[token] == 0


@pytest.mark.parametrize("drawn", DRAWS)
@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", [0, 40])
def test_scores_that_are_not_finite_give_nothing(drawn, odd: float, place: int) -> None:
    given = torch.zeros(41)
    given[place] = odd
    assert drawn(given, torch.zeros(41), 1.0, 0.9, 0.5) is None


@pytest.mark.parametrize("drawn", DRAWS)
def test_of_equal_shares_the_lower_ids_are_kept(drawn) -> None:
    given = torch.zeros(100)
    taken = {drawn(given, torch.zeros(100), 1.0, 0.205, chance / 200) for chance in range(200)}
    assert taken == set(range(21))


@needs_draw
@pytest.mark.parametrize("level", library.levels())
def test_large_vocabularies_in_every_instruction_set(level: str) -> None:
    for seed in range(8):
        given, bias = scores(30_011, seed, spread=3.0)
        for temperature, top_p in LIMITS[:4]:
            with library.using(level):
                token = draw.native(given, bias, temperature, top_p, 0.3)
            least, most = (draw.plain(given, bias, temperature, top_p, 0.3 + by) for by in (-1e-5, 1e-5))
            assert least <= token <= most


@needs_draw
def test_native_drawing_refuses_other_types() -> None:
    with pytest.raises(ValueError, match="float64"):
        draw.native(torch.zeros(3, dtype=torch.float64), torch.zeros(3), 1.0, 1.0, 0.5)
