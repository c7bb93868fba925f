"""Kernels in C: threads, forks, instruction sets, numbers, what they tell torch."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from tests.kernels.cases import IMPLEMENTATIONS
from think.kernels import choose
from think.kernels.compare import OPERATORS, Case, Inputs, compare, evaluate, inputs
from think.kernels.native import library

pytestmark = pytest.mark.kernel

NATIVE = [operator for operator, name in IMPLEMENTATIONS if name == "native"]
HAVE = [operator for operator in OPERATORS if "native" in choose.implementations(operator)]
"Operators that have native kernels, whether or not they were built here."

built = pytest.mark.skipif(not NATIVE, reason="native kernels were not built here")

CASE = Case("threads", 150, batch=3, heads=3, key=9, value=19, groups=3, resets=(0, 40, 41, 149))


def bits(found: dict[str, Tensor]) -> dict[str, bytes]:
    return {name: tensor.contiguous().view(torch.uint8).numpy().tobytes() for name, tensor in found.items()}


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@built
@pytest.mark.parametrize("operator", NATIVE)
def test_same_bytes_for_any_number_of_threads(operator: str, threads: Callable[[int], None]) -> None:
    given = inputs(operator, CASE)
    found = []
    for count in (1, 2, 3, 5):
        threads(count)
        found.append(bits(evaluate(operator, "native", given)))
    assert all(other == found[0] for other in found[1:])


@built
@pytest.mark.parametrize("operator", NATIVE)
@pytest.mark.parametrize("instructions", library.levels())
def test_every_instruction_set_of_this_processor_agrees(operator: str, instructions: str) -> None:
    with library.using(instructions):
        assert library.level() == instructions
        for case in (CASE, Case("strong", 70, decay="strong", key=17, value=33), Case("one", 1, key=64, value=64)):
            found = compare(operator, "native", case)
            assert found.agrees, found.errors


@built
def test_an_instruction_set_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"'sse9'.*baseline"), library.using("sse9"):
        pass


FORK = """
import os, sys, torch
from think.kernels.compare import Case, evaluate, inputs
torch.set_num_threads(3)
given = inputs("rwkv6", Case("fork", 70, batch=3, key=4, value=4))
before = evaluate("rwkv6", "native", given)
child = os.fork()
after = evaluate("rwkv6", "native", given)
same = all(torch.equal(before[name], after[name]) for name in before)
if child == 0:
    os._exit(0 if same else 7)
assert same and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@built
@pytest.mark.slow
def test_a_forked_child_has_threads_of_its_own_and_both_end() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


MANY = """
import threading, torch
from think.kernels.compare import Case, evaluate, inputs
torch.set_num_threads(2)
given = [inputs("rwkv6", Case("many", 70, batch=3, key=4, value=4), seed=seed) for seed in range(4)]
alone = [evaluate("rwkv6", "native", one) for one in given]
wrong = []
def work(place):
    for _ in range(20):
        found = evaluate("rwkv6", "native", given[place])
        wrong.extend(name for name in found if not torch.equal(found[name], alone[place][name]))
workers = [threading.Thread(target=work, args=(place,)) for place in range(4)]
[worker.start() for worker in workers]
[worker.join() for worker in workers]
assert not wrong, wrong
"""


@built
@pytest.mark.slow
def test_calls_from_many_threads_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@built
@pytest.mark.parametrize("operator", NATIVE)
def test_the_caller_s_treatment_of_tiny_numbers_is_left_alone(operator: str) -> None:
    tiny = torch.tensor(1e-39)
    assert (tiny * 0.5).item() > 0
    evaluate(operator, "native", inputs(operator, CASE))
    assert (tiny * 0.5).item() > 0


@built
@pytest.mark.parametrize("instructions", library.levels())
def test_exponential(instructions: str) -> None:
    """Through the decay of a state that reads nothing else: within a few units in the last place."""
    decay = torch.cat([torch.linspace(-86.9, 0.0, 4001), torch.tensor([-torch.inf, -1e30, -88.0, -0.0, -1e-20])])
    count = len(decay)
    zeros = torch.zeros(1, 1, 1, count)
    with library.using(instructions):
        _, state = OPERATORS["rwkv6"](
            *(zeros, zeros, torch.zeros(1, 1, 1, 1), decay.view(1, 1, 1, count), torch.zeros(1, count)),
            torch.ones(1, 1, count, 1),
            implementation="native",
        )
    exact = decay.double().exp()
    found = state.flatten().double()
    normal = decay > -87
    assert ((found - exact).abs() / exact)[normal].max() < 3e-7
    assert not found[~normal].any()


@built
def test_not_a_number_stays_one() -> None:
    given = inputs("rwkv6", Case("nan", 20)).tensors
    broken = {name: tensor.detach().clone() for name, tensor in given.items()}
    broken["log_decay"][0, 10] = torch.nan
    out, state = OPERATORS["rwkv6"](**broken, implementation="native")
    assert out[0, 11:].isnan().all()
    assert state[0].isnan().all()
    assert not out[1].isnan().any()


@built
def test_arguments_are_checked_before_an_address_is_taken() -> None:
    for wrong in (torch.ones(3, 3).t(), torch.ones(2, dtype=torch.float64), torch.ones(2, device="meta")):
        with pytest.raises(ValueError, match="native kernel got a tensor"):
            library.call("causal_conv_forward", wrong)


@pytest.mark.parametrize("operator", HAVE)
def test_asking_for_what_it_cannot_do_says_why(operator: str) -> None:
    double = inputs(operator, CASE, kind=torch.float64)
    with pytest.raises(choose.CannotRun, match=f"{operator}.*'native' cannot run here.*float64"):
        OPERATORS[operator](**double.tensors, **double.options, implementation="native")
    with pytest.raises(choose.CannotRun, match="not for cuda"):
        choose.resolve(operator, "native", "cuda")


def operators_of(operator: str, given: Inputs) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The operators of torch behind one call forward and backward, with their arguments."""
    seen: list[tuple[Any, tuple[Any, ...]]] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func.namespace == "think":
                seen.append((func, pytree.tree_map_only(Tensor, Tensor.detach, args)))
            return func(*args, **(kwargs or {}))

    with Watch():
        evaluate(operator, "native", given)
    yield from seen


@built
@pytest.mark.parametrize("operator", NATIVE)
def test_operators_tell_torch_the_truth_about_themselves(operator: str) -> None:
    """Schemas, shapes without data, and tracing, by torch's own check."""
    checks = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
    found = list(operators_of(operator, inputs(operator, CASE)))
    assert len(found) >= 2
    for function, arguments in found:
        torch.library.opcheck(function, arguments, test_utils=checks)


@built
@pytest.mark.slow
@pytest.mark.parametrize("operator", NATIVE)
def test_compiles_into_one_graph_and_agrees(operator: str) -> None:
    torch._dynamo.reset()
    given = inputs(operator, Case("compiled", 70))
    choose.load(operator, "native")
    choose.takes_narrow(operator, "native")

    def call(tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return OPERATORS[operator](**tensors, **given.options, implementation="native")

    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    leaves = list(given.tensors.values())
    for first, second in zip(call(given.tensors), compiled(given.tensors), strict=True):
        assert torch.equal(first, second)
        one, two = (
            torch.autograd.grad(one.square().sum(), leaves, allow_unused=True, retain_graph=True)
            for one in (first, second)
        )
        assert all(a is b or torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux only")
@built
@pytest.mark.slow
def test_threads_sleep_when_there_is_nothing_to_do() -> None:
    """A waiting thread takes no processor time, so that it disturbs no other program."""
    script = (
        "import time, torch; from think.kernels.compare import Case, evaluate, inputs; torch.set_num_threads(3);"
        "given = inputs('rwkv6', Case('sleep', 70, batch=3)); evaluate('rwkv6', 'native', given);"
        "begin = time.process_time(), time.thread_time(); end = time.monotonic() + 0.5\n"
        "while time.monotonic() < end: pass\n"
        "others = (time.process_time() - begin[0]) - (time.thread_time() - begin[1]); assert others < 0.1, others"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
