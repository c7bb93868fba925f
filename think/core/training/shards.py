"""Groups of tensors that several processes write and read each for itself, by torch.distributed.checkpoint.

    model/shard-00001-model-00001-of-00001.safetensors    what process 0 holds of every tensor
    model/shard-00002-…                                   what process 1 holds; a tensor that all hold is in one of them

The files are safetensors, and where each piece lies in its tensor stands in their own headers, so that any number of
processes, also one, reads its share of what any other number wrote. torch's usual storage keeps that in a pickled file;
this one, made for Hugging Face's layout, does not (docs/decisions/0014-sharded-checkpoints.md).
"""

import errno
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from think.core.durable import sync

if TYPE_CHECKING:
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata
    from torch.distributed.tensor import DTensor

PATTERN = "*.safetensors"


def write(folder: Path, tensors: Mapping[str, Tensor], rank: int) -> None:
    """Write one group, read one's own part back and compare. Called by all processes; raises OSError in any of them.

    A DTensor is written in pieces, each by the process that holds it; any other tensor must be equal in all.
    """
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint.api import CheckpointException

    writer = checkpoint.HuggingFaceStorageWriter(str(folder), save_distributed=True)
    try:
        checkpoint.save(dict(tensors), storage_writer=writer)
    except CheckpointException as error:
        raise _first_cause(error) from error
    for path in folder.glob(f"shard-{rank + 1:05d}-{PATTERN}"):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - this is no mapping
                if not same_bits(file.get_tensor(name), local(tensors[name]).detach().to("cpu")):
                    raise OSError(errno.EIO, f"{path.name} does not read back as written")
    sync(folder)


def read(folder: Path, into: Mapping[str, Tensor]) -> None:
    """Fill tensors, whole ones or DTensors, with what stands in a folder. Called by all processes.

    The folder may also hold whole files. Raises OSError or SafetensorError.
    """
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        checkpoint.load(dict(into), storage_reader=checkpoint.HuggingFaceStorageReader(str(folder)))
    except CheckpointException as error:
        raise _first_cause(error) from error


def read_whole(folder: Path) -> dict[str, Tensor]:
    """All tensors of a group, put together by one process for itself."""
    from torch.distributed import checkpoint

    tensors = {name: torch.empty(size, dtype=kind) for name, (size, kind) in sizes(folder).items()}
    reader = checkpoint.HuggingFaceStorageReader(str(folder))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)
        checkpoint.load(dict(tensors), storage_reader=reader, no_dist=True)
    return tensors


def sizes(folder: Path) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """Shape and type of every tensor in a folder of shards or of whole files, from the headers alone."""
    from torch.distributed.checkpoint import HuggingFaceStorageReader

    held = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    described = {name: cast("TensorStorageMetadata", facts) for name, facts in held.items()}
    return {name: (facts.size, facts.properties.dtype) for name, facts in described.items()}


def divided(tensor: Tensor) -> TypeGuard["DTensor"]:
    """Whether it is a DTensor, told without importing that class."""
    return hasattr(tensor, "to_local")


def local(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor: its piece of a DTensor, else all of it."""
    return tensor.to_local() if divided(tensor) else tensor


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Equal as bytes: NaN equals NaN, and 0 does not equal -0."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.equal(one.contiguous().reshape(-1).view(torch.uint8), other.contiguous().reshape(-1).view(torch.uint8))


def _first_cause(error: "CheckpointException") -> OSError:
    """What went wrong in the first process that failed, as an error of the disk."""
    rank, (cause, _) = min(error.failures.items())
    number = cause.errno if isinstance(cause, OSError) and cause.errno is not None else errno.EIO
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause) or type(cause).__name__
    kind = SafetensorError.__name__ if isinstance(cause, SafetensorError) else type(cause).__name__
    return OSError(number, f"{reason} (process {rank}, {kind})")
