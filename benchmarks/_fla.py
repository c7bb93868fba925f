"""flash-linear-attention's torch references as contestants, where the package is installed (`make bench-setup`).

Its modules cannot be imported without Triton, so the files of the references are loaded alone, by path. They know no
resets; scales are set to 1 as ours are. `naive_chunk_rwkv6` is not here: it changes tensors in place that its backward
pass needs, so it cannot be differentiated.

    rwkv6        naive_recurrent_rwkv6
    ssd          naive_chunk_simple_gla, which is Mamba-2's recurrence: q = C, k = dt B, v = x, log decay = dt A
    delta_rule   naive_recurrent_gated_delta_rule, naive_chunk_gated_delta_rule
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from think.kernels.bench import Call
from think.kernels.compare import Inputs, call, differences

FARTHEST = 1e-3
"Error beyond which two are not the same operator, and are not timed beside each other; chunks of 64 round so."


def contestants(operator: str) -> dict[str, Call]:
    """The references of an operator by name; empty without the package."""
    found = importlib.util.find_spec("fla")
    if found is None or not found.submodule_search_locations:
        return {}
    folder = Path(found.submodule_search_locations[0]) / "ops"
    match operator:
        case "rwkv6":
            module = _load(folder / "rwkv6" / "recurrent_naive.py")
            return {"fla recurrent": lambda given: _rwkv6(module, given)}
        case "ssd":
            module = _load(folder / "simple_gla" / "naive.py")
            return {"fla chunk": lambda given: _ssd(module, given)}
        case "delta_rule":
            module = _load(folder / "gated_delta_rule" / "naive.py")
            return {
                "fla recurrent": lambda given: _delta_rule(module.naive_recurrent_gated_delta_rule, given),
                "fla chunk": lambda given: _delta_rule(module.naive_chunk_gated_delta_rule, given),
            }
    return {}


def require_same(operator: str, name: str, run: Call, given: Inputs) -> None:
    """Raises ValueError when a contestant computes something else than our reference does."""
    errors = differences(call(operator, "reference", given), run(given))
    if not max(errors.values()) <= FARTHEST:
        raise ValueError(f"{name} is not our {operator}: errors {errors}")


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"fla_{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _rwkv6(module: ModuleType, given: Inputs) -> dict[str, Tensor]:
    t = given.tensors
    moved = [t[name].transpose(1, 2) for name in ("r", "k", "v", "log_decay")]
    out, state = module.naive_recurrent_rwkv6(
        *moved, t["bonus"], scale=1.0, initial_state=t["state"], output_final_state=True
    )
    return {"out": out.transpose(1, 2), "state": state}


def _ssd(module: ModuleType, given: Inputs) -> dict[str, Tensor]:
    t = given.tensors
    each = t["x"].shape[2] // t["B"].shape[2]
    entering, leaving = (t[name].repeat_interleave(each, dim=2) for name in ("B", "C"))
    out, state = module.naive_chunk_simple_gla(
        leaving,
        entering * t["dt"].unsqueeze(-1),
        t["x"],
        t["dt"] * t["A"],
        initial_state=t["state"].mT,
        output_final_state=True,
        scale=1.0,
    )
    return {"out": out + t["D"][:, None] * t["x"], "state": state.mT}


def _delta_rule(run: Callable[..., Any], given: Inputs) -> dict[str, Tensor]:
    t = given.tensors
    out, state = run(
        **{name: t[name] for name in ("q", "k", "v", "beta")},
        g=t["log_decay"],
        scale=1.0,
        initial_state=t["state"],
        output_final_state=True,
    )
    return {"out": out, "state": state}
