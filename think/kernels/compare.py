"""How far an implementation is from its reference: the one comparison that tests, gate g0 and the benchmark use.

On one set of inputs both give outputs, final state and the gradient of every input (of the entering state and `fresh`
too) for one random cotangent. Operators without a state (stateless.py) are compared at as many rows and channels. The
error of each tensor is max |a - b| / max |reference|.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from think.kernels import choose, stateless
from think.kernels.causal_conv import causal_conv
from think.kernels.delta_rule import delta_rule
from think.kernels.rwkv6 import rwkv6
from think.kernels.ssd import ssd
from think.kernels.stateless import OPERATORS as STATELESS

TOLERANCE = 1e-4
"Largest error in float32 that counts as agreement."

STRONG = -50.0
"A log decay that leaves nothing (e^-50 = 2e-22)."


@dataclass(frozen=True)
class Case:
    """Sizes and circumstances of one comparison.

    time, batch, heads, key, value, groups: axis lengths; causal_conv has heads x value channels and a window of `key`
    decay: "mixed" (from almost none to almost all), "strong" (STRONG throughout), "none" (exactly 1)
    resets: tokens at which every row resets; row b shifts them by b, so that rows differ
    """

    name: str
    time: int
    batch: int = 2
    heads: int = 2
    key: int = 5
    value: int = 7
    groups: int = 1
    decay: str = "mixed"
    resets: tuple[int, ...] = ()


CASES = (
    Case("one token", 1),
    Case("one token, reset", 1, resets=(0,)),
    Case("63 tokens", 63, groups=2),
    Case("100 tokens, resets", 100, resets=(0, 31, 32, 64, 65, 98)),
    Case("100 tokens, strong decay", 100, decay="strong", resets=(50,)),
    Case("100 tokens, no decay", 100, decay="none"),
    Case("512 tokens", 512, batch=1, resets=(200,)),
)
"A set that meets every path of every implementation; takes about a second an operator."


@dataclass(frozen=True)
class Inputs:
    """Arguments of one call: differentiable tensors by name, resets, and options that are no tensors."""

    tensors: dict[str, Tensor]
    reset: Tensor | None
    options: dict[str, Any]

    def to(self, kind: torch.dtype) -> "Inputs":
        """The same values in another type, as new leaves."""
        tensors = {name: tensor.detach().to(kind).requires_grad_() for name, tensor in self.tensors.items()}
        return Inputs(tensors, self.reset, self.options)

    def on(self, device: str) -> "Inputs":
        """The same values on a device, as new leaves."""
        tensors = {name: tensor.detach().to(device).requires_grad_() for name, tensor in self.tensors.items()}
        return Inputs(tensors, None if self.reset is None else self.reset.to(device), self.options)


@dataclass(frozen=True)
class Comparison:
    """Errors by tensor: `out`, `state` (the final one), and `d NAME` for each input's gradient."""

    operator: str
    implementation: str
    case: str
    errors: dict[str, float]

    @property
    def worst(self) -> tuple[str, float]:
        """Name and error of the tensor that is furthest off; NaN counts as furthest."""
        return max(self.errors.items(), key=lambda item: (item[1] != item[1], item[1]))

    @property
    def agrees(self) -> bool:
        return self.worst[1] <= TOLERANCE


OPERATORS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "rwkv6": rwkv6,
    "ssd": ssd,
    "delta_rule": delta_rule,
    "causal_conv": causal_conv,
}


def inputs(operator: str, case: Case, *, kind: torch.dtype = torch.float32, seed: int = 0) -> Inputs:
    """Random inputs of one case; the same seed gives the same values."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    reset = None
    if case.resets:
        reset = torch.zeros(case.batch, case.time, dtype=torch.bool)
        for row in range(case.batch):
            reset[row, [(token + row) % case.time for token in case.resets]] = True
    if operator in STATELESS:
        sizes = stateless.Sizes(case.batch, case.time, case.heads, case.heads * case.value, reset)
        tensors, options = stateless.inputs(operator, sizes, normal)
        reset = None
    else:
        tensors = _INPUTS[operator](case, normal)
        options = {"activation": "silu"} if operator == "causal_conv" else {}
    return Inputs({name: tensor.to(kind).requires_grad_() for name, tensor in tensors.items()}, reset, options)


def call(operator: str, implementation: str, given: Inputs) -> dict[str, Tensor]:
    """Results of one call by name: `out` and `state`, or what an operator without a state gives."""
    if operator in STATELESS:
        found = STATELESS[operator](**given.tensors, **given.options, implementation=implementation)
        names = stateless.RESULTS.get(operator, ("out",))
        return dict(zip(names, found if isinstance(found, tuple) else (found,), strict=True))
    run = OPERATORS[operator]
    out, state = run(**given.tensors, reset=given.reset, implementation=implementation, **given.options)
    return {"out": out, "state": state}


def evaluate(operator: str, implementation: str, given: Inputs, *, seed: int = 1) -> dict[str, Tensor]:
    """Outputs, final state and all gradients; an input that had no part has a gradient of zeros."""
    results = call(operator, implementation, given)
    random = torch.Generator().manual_seed(seed)
    # numbers that bfloat16 holds exactly, so that every type is asked the same question
    sloped = [result for result in results.values() if result.requires_grad]
    cotangents = [torch.randn(result.shape, generator=random).to(torch.bfloat16).to(result) for result in sloped]
    gradients = torch.autograd.grad(sloped, list(given.tensors.values()), cotangents, allow_unused=True)
    found = {name: result.detach() for name, result in results.items()}
    for (name, tensor), gradient in zip(given.tensors.items(), gradients, strict=True):
        found[f"d {name}"] = torch.zeros_like(tensor) if gradient is None else gradient
    return found


def differences(reference: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, float]:
    """max |a - b| / max |reference| of each tensor; the plain difference where the reference is all zeros."""
    errors = {}
    for name, expected in reference.items():
        expected = expected.double()
        scale = expected.abs().max().item() if expected.numel() else 0.0
        found = other[name].to(expected.device).double()
        distance = (found - expected).abs().max().item() if expected.numel() else 0.0
        errors[name] = distance / scale if scale > 0 else distance
    return errors


def compare(operator: str, implementation: str, case: Case, *, seed: int = 0, device: str = "cpu") -> Comparison:
    """Compare an implementation on a device with the reference on the processor, in float32.

    Raises ValueError for an unknown implementation.
    """
    given = inputs(operator, case, seed=seed)
    name = choose.resolve(operator, implementation, torch.device(device).type)
    errors = differences(evaluate(operator, "reference", given), evaluate(operator, name, given.on(device)))
    return Comparison(operator, name, case.name, errors)


def _log_decay(case: Case, noise: Tensor) -> Tensor:
    if case.decay == "strong":
        return torch.full_like(noise, STRONG)
    if case.decay == "none":
        return torch.zeros_like(noise)
    return -torch.exp(3 * noise - 3)


def _rwkv6(case: Case, normal: Callable[..., Tensor]) -> dict[str, Tensor]:
    batch, time, heads, key, value = case.batch, case.time, case.heads, case.key, case.value
    return {
        "r": normal(batch, time, heads, key),
        "k": normal(batch, time, heads, key),
        "v": normal(batch, time, heads, value),
        "log_decay": _log_decay(case, normal(batch, time, heads, key)),
        "bonus": normal(heads, key),
        "state": normal(batch, heads, key, value),
        "fresh": normal(heads, key, value),
    }


def _ssd(case: Case, normal: Callable[..., Tensor]) -> dict[str, Tensor]:
    batch, time, heads, size, width = case.batch, case.time, case.heads, case.key, case.value
    dt = torch.exp(normal(batch, time, heads) - 1)
    rate = _log_decay(case, normal(heads))
    if case.decay == "mixed":
        dt, rate = dt * torch.exp(2 * normal(batch, time, heads)), rate.clamp(max=-0.1)
    return {
        "x": normal(batch, time, heads, width),
        "dt": dt,
        "A": rate,
        "B": normal(batch, time, case.groups, size),
        "C": normal(batch, time, case.groups, size),
        "D": normal(heads),
        "state": normal(batch, heads, width, size),
        "fresh": normal(heads, width, size),
    }


def _delta_rule(case: Case, normal: Callable[..., Tensor]) -> dict[str, Tensor]:
    batch, time, heads, key, value = case.batch, case.time, case.heads, case.key, case.value
    return {
        "q": normal(batch, time, heads, key),
        # longer keys would make the state grow without bound; beta beyond 1 has negative eigenvalues
        "k": torch.nn.functional.normalize(normal(batch, time, heads, key), dim=-1),
        "v": normal(batch, time, heads, value),
        "beta": 2 * torch.sigmoid(normal(batch, time, heads)),
        "log_decay": _log_decay(case, normal(batch, time, heads)),
        "state": normal(batch, heads, key, value),
        "fresh": normal(heads, key, value),
    }


def _causal_conv(case: Case, normal: Callable[..., Tensor]) -> dict[str, Tensor]:
    channels, window = case.heads * case.value, case.key
    return {
        "x": normal(case.batch, case.time, channels),
        "weight": normal(channels, window),
        "bias": normal(channels),
        "state": normal(case.batch, channels, window - 1),
        "fresh": normal(channels, window - 1),
    }


_INPUTS = {"rwkv6": _rwkv6, "ssd": _ssd, "delta_rule": _delta_rule, "causal_conv": _causal_conv}
