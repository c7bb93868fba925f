"""A model's numbers by name, and back; a tied table is stored once.

A module that got buffers when there were checkpoints already names them in `CAME_LATER`: a checkpoint may lack them,
and then they are what they are in a new one.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from think.core.errors import BadData


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, each once. Live tensors, not copies."""
    own = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    return {name: tensor for name, tensor in model.state_dict().items() if name in own}


@torch.no_grad()
def load_weights(model: nn.Module, held: Mapping[str, Tensor], where: str) -> None:
    """Copy stored numbers into the model. Raises BadData, naming the first tensor that does not fit."""
    lacked = came_later(model) - held.keys()
    own = {name: tensor for name, tensor in weights(model).items() if name not in lacked}
    require_same(own, {name: tensor.shape for name, tensor in held.items()}, where)
    for name, tensor in own.items():
        tensor.copy_(held[name])


def came_later(model: nn.Module) -> set[str]:
    """Names of tensors that older checkpoints of the model lack."""
    return {
        f"{place}.{name}" if place else name
        for place, module in model.named_modules()
        for name in getattr(type(module), "CAME_LATER", ())
    }


def require_same(own: Mapping[str, Tensor], held: Mapping[str, torch.Size], where: str) -> None:
    """Raises BadData, naming the first tensor that differs in name or shape."""
    for name in sorted(own.keys() ^ held.keys()):
        raise _misfit(f"{name!r} is {'missing in the checkpoint' if name in own else 'unknown to the model'}", where)
    for name, tensor in own.items():
        if tensor.shape != held[name]:
            raise _misfit(f"{name!r} has shape {list(held[name])}, the model's has {list(tensor.shape)}", where)


def _misfit(what: str, where: str) -> BadData:
    return BadData(
        what,
        where=where,
        expected="the weights of this very model",
        remedy="use the settings.toml that stands in the checkpoint's run folder",
    )
