"""Sizes of a model, whatever its size: a small one is built, a large one stands on the meta device.

On the meta device tensors have shapes and no numbers, so the largest model costs no memory. But torch's arithmetic
there is written in Python and imports its compiler, which takes as long as `import torch`; for a small model it is
quicker to draw its numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from think.core import seeding
from think.core.models.mixers.attention import Attention
from think.core.models.thinking import Settings, Thinking, build

QUICKLY_MADE = 15_000_000
"Numbers that may be written to find a model's sizes: about as long as a tenth of `import torch`."
CALL = 1_000
"Numbers that are written in the time of one call of torch, which bounds models of many tiny layers."


def shapes(settings: Settings) -> Thinking:
    """A model of which only the shapes mean something; moves no random stream."""
    try:
        with seeding.untouched(), _Bounded(QUICKLY_MADE):
            return build(settings)
    except _TooLargeError:
        return on_meta(settings)


def on_meta(settings: Settings) -> Thinking:
    """The model as shapes only."""
    with torch.device("meta"):
        return build(settings)


class _TooLargeError(Exception):
    pass


class _Bounded(TorchFunctionMode):
    """Stops when about `numbers` numbers were made; memory that was only asked for costs nothing before that."""

    def __init__(self, numbers: int):
        super().__init__()
        self.left = numbers

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            made = func(*args, **(kwargs or {}))
        except RuntimeError as error:  # more than can be asked for; what is wrong is said on the meta device
            raise _TooLargeError from error
        if isinstance(made, torch.Tensor):
            self.left -= made.numel() + CALL
            if self.left < 0:
                raise _TooLargeError
        return made


def parameters(settings: Settings) -> int:
    """Trainable numbers; a tied table counts once."""
    return sum(parameter.numel() for parameter in shapes(settings).parameters())


def flops_per_token(settings: Settings, length: int, model: Thinking | None = None) -> int:
    """Multiply-adds count twice, forward and backward: 6 for each weight of a linear map, plus what grows with state.

    length  tokens in a training window; only attention depends on it, through how many keys a query can see
    model   one of these settings, if there is one
    """
    model = model or shapes(settings)
    roles = model.roles()
    weights = sum(p.numel() for name, p in model.named_parameters() if roles[name] == "matrix")
    weights += settings.vocabulary * settings.width
    state_elements = sum(matrix[0].numel() for _, _, matrix in model.initial_state(1).matrices())
    attention = 0
    for block in model.blocks:
        if isinstance(block.mixer, Attention):
            attention += 2 * settings.width * min(block.mixer.context, 2 * length)
    # a recurrence reads (2), decays (1) and writes (2) every element of its state; the backward pass does twice that
    return 6 * weights + 3 * 5 * state_elements + 6 * attention
