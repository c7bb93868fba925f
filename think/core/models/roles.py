"""What each parameter is, told by the module that owns it and not by its shape.

    matrix     a linear map of the residual stream: weight decay, may be orthogonalised (Muon)
    embedding  token tables, tied or not
    vector     gains, biases, convolution taps, residual scales
    decay      what steers a recurrence: decays, time steps, mixing and gate projections
    state      trained start states and the gains of StateNorm

A module that owns parameters has a class attribute ROLES (own parameter name -> role). A module may also say which
COMPONENT its whole subtree is; the deepest enclosing one wins.
"""

from typing import Literal

from torch import nn

Role = Literal["matrix", "embedding", "vector", "decay", "state"]
Component = Literal["rwkv", "mamba", "attention", "ffn", "embedding", "other"]

_TORCH_MODULES: dict[type[nn.Module], dict[str, Role]] = {
    nn.Linear: {"weight": "matrix", "bias": "vector"},
    nn.Embedding: {"weight": "embedding"},
    nn.GroupNorm: {"weight": "vector", "bias": "vector"},
    nn.GRUCell: {"weight_ih": "matrix", "weight_hh": "matrix", "bias_ih": "decay", "bias_hh": "decay"},
}


def roles(model: nn.Module) -> dict[str, Role]:
    """Role of every parameter by name. Raises TypeError for a parameter that no module has declared."""
    found: dict[str, Role] = {}
    seen: set[int] = set()
    for path, module in model.named_modules():
        declared = getattr(module, "ROLES", None) or _TORCH_MODULES.get(type(module), {})
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen:
                continue
            seen.add(id(parameter))
            full = f"{path}.{name}" if path else name
            if name not in declared:
                raise TypeError(f"{type(module).__name__} owns {full} but its ROLES does not say what it is")
            found[full] = declared[name]
    return found


def components(model: nn.Module) -> dict[str, Component]:
    """Component of every parameter by name; "other" where no enclosing module declares one."""
    declared: dict[str, Component] = {
        path: module.COMPONENT for path, module in model.named_modules() if hasattr(module, "COMPONENT")
    }
    found: dict[str, Component] = {}
    for name, _ in model.named_parameters():
        parts = name.split(".")[:-1]
        paths = [".".join(parts[:depth]) for depth in range(len(parts), -1, -1)]
        found[name] = next((declared[path] for path in paths if path in declared), "other")
    return found
