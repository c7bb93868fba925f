"""The machine under a run: device, threads, compilation, kernels; every "auto" is settled here, once, and recorded.

Asking by name for what the machine lacks is an error, never a substitution.
"""

import contextlib
import ctypes
import os
import platform
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import torch
from pydantic import PositiveInt
from torch import nn

from think.core.errors import BadSettings, MachineCannot
from think.core.processes import Launch, Parallel, ParallelSettings, settle
from think.kernels import choose
from think.presets.base import Settings, knob

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"Options of glibc's mallopt, as its malloc.h numbers them."
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")

MOST_THREADS = 1024
"More than any machine has use for; the thread library aborts the process when it cannot make them."

MOST_GRAPHS = 64
"Graphs that torch.compile may make of one function; about five are made for each make of block."

Compile = Literal["default", "reduce-overhead", "max-autotune"]


class RuntimeSettings(Settings):
    """What a run asks of the machine; changes its speed, never its mathematics."""

    device: str = knob("auto", acts_on="runtime", may_change_on_resume=True)
    "auto, cpu, cuda, cuda:N or mps; auto is the first accelerator, else the processor"
    threads: Literal["auto"] | PositiveInt = knob("auto", acts_on="runtime", may_change_on_resume=True)
    "processor threads of one operation; auto is every core, shared among the processes of this host"
    compile: Compile | None = knob(None, acts_on="runtime", may_change_on_resume=True)
    "mode of torch.compile for the blocks of the model, or none"
    kernels: str = knob("auto", acts_on="runtime", may_change_on_resume=True)
    "implementation of the recurrent kernels by name; auto is the fastest that this machine runs"
    parallel: ParallelSettings | None = None
    "how the processes of torchrun divide a run; when absent ddp, and nothing where there is one process"


@dataclass(frozen=True)
class Machine:
    """What the settings became on this machine."""

    device: str
    threads: int
    compile: str | None
    kernels: str
    kernels_became: dict[str, str]
    asked: dict[str, Any]
    torch_version: str
    processor_cores: int
    parallel: Parallel | None = None

    @property
    def processes(self) -> int:
        """Processes of the run."""
        return 1 if self.parallel is None else self.parallel.processes

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def resolve(settings: RuntimeSettings, launch: Launch | None = None) -> Machine:
    """Settle every "auto". Raises MachineCannot for a device or compiler that is absent, BadSettings for a bad name.

    launch: what the launcher of several processes told this one.
    """
    if settings.threads != "auto" and settings.threads > MOST_THREADS:
        raise BadSettings(
            f"{settings.threads} threads are too many",
            where="runtime.threads",
            expected=f"auto, or at most {MOST_THREADS}; this machine has {available_cores()} cores",
            remedy="--set runtime.threads=auto",
        )
    device = _device(settings.device, launch)
    neighbours = 1 if launch is None else launch.local_world_size
    return Machine(
        device=device,
        threads=max(available_cores() // neighbours, 1) if settings.threads == "auto" else settings.threads,
        compile=_compile(settings.compile),
        kernels=settings.kernels,
        kernels_became=_kernels(settings.kernels, torch.device(device).type),
        asked=settings.model_dump(mode="json"),
        torch_version=torch.__version__,
        processor_cores=available_cores(),
        parallel=settle(settings.parallel, device, launch),
    )


def memory_bytes(machine: Machine) -> int:
    """Memory that tensors can take on the machine's device: of the accelerator, else of the processor and its swap."""
    if machine.torch_device.type == "cuda":
        return int(torch.cuda.get_device_properties(machine.torch_device).total_memory)
    found = psutil.virtual_memory().total + psutil.swap_memory().total
    with contextlib.suppress(OSError, ValueError):  # the limit of a container; "max" where there is none
        found = min(found, int(_CONTAINER_LIMIT.read_text()))
    return int(found)


def prepare(machine: Machine) -> None:
    """Apply the machine to this process: thread count, and arithmetic that gives equal results on every run."""
    torch.set_num_threads(machine.threads)
    keep_freed_memory()
    if machine.torch_device.type == "cuda":
        torch.backends.cudnn.benchmark = False
        # float32 means float32: what is to be faster and coarser is asked for by stage1.precision
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.use_deterministic_algorithms(True, warn_only=True)


def keep_freed_memory() -> bool:
    """Let the C library keep what it frees for the next step instead of returning it to the kernel; says if it can.

    A training step frees and allocates the same large blocks again and again; given back, each costs a page fault for
    every 4 KiB. Measured on `cpu_small`: 9 to 12 % of the processor time of a step, at the same peak memory.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_M_MMAP_THRESHOLD, 1 << 30) and library.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1))


def available_cores() -> int:
    """Processor cores that this process may use, which a container or an affinity mask may have cut."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compile_each(blocks: Iterable[nn.Module], mode: str | None, backend: str = "inductor") -> None:
    """Put each block of a model through torch.compile in this mode; None leaves them as they are.

    backend: "aot_eager" traces and differentiates as training does, and runs what it traced uncompiled.

    Blocks, not the whole: StateNorm cuts a sequence where it is due, at other places in each step, and the whole would
    be compiled anew for each of them. Blocks of one make share what was compiled for the first: one graph for the first
    length that they meet, one for all others, each with and without gradients (see models.state.even).
    """
    if mode is not None:
        # counted over all makes of blocks; beyond its limit torch.compile stops compiling without a word
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, MOST_GRAPHS)
        for block in blocks:
            block.compile(mode=mode, backend=backend)


@contextmanager
def compiling(mode: str | None) -> Iterator[None]:
    """Says a failure of torch.compile inside the `with` in our words. Raises MachineCannot."""
    if mode is None:
        yield
        return
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import CppCompileError, InductorError

    try:
        yield
    except (TorchDynamoException, InductorError, CppCompileError) as error:
        raise MachineCannot(
            f"torch.compile in mode {mode!r} failed: {str(error).partition(chr(10))[0] or type(error).__name__}",
            where="runtime.compile",
            remedy="leave runtime.compile out",
        ) from error


def multiply_rate(machine: Machine, size: int = 384, seconds: float = 0.15, kind: torch.dtype = torch.float32) -> float:
    """Floating point operations per second of a square matrix product here; for time estimates only."""
    device = machine.torch_device
    left, right = (torch.ones(size, size, device=device, dtype=kind) for _ in range(2))
    (left @ right).sum().item()
    rounds, begin = 0, time.perf_counter()
    while (spent := time.perf_counter() - begin) < seconds:
        (left @ right)[0, 0].item()
        rounds += 1
    return 2.0 * size**3 * rounds / spent


def narrow_gain(machine: Machine) -> float:
    """How many times as fast as in float32 matrix products are in bfloat16 here; below 1 where it is emulated.

    Measured, not read off a list of processors: 0.1 s in short turns, the best of each, so that other work on the
    machine meets both.
    """
    turns = [[multiply_rate(machine, 256, 0.01, kind) for kind in (torch.bfloat16, torch.float32)] for _ in range(5)]
    narrow, full = (max(rates) for rates in zip(*turns, strict=True))
    return narrow / full


def _device(asked: str, launch: Launch | None) -> str:
    """The device of this process; among several on a host, each takes the accelerator of its own number."""
    if launch is None or launch.local_world_size == 1:
        return _device_alone(asked)
    if asked in ("auto", "cuda") and torch.cuda.is_available():
        return _device_alone(f"cuda:{launch.local_rank}")
    if asked != "auto" and _device_alone(asked) != "cpu":
        raise BadSettings(
            f"{launch.local_world_size} processes of this host cannot share {asked!r}",
            where="runtime.device",
            expected="auto, cpu, or cuda, of which each process takes one",
            remedy="--set runtime.device=auto",
        )
    return "cpu"


def _device_alone(asked: str) -> str:
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(asked)
    except RuntimeError:
        raise BadSettings(
            f"{asked!r} is no device", where="runtime.device", expected="auto, cpu, cuda, cuda:N or mps"
        ) from None
    there = {
        "cpu": device.index in (None, 0),
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if device.type not in there:
        raise BadSettings(
            f"{asked!r} is no device that training knows",
            where="runtime.device",
            expected="auto, cpu, cuda, cuda:N or mps",
        )
    if not there[device.type]:
        raise MachineCannot(
            f"this machine has no device {asked!r}",
            where="runtime.device",
            expected=f"one of auto, cpu{', cuda' if torch.cuda.is_available() else ''}",
            remedy="--set runtime.device=cpu",
        )
    return str(device)


def _compile(mode: str | None) -> str | None:
    if mode is not None and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        raise MachineCannot(
            f"torch.compile in mode {mode!r} needs a C++ compiler, and none is on the path",
            where="runtime.compile",
            expected="c++, g++, clang++ or cl",
            remedy="install one, or leave runtime.compile out",
        )
    return mode


def _kernels(asked: str, device: str) -> dict[str, str]:
    """What each operator runs on a kind of device.

    Raises BadSettings for a name that not every operator of the models has, MachineCannot for one that cannot run here.
    """
    known = set.intersection(*(choose.names(operator) for operator in choose.operators()))
    if asked not in (choose.AUTO, *known):
        raise BadSettings(
            f"no implementation of the kernels is named {asked!r}",
            where="runtime.kernels",
            expected=f"one of {choose.AUTO}, {', '.join(sorted(known))}",
        )
    try:
        for operator in choose.operators():
            choose.load(operator, asked, device)  # before torch.compile meets them
            choose.takes_narrow(operator, asked, device)
        return {operator: choose.resolve(operator, asked, device) for operator in choose.operators()}
    except choose.CannotRun as error:
        raise MachineCannot(str(error), where="runtime.kernels", remedy="--set runtime.kernels=auto") from None
