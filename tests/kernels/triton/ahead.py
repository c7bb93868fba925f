"""Compiling the kernels for a GPU that is not there: down to machine code, without a launch.

The launches of an operator are followed through with tensors of the processor; each kernel that would run is compiled
for the named architecture by the assembler that Triton carries. It shows what the interpreter cannot: that the kernels
are legal for the compiler, how much shared memory they take and how many registers they spill.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

SHARED_BYTES = {80: 166_912, 86: 101_376, 89: 101_376, 90: 232_448, 100: 232_448}
"Shared memory that one block of threads may take, by compute capability: CUDA's programming guide."


@dataclass(frozen=True)
class Compiled:
    """One kernel for one architecture; sizes in bytes."""

    name: str
    shared: int
    machine_code: int


class _Absent:
    """Stands for the driver of a device that is not there."""

    def __init__(self, capability: int) -> None:
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


@contextmanager
def compiling_for(capability: int) -> Iterator[list[Compiled]]:
    """Inside the `with`, launches compile for that compute capability (such as 90) and run nothing."""
    found: list[Compiled] = []
    run: Callable[..., Any] = JITFunction.run

    def compile_only(self: Any, *given: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        kernel = run(self, *given, grid=grid, warmup=True, **options)
        found.append(Compiled(self.__name__, kernel.metadata.shared, len(kernel.asm["cubin"])))
        return kernel

    driver.set_active(_Absent(capability))
    try:
        with mock.patch.object(JITFunction, "run", compile_only):
            yield found
    finally:
        driver._active = None
