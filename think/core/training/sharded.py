"""A model of which every process holds a share: torch's FSDP2, one group of weights for each block.

Each weight, its gradient and its moments are cut along the first axis and lie in W processes; a block's weights are
put together just before it runs and let go after. What one process would do is done on the shares where it is
elementwise (AdamW, clipping), and on whole matrices where it is not (Muon, see muon.py).

W processes
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, Shard

from think.core.data.batches import Batch
from think.core.data.store import Split
from think.core.errors import BadData
from think.core.models.state import State
from think.core.models.thinking import Thinking
from think.core.processes import Group
from think.core.training import sealed, shards
from think.core.training.checkpoint import Checkpoints, cannot_save
from think.core.training.evaluate import Score, evaluate, judge_of
from think.core.training.optimizer import Optimizer
from think.core.training.parallel import RANDOM, Layout, Pass, random_streams, through
from think.core.training.weights import require_same, weights

# Of the views that our blocks give back (parts of the state), none is changed in place.
warnings.filterwarnings("ignore", message="FSDP2-wrapped module", category=UserWarning)


class _Pass(Pass):
    """Also the pass of an evaluation: FSDP puts weights together around one forward method."""

    def __init__(self, model: Thinking):
        super().__init__(model)
        self._judge = judge_of(model)

    def forward(self, batch: Batch, state: State, total_weight: float | None, entropy_bonus: float) -> Any:
        if total_weight is None:
            return self._judge(batch, state)
        return super().forward(batch, state, total_weight, entropy_bonus)


class Sharded(Layout):
    """FSDP2. The model's parameters become DTensors: build the optimizer afterwards."""

    kind = "fsdp"

    def __init__(self, model: Thinking, group: Group, device: torch.device):
        super().__init__(model, group)
        self._mesh = DeviceMesh.from_group(group.data, device.type)
        self._roles = model.roles()
        for block in model.blocks:
            fully_shard(block, mesh=self._mesh)
            register_fsdp_forward_method(block, "normalise")
        self._whole = fully_shard(_Pass(model), mesh=self._mesh)
        for part in self._parts():
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)
        # A reset at one process gives its start states a gradient that those of another lack.
        self._whole.set_reduce_scatter_unused_params(True)
        self.forward = through(cast(nn.Module, self._whole))

    def adding(self, last: bool) -> AbstractContextManager[object]:
        self._whole.set_requires_gradient_sync(last)
        return super().adding(last)

    def start(self, rows: int) -> State:
        with self._put_together():
            return super().start(rows).clone()

    def logits(self, hidden: Tensor) -> Tensor:
        with self._put_together():
            return super().logits(hidden)

    def settle_gradients(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Start states and norms that no process used have no gradient, where FSDP made zeros."""
        states = [parameter for name, parameter in parameters.items() if self._roles[name] == "state"]
        states = [parameter for parameter in states if parameter.grad is not None]
        if not states:
            return
        used = torch.stack([shards.local(cast(Tensor, state.grad)).abs().sum() for state in states])
        for state, sum_of_all in zip(states, self.group.add_up(used).tolist(), strict=True):
            if sum_of_all == 0:
                state.grad = None

    def score(self, split: Split, rows: int, length: int, tokens: int | None) -> Score:
        def judge(batch: Batch, state: State | None) -> tuple[Tensor, State]:
            return cast(nn.Module, self._whole)(batch, state, None, 0.0)

        # As many tracks as `evaluate` gives this process, which is never none.
        mine = max(self.group.rows(rows).stop - self.group.rows(rows).start, 1)
        with torch.no_grad(), self._put_together():
            start = self.model.initial_state(mine).clone()
        return evaluate(self.model, split, rows, length, tokens, group=self.group, judge=judge, start=start)

    def save(
        self, checkpoints: Checkpoints, step: int, optimizer: Optimizer, state: State, facts: Mapping[str, Any]
    ) -> Path:
        saving = self.group.from_first(lambda: checkpoints.begin(step))
        random = random_streams(self.group)
        groups = {
            "model": weights(self.model),
            "optimizer": optimizer.state(),
            "state": {name: self._sharded_rows(tensor) for name, tensor in state.tensors().items()},
        }
        self.group.together(lambda: self._write(checkpoints, saving, groups))
        return self.group.from_first(lambda: checkpoints.finish(saving, sealed.prepare(step, {RANDOM: random}, facts)))

    def load(self, path: Path, optimizer: Optimizer, position: int, device: torch.device) -> State:
        try:
            manifest = sealed.manifest(path)
            held = {group: sealed.sizes(path, group, manifest) for group in ("model", "optimizer", "state")}
            own = weights(self.model)
            require_same(own, {name: size for name, (size, _) in held["model"].items()}, str(path))
            shards.read(sealed.place(path, "model", manifest), own)
            moments = {name: self._empty(name.rpartition("|")[0], *facts) for name, facts in held["optimizer"].items()}
            shards.read(sealed.place(path, "optimizer", manifest), moments)
            optimizer.load(moments)
            rows = {name: self._empty_rows(*facts) for name, facts in held["state"].items()}
            shards.read(sealed.place(path, "state", manifest), rows)
        except (OSError, SafetensorError) as error:
            raise BadData(
                f"cannot be read: {error}", where=str(path), expected="the checkpoint as it was saved"
            ) from error
        return State.from_tensors({name: shards.local(tensor) for name, tensor in rows.items()}, position).to(device)

    def _write(self, checkpoints: Checkpoints, saving: Path, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        try:
            for name, tensors in groups.items():
                shards.write(saving / name, tensors, self.group.rank)
        except (OSError, SafetensorError) as error:
            if self.group.first:
                checkpoints.give_up()
            raise cannot_save(checkpoints.folder, error) from error

    def _sharded_rows(self, tensor: Tensor) -> Tensor:
        return DTensor.from_local(tensor.detach().contiguous(), self._mesh, [Shard(0)])

    def _empty(self, parameter: str, size: torch.Size, kind: torch.dtype) -> Tensor:
        """A place for what the optimizer remembers of a parameter: cut as it is, or whole where it is a number."""
        like = weights(self.model).get(parameter)
        if isinstance(like, DTensor) and like.shape == size:
            return torch.empty_like(like, dtype=kind)
        return torch.empty(size, dtype=kind)

    def _empty_rows(self, size: torch.Size, kind: torch.dtype) -> Tensor:
        rows = self.group.rows(size[0])
        mine = torch.empty(rows.stop - rows.start, *size[1:], dtype=kind, device=self._mesh.device_type)
        return DTensor.from_local(mine, self._mesh, [Shard(0)])

    def _parts(self) -> Iterator[FSDPModule]:
        return (module for module in cast(nn.Module, self._whole).modules() if isinstance(module, FSDPModule))

    @contextmanager
    def _put_together(self) -> Iterator[None]:
        """All weights whole, for what is asked of them outside a forward pass."""
        for part in self._parts():
            part.unshard()
        try:
            yield
        finally:
            for part in self._parts():
                part.reshard()
