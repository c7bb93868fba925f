"""How long each implementation takes: medians over alternating rounds in one process.

Alternating means that every round times each implementation once, so that a busy moment of the machine hits all alike.
Forward runs without gradients; forward + backward asks for the gradient of every input.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from think.kernels import choose
from think.kernels.compare import STATELESS, Case, Inputs, call, inputs

FEWEST_ROUNDS = 7
"Fewer rounds give a median that one busy moment can move."

SIZES = (
    Case("B8 T256 H2 64x64", 256, batch=8, heads=2, key=64, value=64),
    Case("B8 T512 H4 64x64", 512, batch=8, heads=4, key=64, value=64),
)
"What a model of width 128 asks for, and the size that DESIGN's performance goals are stated at."

COMPILED = "compiled"
"Stands before the name of an implementation that is timed under torch.compile."

Call = Callable[[Inputs], dict[str, Tensor]]

CONVOLUTION_WINDOW = 4
"Taps, as in Mamba-2; a case's `key` is a width elsewhere."


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one implementation on one size: medians and extremes over `rounds`."""

    operator: str
    implementation: str
    case: str
    rounds: int
    threads: int
    forward: float
    forward_least: float
    forward_most: float
    both: float
    both_least: float
    both_most: float
    speed_up: float
    "how many times faster than the reference, forward and backward"


def measure(
    operator: str,
    case: Case,
    *,
    rounds: int = FEWEST_ROUNDS,
    resets: bool = False,
    threads: int | None = None,
    compiled: tuple[str, ...] = (),
    others: Mapping[str, Call] = MappingProxyType({}),
) -> list[Timing]:
    """Time all implementations of an operator on one size, on `threads` threads (default: as torch is set).

    resets: about one token in a hundred begins a document. compiled: implementations to time under torch.compile too;
    that takes a minute each. others: functions of other people, by name, that take and give the same.
    Raises ValueError for fewer than FEWEST_ROUNDS rounds.
    """
    if rounds < FEWEST_ROUNDS:
        raise ValueError(f"{rounds} rounds are too few for a median, expected at least {FEWEST_ROUNDS}")
    calls: dict[str, Call] = {name: partial(call, operator, name) for name in choose.usable(operator)}
    for name in compiled:
        calls[f"{COMPILED} {name}"] = torch.compile(partial(call, operator, name))
    calls |= others
    names = tuple(calls)
    given = _inputs(operator, case, resets)
    forward: dict[str, list[float]] = {name: [] for name in names}
    both: dict[str, list[float]] = {name: [] for name in names}
    with _threads(threads) as used:
        for attempt in range(rounds + 1):
            for name in names:
                taken = _forward(calls[name], given), _both(calls[name], given)
                if attempt:  # the first round warms up caches and allocators
                    forward[name].append(taken[0])
                    both[name].append(taken[1])
    base = statistics.median(both["reference"])
    return [
        Timing(
            operator,
            name,
            case.name + (", resets" if resets else ""),
            rounds,
            used,
            statistics.median(forward[name]),
            min(forward[name]),
            max(forward[name]),
            statistics.median(both[name]),
            min(both[name]),
            max(both[name]),
            base / statistics.median(both[name]),
        )
        for name in names
    ]


@contextmanager
def _threads(wanted: int | None) -> Iterator[int]:
    before = torch.get_num_threads()
    if wanted is not None:
        torch.set_num_threads(wanted)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def _inputs(operator: str, case: Case, resets: bool) -> Inputs:
    if operator == "causal_conv":
        case = Case(case.name, case.time, case.batch, case.heads, CONVOLUTION_WINDOW, case.value)
    given = inputs(operator, case)
    if not resets or operator in STATELESS:
        return given
    reset = torch.rand((case.batch, case.time), generator=torch.Generator().manual_seed(0)) < 0.01
    return Inputs(given.tensors, reset, given.options)


def _forward(run: Call, given: Inputs) -> float:
    with torch.no_grad():
        return _milliseconds(lambda: run(given))


def _both(run: Call, given: Inputs) -> float:
    leaves = list(given.tensors.values())

    def step() -> None:
        results = [result for result in run(given).values() if result.requires_grad]
        torch.autograd.grad(results, leaves, [result.detach() for result in results], allow_unused=True)

    return _milliseconds(step)


def _milliseconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return (time.perf_counter() - begin) * 1e3
