"""What a model carries from one token to the next: one value, whatever the mixers are.

Each layer contributes tensors under dotted names ("mixer.rwkv.matrix", "feed_forward.shift"), the batch first in all of
them. `position` counts the tokens since the start of the stream; a document reset does not move it, so StateNorm acts
at the same tokens however a stream is cut into calls.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LayerState = dict[str, Tensor]


def scope(state: Mapping[str, Tensor], prefix: str) -> LayerState:
    """The entries under `prefix.`, with the prefix removed."""
    return {name[len(prefix) + 1 :]: tensor for name, tensor in state.items() if name.startswith(prefix + ".")}


def under(prefix: str, state: Mapping[str, Tensor]) -> LayerState:
    """The same entries, named under `prefix.`."""
    return {f"{prefix}.{name}": tensor for name, tensor in state.items()}


def even(state: LayerState) -> LayerState:
    """The same values as tensors of one make: dense, and asking for a gradient wherever gradients are recorded.

    For torch.compile, which compiles again for each make of tensor that it meets: the start of a stream is one matrix
    seen by all rows, and what came through StateNorm in this step asks for a gradient where what came from the last
    step does not.
    """
    if not torch.is_grad_enabled():
        return {name: tensor.contiguous() for name, tensor in state.items()}
    asking = {
        name: tensor.detach().requires_grad_() if tensor.is_floating_point() and not tensor.requires_grad else tensor
        for name, tensor in state.items()
    }
    return {name: tensor.contiguous() for name, tensor in asking.items()}


@dataclass(frozen=True)
class State:
    """The running state of a batch of streams.

    position  tokens seen since the start of the streams
    layers    one mapping a layer; every tensor is [B, ...]
    """

    position: int
    layers: tuple[LayerState, ...]

    @property
    def batch(self) -> int:
        """Number of streams. Raises StopIteration for a model without any state."""
        return next(tensor.shape[0] for layer in self.layers for tensor in layer.values())

    def detach(self) -> "State":
        """The same values, cut from the graph: the edge of truncated back-propagation."""
        return self._map(Tensor.detach)

    def clone(self) -> "State":
        return self._map(Tensor.clone)

    def to(self, device: torch.device | str) -> "State":
        return self._map(lambda tensor: tensor.to(device))

    def rows(self, rows: slice | Tensor) -> "State":
        """Some of the streams: a slice, or an index tensor (which may repeat rows)."""
        return self._map(lambda tensor: tensor[rows])

    @staticmethod
    def join(parts: Sequence["State"]) -> "State":
        """Streams side by side; all parts must stand at one position. Raises ValueError otherwise."""
        positions = {part.position for part in parts}
        if len(positions) != 1:
            raise ValueError(f"states to join stand at different positions: {sorted(positions)}")
        layers = tuple(
            {name: torch.cat([part.layers[index][name] for part in parts]) for name in layer}
            for index, layer in enumerate(parts[0].layers)
        )
        return State(positions.pop(), layers)

    def matrices(self) -> Iterator[tuple[int, str, Tensor]]:
        """The recurrent matrices as (layer, branch, [B, H, rows, columns]), before any StateNorm that is due."""
        for index, layer in enumerate(self.layers):
            for name, tensor in layer.items():
                if name.rpartition(".")[2] == "matrix":
                    yield index, name.split(".")[-2] if name.count(".") > 1 else "mixer", tensor

    def tensors(self) -> dict[str, Tensor]:
        """Flat names for a checkpoint: "layers.3.mixer.rwkv.matrix". `position` is stored beside them."""
        return {f"layers.{i}.{name}": t for i, layer in enumerate(self.layers) for name, t in layer.items()}

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor], position: int) -> "State":
        """The inverse of `tensors`."""
        layers: dict[int, LayerState] = {}
        for flat, tensor in tensors.items():
            _, index, name = flat.split(".", 2)
            layers.setdefault(int(index), {})[name] = tensor
        count = max(layers, default=-1) + 1
        return State(position, tuple(layers.get(index, {}) for index in range(count)))

    def _map(self, change) -> "State":  # type: ignore[no-untyped-def]
        return State(self.position, tuple({n: change(t) for n, t in layer.items()} for layer in self.layers))
