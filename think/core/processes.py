"""The processes of one run: who is who, what they agree on, and how one learns that another has failed.

`torchrun` starts W processes that run the same program; `Launch` is what it told this one, read by the command line.
`joined` makes them a `Group`. Whatever may end a run, or depends on one process alone (folders, locks, signals, the
anomaly rules), is settled by the methods of `Group`, which all processes call in the same order. Tensors that training
exchanges go over `Group.data`; everything here goes over the processor, so that no accelerator waits for it.

A process that dies closes its connections: the others hear of it in their next exchange and raise InputOutput. One that
hangs is given up after TIMEOUT. Alone, every method answers at once and nothing is set up.

W processes   R rows
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar

import torch
import torch.distributed as distributed
from pydantic import Field
from torch import Tensor

from think.core.errors import BadSettings, InputOutput, MachineCannot, ThinkError
from think.presets.base import Settings, knob

Backend = Literal["auto", "gloo", "nccl"]
T = TypeVar("T")

TIMEOUT = timedelta(minutes=10)
"How long one process waits for the others. The longest honest wait is that for a checkpoint or a check of the data."

_SOURCE = re.compile(r"^\[[^\]]*:\d+\]\s*")

COMMAND = "torchrun --standalone --nproc-per-node 2 -m think train stage1 --preset NAME"


class _SeveralProcesses(Settings):
    kind: str
    backend: Backend = knob("auto", acts_on="runtime", may_change_on_resume=True)
    "library that moves tensors between processes; auto is nccl on cuda and gloo elsewhere"


class DdpSettings(_SeveralProcesses):
    """Every process holds the whole model and reads its share of the rows; gradients are added up."""

    kind: Literal["ddp"] = "ddp"


class FsdpSettings(_SeveralProcesses):
    """Every process holds a share of every weight, gradient and moment (FSDP2), and reads its share of the rows."""

    kind: Literal["fsdp"] = "fsdp"


ParallelSettings = Annotated[DdpSettings | FsdpSettings, Field(discriminator="kind")]


@dataclass(frozen=True)
class Launch:
    """What the launcher told this process.

    rank 0 to world_size - 1, and the same within this host as local_*;   address, port: where the processes meet
    served   somebody else keeps the meeting place (torchrun's agent does); otherwise the first process does
    attempt  how often the launcher has restarted the run, so that a new attempt does not meet the old one
    """

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int
    address: str
    port: int
    served: bool = False
    attempt: int = 0


@dataclass(frozen=True)
class Parallel:
    """What runtime.parallel became: how the work is divided, by which library, among how many."""

    kind: Literal["ddp", "fsdp"]
    backend: Literal["gloo", "nccl"]
    processes: int
    on_this_host: int

    def __str__(self) -> str:
        return f"{self.kind}, {self.processes} processes, {self.backend}"


def settle(asked: DdpSettings | FsdpSettings | None, device: str, launch: Launch | None) -> Parallel | None:
    """What runtime.parallel becomes here; None is one process by itself.

    Raises MachineCannot when several processes are asked for and there is one, or the library is not there.
    """
    if asked is None and (launch is None or launch.world_size == 1):
        return None
    kind: Literal["ddp", "fsdp"] = "ddp" if asked is None else asked.kind
    if launch is None:
        raise MachineCannot(
            f"{kind} divides a run among several processes, and this is one by itself",
            where="runtime.parallel.kind",
            remedy=f"start it as: {COMMAND} --set runtime.parallel.kind={kind}",
        )
    wanted: Backend = "auto" if asked is None else asked.backend
    accelerated = torch.device(device).type == "cuda"
    backend: Literal["gloo", "nccl"] = (
        ("nccl" if accelerated and distributed.is_nccl_available() else "gloo") if wanted == "auto" else wanted
    )
    if backend == "nccl" and not (accelerated and distributed.is_nccl_available()):
        raise MachineCannot(
            f"nccl moves tensors between cuda devices, and this run is on {device}",
            where="runtime.parallel.backend",
            expected="auto, or gloo",
            remedy="leave runtime.parallel.backend out",
        )
    return Parallel(kind, backend, launch.world_size, launch.local_world_size)


@dataclass(frozen=True)
class Group:
    """The processes of this run, as one of them sees it. Every method is called by all of them, in the same order."""

    rank: int = 0
    size: int = 1
    data: Any = field(default=None, compare=False)
    "torch's group for the tensors of training; None when alone"

    @property
    def first(self) -> bool:
        """Whether this is the process that speaks and writes."""
        return self.rank == 0

    def rows(self, total: int) -> slice:
        """This process's rows of `total`: contiguous, in the order of the ranks, equal up to one."""
        return slice(self.rank * total // self.size, (self.rank + 1) * total // self.size)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes of a tensor on the processor."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def add_up(self, values: Tensor) -> Tensor:
        """The same for a tensor on the device of training, over its own connections."""
        if self.size > 1:
            distributed.all_reduce(values, group=self.data)
        return values

    def greatest(self, values: Sequence[int]) -> list[int]:
        """The greatest of each number over all processes."""
        if self.size == 1:
            return list(values)
        held = torch.tensor(values, dtype=torch.int64)
        distributed.all_reduce(held, op=distributed.ReduceOp.MAX)
        return [int(value) for value in held]

    def gather(self, value: T) -> list[T]:
        """What each process holds, by rank; for facts, not for numbers of training."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, value)
        return found

    def gather_rows(self, tensor: Tensor) -> Tensor:
        """The rows of all processes, in order, at the first process; the others get an empty tensor. On the processor.

        Every process must hold equally many rows.
        """
        if self.size == 1:
            return tensor
        mine = tensor.detach().to("cpu").contiguous()
        parts = [torch.empty_like(mine) for _ in range(self.size)] if self.first else None
        distributed.gather(mine, parts)
        return torch.cat(parts) if parts is not None else mine[:0]

    def together(self, work: Callable[[], T]) -> T:
        """Do something in every process; when it fails in any, all raise the first one's error."""
        error: ThinkError | None = None
        result: Any = None
        try:
            result = work()
        except ThinkError as caught:
            error = caught
        if self.size == 1:
            if error is not None:
                raise error
            return result
        told = next((told for told in self.gather(_told(error, self.rank)) if told is not None), None)
        if told is not None:
            raise _as_error(told) if error is None or told["rank"] != self.rank else _by(error, self.rank)
        return result

    def from_first(self, work: Callable[[], T]) -> T:
        """Do something in the first process alone, and give what it gave to all; or raise its error in all."""
        result = self.together(lambda: work() if self.first else None)
        if self.size == 1:
            return result  # type: ignore[return-value]
        held = [result]
        distributed.broadcast_object_list(held)
        return held[0]  # type: ignore[return-value]

    def common(self, error: ThinkError) -> ThinkError:
        """An error that every process is about to raise: the first one will speak for all."""
        return error if self.size == 1 else _by(error, 0)


ALONE = Group()


@contextmanager
def joined(launch: Launch | None) -> Iterator[Group]:
    """Be one of the launched processes inside the `with`; alone when nothing was launched.

    Raises InputOutput when the others do not come, or are lost on the way.
    """
    if launch is None:
        yield ALONE
        return
    with watched(launch.world_size):
        meeting: distributed.Store = (
            distributed.HashStore()
            if launch.world_size == 1
            else distributed.TCPStore(
                launch.address,
                launch.port,
                launch.world_size,
                is_master=launch.rank == 0 and not launch.served,
                timeout=TIMEOUT,
                multi_tenant=True,
            )
        )
        distributed.init_process_group(
            "gloo",
            store=distributed.PrefixStore(f"think/{launch.attempt}", meeting),
            rank=launch.rank,
            world_size=launch.world_size,
            timeout=TIMEOUT,
        )
        try:
            yield Group(launch.rank, launch.world_size)
        finally:
            distributed.destroy_process_group()


def with_data(group: Group, parallel: Parallel | None) -> Group:
    """The group with connections for tensors, by the library that was settled on. Called by all processes."""
    if parallel is None:
        return group
    same = parallel.backend == "gloo"
    data = distributed.group.WORLD if same else distributed.new_group(backend=parallel.backend, timeout=TIMEOUT)
    return Group(group.rank, group.size, data)


@contextmanager
def watched(processes: int) -> Iterator[None]:
    """Says a broken connection inside the `with` in our words. Raises InputOutput."""
    try:
        yield
    except RuntimeError as error:
        if processes == 1 or not _is_lost(error):
            raise
        raise InputOutput(
            f"lost the other processes of this run: {_reason(error)}",
            expected=f"all {processes} processes, until the end",
            remedy="see what the process that failed first has said, then go on from the last checkpoint with --resume",
        ) from error


def require_division(rows: int, micro_batches: int, processes: int) -> None:
    """Raises BadSettings unless every process gets the same number of rows, and these the same number of parts."""
    parts = processes * micro_batches
    if rows % parts:
        nearest = max(round(rows / parts), 1) * parts
        shares = f"{processes} processes" + (f" x {micro_batches} micro-batches" if micro_batches > 1 else "")
        raise BadSettings(
            f"stage1.rows = {rows} cannot be divided among {shares}",
            expected=f"a multiple of {parts}",
            remedy=f"start another number of processes, or --set stage1.rows={nearest} for a new run",
        )


def _is_lost(error: RuntimeError) -> bool:
    """torch has kinds of its own for some of these, and for those of gloo only words."""
    words = ("gloo", "Connection closed", "Connection reset", "Broken pipe", "Timed out", "timed out", "NCCL")
    return isinstance(error, distributed.DistError) or any(word in str(error) for word in words)


def _reason(error: RuntimeError) -> str:
    """The first sentence of torch's message, without the place in torch's source that it begins with."""
    return _SOURCE.sub("", str(error).partition("\n")[0]).partition(". ")[0].strip() or type(error).__name__


def _told(error: ThinkError | None, rank: int) -> dict[str, Any] | None:
    if error is None:
        return None
    parts = {"what": error.what, "where": error.where, "expected": error.expected, "remedy": error.remedy}
    return {"kind": type(error), "rank": rank, "exit": error.exit, **parts}


def _as_error(told: dict[str, Any]) -> ThinkError:
    error = ThinkError(told["what"], where=told["where"], expected=told["expected"], remedy=told["remedy"])
    error.exit = told["exit"]
    return _by(error, told["rank"])


def _by(error: ThinkError, rank: int) -> ThinkError:
    error.rank = rank
    return error
