"""Sizes of a model without its memory: built on the meta device, where tensors have shapes and no numbers."""

import torch

from think.core.models.mixers.attention import Attention
from think.core.models.thinking import Settings, Thinking, build


def on_meta(settings: Settings) -> Thinking:
    """The model as shapes only."""
    with torch.device("meta"):
        return build(settings)


def parameters(settings: Settings) -> int:
    """Trainable numbers; a tied table counts once."""
    return sum(parameter.numel() for parameter in on_meta(settings).parameters())


def flops_per_token(settings: Settings, length: int) -> int:
    """Multiply-adds count twice, forward and backward: 6 for each weight of a linear map, plus what grows with state.

    length  tokens in a training window; only attention depends on it, through how many keys a query can see
    """
    model = on_meta(settings)
    weights = sum(p.numel() for name, p in model.named_parameters() if model.roles()[name] == "matrix")
    weights += settings.vocabulary * settings.width
    state_elements = sum(matrix[0].numel() for _, _, matrix in model.initial_state(1).matrices())
    attention = 0
    for block in model.blocks:
        if isinstance(block.mixer, Attention):
            attention += 2 * settings.width * min(block.mixer.context, 2 * length)
    # a recurrence reads (2), decays (1) and writes (2) every element of its state; the backward pass does twice that
    return 6 * weights + 3 * 5 * state_elements + 6 * attention
