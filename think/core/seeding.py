"""Random streams that do not disturb each other.

Every consumer of randomness draws from a stream of its own, named by what it is for: the seed of a stream is a hash of
the run's seed and that name, so adding a consumer moves nobody else's numbers. Torch's global generators feed
initialisation and dropout; what they hold is part of a checkpoint.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

_LIMIT = 2**63
_CPU = "cpu"


def stream(seed: int, *names: str | int) -> int:
    """The seed, 0 to 2^63 - 1, of the stream with this name under the run's seed."""
    text = "\x1f".join([str(seed), *(str(name) for name in names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % _LIMIT


def generator(seed: int, *names: str | int) -> torch.Generator:
    """A private CPU generator at the start of the named stream."""
    return torch.Generator().manual_seed(stream(seed, *names))


def start(seed: int, *names: str | int) -> None:
    """Put torch's global generators, of every device, at the start of the named stream."""
    torch.manual_seed(stream(seed, *names))


def snapshot() -> dict[str, Tensor]:
    """What torch's global generators hold now, as uint8 tensors named by device."""
    held = {_CPU: torch.get_rng_state()}
    if torch.cuda.is_available():
        held |= {f"cuda:{index}": held for index, held in enumerate(torch.cuda.get_rng_state_all())}
    return held


def restore(held: Mapping[str, Tensor]) -> None:
    """Give torch's global generators back what `snapshot` took; a device that this machine lacks is left out."""
    torch.set_rng_state(held[_CPU])
    for index in range(torch.cuda.device_count()):
        if f"cuda:{index}" in held:
            torch.cuda.set_rng_state(held[f"cuda:{index}"], index)


@contextmanager
def untouched() -> Iterator[None]:
    """Whatever draws random numbers inside leaves torch's global generators as they were."""
    held = snapshot()
    try:
        yield
    finally:
        restore(held)
