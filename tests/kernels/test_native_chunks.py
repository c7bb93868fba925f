"""C kernels that work in chunks of 32 tokens: every instruction set, block of heads and number of threads."""

from dataclasses import replace

import pytest
import torch

from think.kernels import choose
from think.kernels.compare import OPERATORS, TOLERANCE, Case, differences, evaluate, inputs
from think.kernels.native import library
from think.kernels.ssd import native as ssd

pytestmark = pytest.mark.kernel

NAMES = tuple(name for name in ("ssd", "delta_rule") if "native" in choose.usable(name))
CASES = (
    Case("whole vectors", 100, key=16, value=32, resets=(31, 32, 33, 64)),
    Case("padded vectors", 65, key=19, value=33, resets=(1, 40)),
    Case("narrow", 33, key=1, value=1),
    Case("no decay", 70, key=9, value=5, decay="none", resets=(0, 69)),
)
BLOCKS = (
    Case("four heads a block, a group", 40, batch=4, heads=8, key=5, value=6, groups=2, resets=(7,)),
    Case("four heads a block, half a group", 40, batch=4, heads=8, key=5, value=6, groups=1, resets=(7,)),
    Case("three heads a block", 40, batch=8, heads=3, key=5, value=6, groups=1),
    Case("heads alone", 40, batch=1, heads=4, key=5, value=6, groups=1, resets=(32,)),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("level", library.levels())
@pytest.mark.parametrize("operator", NAMES)
def test_every_instruction_set_matches_the_reference(operator: str, level: str, case: Case) -> None:
    given = inputs(operator, case)
    with library.using(level):
        found = evaluate(operator, "native", given)
    errors = differences(evaluate(operator, "reference", given), found)
    assert max(errors.values()) < TOLERANCE, errors


@pytest.mark.skipif("ssd" not in NAMES, reason="no native library")
@pytest.mark.parametrize("case", BLOCKS, ids=lambda case: case.name)
def test_blocks_of_heads_match_the_reference(case: Case) -> None:
    given = inputs("ssd", case)
    errors = differences(evaluate("ssd", "reference", given), evaluate("ssd", "native", given))
    assert max(errors.values()) < TOLERANCE, errors


def test_blocks_divide_a_group_and_leave_tasks_to_share() -> None:
    assert [
        ssd._block(batch, heads, shared) for batch, heads, shared in ((8, 4, 4), (4, 8, 8), (8, 3, 3), (8, 6, 6))
    ] == [*(4, 4, 3, 3)]
    assert [ssd._block(batch, heads, shared) for batch, heads, shared in ((1, 4, 4), (4, 4, 4), (64, 4, 1))] == [
        1,
        2,
        1,
    ]


@pytest.mark.parametrize("operator", NAMES)
def test_same_bytes_for_any_number_of_threads(operator: str) -> None:
    before = torch.get_num_threads()
    given = inputs(operator, Case("threads", 77, batch=4, heads=4, key=12, value=20, resets=(5, 40)))
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(evaluate(operator, "native", given))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(found[0][tensor], other[tensor]) for tensor in other)


@pytest.mark.parametrize("operator", NAMES)
def test_bfloat16_is_read_as_it_is(operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the large inputs is bfloat16 at the kernel, and the result is that of the same numbers in float32."""
    low = inputs(operator, Case("bfloat16", 50, key=9, value=7, resets=(20,))).to(torch.bfloat16)
    seen: list[torch.dtype] = []
    real = library.call
    monkeypatch.setattr(library, "call", lambda name, *given: (seen.append(given[0].dtype), real(name, *given))[1])
    narrow = evaluate(operator, "native", low)
    assert set(seen) == {torch.bfloat16}
    wide = evaluate(operator, "native", low.to(torch.float32))
    for tensor, value in wide.items():
        torch.testing.assert_close(narrow[tensor].float(), value.to(narrow[tensor].dtype).float(), rtol=0.02, atol=0.02)
    assert torch.equal(narrow["out"], wide["out"].to(torch.bfloat16))
    assert torch.equal(narrow["state"], wide["state"])


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("operator", NAMES)
def test_compiled_as_it_is(operator: str, kind: torch.dtype) -> None:
    given = inputs(operator, Case("compiled", 40, key=4, value=3), kind=kind)
    call = torch.compile(lambda tensors: OPERATORS[operator](**tensors, implementation="native"), backend="aot_eager")
    leaves = list(given.tensors.values())
    results = []
    for run in (call, lambda tensors: OPERATORS[operator](**tensors, implementation="native")):
        out, last = run(given.tensors)
        gradients = torch.autograd.grad(out.square().sum() + last.sum(), leaves, allow_unused=True)
        results.append([out, last, *(gradient for gradient in gradients if gradient is not None)])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


@pytest.mark.parametrize("operator", NAMES)
def test_without_a_gradient_nothing_is_kept(operator: str) -> None:
    given = inputs(operator, replace(CASES[0], resets=()))
    with torch.no_grad():
        out, last = OPERATORS[operator](**given.tensors, implementation="native")
    again, end = OPERATORS[operator](**given.tensors, implementation="native")
    assert torch.equal(out, again)
    assert torch.equal(last, end)
