"""How the processes of a run hold the model, and what each must do so that together they are one process.

    alone   the model as it is
    ddp     every process holds all of it; torch adds up the gradients while the backward pass goes on
    fsdp    every process holds a share of it; see sharded.py

Rows, not time, are divided: process r of W trains rows r R/W to (r+1) R/W of every step and carries their state. Every
sum of the loss is divided by the scored tokens of the whole step, so gradients are added, never averaged.

R rows   W processes
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from think.core import seeding
from think.core.data.batches import Batch
from think.core.data.store import Split
from think.core.device import Machine, compile_each
from think.core.models.state import State
from think.core.models.thinking import Thinking
from think.core.processes import ALONE, Group
from think.core.training import sealed
from think.core.training.checkpoint import Checkpoints
from think.core.training.evaluate import Score, evaluate
from think.core.training.losses import Loss
from think.core.training.optimizer import Optimizer
from think.core.training.step import Forward, forward_of
from think.core.training.weights import load_weights, weights

RANDOM = "random"


class Pass(nn.Module):
    """A training pass of the model as a module of its own, which is what torch wraps; it gives the parts of a Loss."""

    def __init__(self, model: Thinking):
        super().__init__()
        self.model = model
        self._forward = forward_of(model)

    def forward(
        self, batch: Batch, state: State, total_weight: float, entropy_bonus: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, State]:
        loss, hidden, after = self._forward(batch, state, total_weight, entropy_bonus)
        return loss.objective, loss.cross_entropy, loss.entropy, hidden, after


def through(wrapped: nn.Module) -> Forward:
    """A wrapped `Pass` as the loop calls it."""

    def forward(batch: Batch, state: State, total_weight: float, entropy_bonus: float) -> tuple[Loss, Tensor, State]:
        *parts, hidden, after = wrapped(batch, state, total_weight, entropy_bonus)
        return Loss(*parts), hidden, after

    return forward


class Layout:
    """The model in one process, whole; the base of the other two."""

    kind = "alone"

    def __init__(self, model: Thinking, group: Group = ALONE):
        self.model, self.group = model, group
        self.forward: Forward = forward_of(model)

    def adding(self, last: bool) -> AbstractContextManager[object]:
        """Around the forward and backward pass of a micro-batch; gradients are exchanged with the last one."""
        return _nothing()

    def start(self, rows: int) -> State:
        """The trained start state of this process's share of `rows` streams."""
        return self.model.initial_state(_length(self.group.rows(rows))).detach()

    def logits(self, hidden: Tensor) -> Tensor:
        """The predictions behind a hidden state of the forward pass."""
        return self.model.logits(hidden)

    def settle_gradients(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """After the backward pass: leave the gradients as one process would have them."""

    def score(self, split: Split, rows: int, length: int, tokens: int | None) -> Score:
        """Held-out loss, each process reading its share of the tracks."""
        return evaluate(self.model, split, rows, length, tokens, group=self.group)

    def save(
        self, checkpoints: Checkpoints, step: int, optimizer: Optimizer, state: State, facts: Mapping[str, Any]
    ) -> Path:
        """Save a checkpoint of the whole run; called by all processes, raises InputOutput in all."""
        gathered = self.gather(state)
        random = random_streams(self.group)
        return self.group.from_first(
            lambda: checkpoints.save(
                step,
                {
                    "model": weights(self.model),
                    "optimizer": optimizer.state(),
                    "state": gathered.tensors(),
                    RANDOM: random,
                },
                facts,
            )
        )

    def load(self, path: Path, optimizer: Optimizer, position: int, device: torch.device) -> State:
        """Take back model, optimizer and this process's share of the state from a verified checkpoint."""
        tensors = sealed.read(path, ("model", "optimizer", "state"))
        load_weights(self.model, tensors["model"], str(path))
        optimizer.load(tensors["optimizer"])
        whole = State.from_tensors(tensors["state"], position)
        return whole.rows(self.group.rows(whole.batch)).to(device)

    def gather(self, state: State) -> State:
        """The state of all rows, at the first process; of none at the others."""
        if self.group.size == 1:
            return state
        gathered = {name: self.group.gather_rows(tensor) for name, tensor in state.tensors().items()}
        return State.from_tensors(gathered, state.position)


class Ddp(Layout):
    """The whole model in every process; gradients are added up."""

    kind = "ddp"

    def __init__(self, model: Thinking, group: Group, device: torch.device):
        super().__init__(model, group)
        self._wrapped = DistributedDataParallel(
            Pass(model),
            device_ids=None if device.type == "cpu" else [device],
            process_group=group.data,
            # Start states and StateNorm get no gradient in a step without a reset or a norm; this also keeps the
            # buckets as they are from the first step on, so that a resumed run adds in the same order.
            find_unused_parameters=True,
            gradient_as_bucket_view=True,
        )
        self._wrapped.register_comm_hook(group.data, _add)
        self.forward = through(self._wrapped)

    def adding(self, last: bool) -> AbstractContextManager[object]:
        return _nothing() if last else self._wrapped.no_sync()


def lay_out(model: Thinking, machine: Machine, group: Group) -> Layout:
    """Hold a freshly built model, equal in all processes, as the machine says; kernels and compiler included."""
    model.use_kernels(machine.kernels)
    compile_each(model.blocks, machine.compile)
    if machine.parallel is None:
        return Layout(model, group)
    if machine.parallel.kind == "ddp":
        return Ddp(model, group, machine.torch_device)
    from think.core.training.sharded import Sharded

    return Sharded(model, group, machine.torch_device)


def random_streams(group: Group) -> dict[str, Tensor]:
    """Generators of every process: those of the first by device, those of process r under "r.device"."""
    found: dict[str, Tensor] = {}
    for rank, held in enumerate(group.gather(seeding.snapshot())):
        found |= {f"{rank}.{name}" if rank else name: tensor for name, tensor in held.items()}
    return found


def restore_random(held: Mapping[str, Tensor], group: Group, fresh: tuple[int, *tuple[str | int, ...]]) -> None:
    """Put this process's generators where a checkpoint left them.

    fresh: seed and names of the stream to start in a process that did not exist then; the rank among them.
    """
    prefix = f"{group.rank}." if group.rank else ""
    mine = {
        name.removeprefix(prefix): tensor
        for name, tensor in held.items()
        if (name.startswith(prefix) if prefix else "." not in name)
    }
    if mine:
        seeding.restore(mine)
    else:
        seeding.start(*fresh)


def _add(group: Any, bucket: torch.distributed.GradBucket) -> torch.futures.Future[Tensor]:
    """Adds up a bucket of gradients, where torch would take the mean."""
    work = torch.distributed.all_reduce(bucket.buffer(), group=group, async_op=True)
    return work.get_future().then(lambda done: done.value()[0])


def _length(rows: slice) -> int:
    return int(rows.stop - rows.start)


@contextmanager
def _nothing() -> Iterator[None]:
    yield
