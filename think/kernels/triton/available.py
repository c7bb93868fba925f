"""Whether kernels in Triton can run on a device, and what they need; imports Triton only when it is there."""

import importlib.util

import torch
from torch import Tensor

INSTALL = "pip install 'think-toolkit[gpu]'"
"How Triton is installed beside a CUDA build of torch, which brings it anyway."

KINDS = (torch.float32, torch.bfloat16)
"Types of numbers that kernels read; they add up in float32."

OLDEST = (8, 0)
"Compute capability below which there are no bfloat16 tensor cores."


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, on any device: TRITON_INTERPRET=1 stood before Triton was loaded."""
    import triton

    return bool(triton.knobs.runtime.interpret)


def lacks(device: str, kind: torch.dtype) -> str | None:
    """Why kernels in Triton cannot run on a device with numbers of a type; None when they can."""
    if kind not in KINDS:
        return f"kernels in Triton take float32 and bfloat16, not {str(kind).removeprefix('torch.')}"
    if device not in ("cuda", "cpu"):
        return f"kernels in Triton are for cuda and not for {device}"
    if importlib.util.find_spec("triton") is None:
        return f"Triton is not installed; {INSTALL}"
    if interpreted():
        return None
    if device == "cpu":
        return "kernels in Triton are for cuda; on a processor only its interpreter runs them (TRITON_INTERPRET=1)"
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    found = torch.cuda.get_device_capability()
    if found < OLDEST:
        return (
            f"the device has compute capability {found[0]}.{found[1]}, kernels in Triton need {OLDEST[0]}.{OLDEST[1]}"
        )
    return None


def empty(like: Tensor, *shape: int) -> Tensor:
    """Where a kernel writes what has the type of `like`, of its shape or another.

    float32 in the interpreter, which truncates where a GPU rounds; `operators` then rounds.
    """
    return like.new_empty(shape or like.shape, dtype=torch.float32 if interpreted() else like.dtype)
