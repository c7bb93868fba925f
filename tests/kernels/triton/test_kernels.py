"""Kernels in Triton against the references: on a GPU at every size, in Triton's interpreter at small ones.

TRITON_INTERPRET=1 python -m pytest tests/kernels/triton          # on any machine that has Triton
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from tests.kernels.test_agreement import ODD
from think.kernels import choose
from think.kernels.compare import CASES, OPERATORS, STRONG, Case, Inputs, compare, differences, evaluate, inputs
from think.kernels.triton import available

pytestmark = pytest.mark.kernel

ON_GPU = available.lacks("cuda", torch.float32) is None and torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"
MISSING = available.lacks(DEVICE, torch.float32)
runs = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
has_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")

SMALL = (
    Case("one token, reset", 1, batch=1, resets=(0,)),
    Case("past a chunk of 32 and of 64, resets", 70, batch=1, key=3, value=17, resets=(0, 31, 32, 64, 65)),
    Case("strong decay", 34, batch=2, heads=1, decay="strong", resets=(12,)),
    Case("no decay, no resets, groups", 33, batch=1, groups=2, decay="none"),
)
SIZES = (*CASES, *ODD, Case("as models have", 300, heads=4, key=64, value=64, resets=(99, 100))) if ON_GPU else SMALL


@runs
@pytest.mark.parametrize("case", SIZES, ids=lambda case: case.name)
@pytest.mark.parametrize("operator", OPERATORS)
def test_matches_the_reference(operator: str, case: Case) -> None:
    found = compare(operator, "triton", case, device=DEVICE)
    assert found.implementation == "triton"
    assert found.agrees, found.errors


@runs
@pytest.mark.parametrize("operator", OPERATORS)
def test_bfloat16_is_hardly_worse_than_rounding(operator: str) -> None:
    """As tests/kernels/test_agreement.py asks it of all others."""
    low = inputs(operator, Case("bf16", 40, batch=1, heads=1, key=16, value=8, resets=(10,))).to(torch.bfloat16)
    exact = evaluate(operator, "reference", low.to(torch.float64))
    found = evaluate(operator, "triton", low.on(DEVICE))
    for tensor, value in exact.items():
        got = found[tensor].cpu()
        rounding = (value.float().to(got.dtype).double() - value).abs().max().item()
        slack = 1e-4 * value.abs().max().item() if got.dtype == torch.float32 else 0.0
        assert (got.double() - value).abs().max().item() <= 1.5 * rounding + slack, tensor


@runs
@pytest.mark.parametrize("operator", ["rwkv6", "ssd", "delta_rule"])
def test_a_decay_that_forgets_costs_its_neighbours_no_digits(operator: str) -> None:
    given = inputs(operator, Case("strong", 40, batch=1, heads=1, decay="none"))
    tensors = {name: tensor.detach().clone() for name, tensor in given.tensors.items()}
    if operator == "ssd":
        tensors["A"] = torch.full_like(tensors["A"], -1.0)
        tensors["dt"] = torch.full_like(tensors["dt"], 1e-3)
        tensors["dt"][:, ::7] = 2e3 * -STRONG
    else:
        tensors["log_decay"] -= 1e-3
        tensors["log_decay"][:, ::7] = 2e3 * STRONG
    strong = Inputs(tensors, None, given.options).to(torch.float32)
    expected, found = evaluate(operator, "reference", strong), evaluate(operator, "triton", strong.on(DEVICE))
    assert all(tensor.isfinite().all() for tensor in found.values())
    assert max(differences(expected, found).values()) < 1e-4


@runs
@pytest.mark.parametrize("operator", OPERATORS)
def test_resets_without_fresh_and_a_state_handed_on(operator: str) -> None:
    given = inputs(operator, Case("cut", 40, batch=1, heads=1, key=3, value=2, resets=(35,))).on(DEVICE)
    tensors = {name: tensor.detach() for name, tensor in given.tensors.items() if name != "fresh"}
    call, time = OPERATORS[operator], {n for n, t in tensors.items() if t.shape[:2] == (1, 40)}
    assert given.reset is not None
    expected = call(**tensors, reset=given.reset, implementation="reference", **given.options)
    parts, state = [], tensors["state"]
    for place in (slice(0, 33), slice(33, 40)):
        here = {name: tensor[:, place] if name in time else tensor for name, tensor in tensors.items()}
        here["state"] = state
        out, state = call(**here, reset=given.reset[:, place], implementation="triton", **given.options)
        parts.append(out)
    torch.testing.assert_close(torch.cat(parts, 1), expected[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(state, expected[1], rtol=1e-4, atol=1e-4)


@runs
@pytest.mark.parametrize("operator", OPERATORS)
def test_gradient_of_the_gradient_takes_the_plain_form(operator: str) -> None:
    given = inputs(operator, Case("twice", 3, batch=1, heads=1, key=2, value=1, resets=(1,))).on(DEVICE)
    leaves = list(given.tensors.values())
    found = []
    for name in ("triton", "reference"):
        out, state = OPERATORS[operator](**given.tensors, reset=given.reset, implementation=name, **given.options)
        once = torch.autograd.grad(out.square().sum() + state.square().sum(), leaves, create_graph=True)
        twice = torch.autograd.grad(sum(slope.square().sum() for slope in once), leaves)
        found.append(twice)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@runs
@pytest.mark.parametrize("operator", OPERATORS)
def test_operators_tell_torch_the_truth_about_themselves(operator: str) -> None:
    """Schemas and shapes without data, by torch's own check."""
    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            if func.namespace == "think":
                seen.append((func, pytree.tree_map_only(torch.Tensor, torch.Tensor.detach, args)))
            return func(*args, **(kwargs or {}))

    with Watch():
        evaluate(operator, "triton", inputs(operator, Case("told", 2, batch=1, heads=2, key=2, value=3)).on(DEVICE))
    assert {function._schema.name for function, _ in seen} == {
        f"think::{operator}_triton",
        f"think::{operator}_triton_backward",
    }
    for function, arguments in seen:
        torch.library.opcheck(function, arguments, test_utils=("test_schema", "test_faketensor"))


COMPILE = """
import sys, torch
from think.kernels.compare import Case, inputs, evaluate
from think.kernels.triton import available
from tests.kernels.triton.ahead import SHARED_BYTES, compiling_for
available.interpreted = lambda: True  # no launch gets as far as a device
given = inputs(sys.argv[1], Case("ahead", 40, batch=1, heads=1, key=4, value=16, resets=(9,)))
with compiling_for(80) as found:
    evaluate(sys.argv[1], "triton", given)
assert len(found) >= 3, found
assert all(kernel.machine_code and kernel.shared <= min(SHARED_BYTES.values()) for kernel in found), found
"""


@has_triton
@pytest.mark.slow
@pytest.mark.parametrize("operator", OPERATORS)
def test_compiles_for_a_gpu_that_is_not_there(operator: str) -> None:
    """Down to machine code: what the interpreter takes may still be no legal kernel."""
    surroundings = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, operator],
        env=surroundings,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_without_triton_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert available.INSTALL in str(available.lacks("cuda", torch.float32))


def test_what_triton_is_not_for() -> None:
    assert "float64" in str(available.lacks("cuda", torch.float64))
    assert "not for mps" in str(available.lacks("mps", torch.float32))


def test_a_processor_never_takes_it_by_itself_and_a_gpu_does_first() -> None:
    for operator in OPERATORS:
        assert "triton" in choose.implementations(operator)
        assert choose.resolve(operator) != "triton"
    assert choose.PREFERENCE["cuda"][0] == "triton"


def test_operators_without_a_kernel_in_triton_take_their_best_form_in_torch() -> None:
    assert choose.resolve("rms_norm", "triton") == "reference"
    assert choose.resolve("cross_entropy", "triton") == "chunked"
    assert all("triton" in choose.names(operator) for operator in choose.operators())
