"""The program in native code: one call for each token of all streams; native/decode.c reads what is written here."""

import ctypes
import struct
from collections.abc import Sequence

import torch
from torch import Tensor

from think.kernels.decode.program import OPERATIONS, Op, Operand, Program
from think.kernels.native import library

SPACES = ("register", "state", "ring", "weight", "logits")
"Numbers of the memories, as decode.c has them."
WORDS = 32
"int64 words of an operation: kind, together, three sizes, constant, output, inputs; an operand is three words."
_ADDRESS, _NUMBER = ctypes.c_void_p, ctypes.c_int64
_ARGUMENTS = (
    *(_ADDRESS, _NUMBER, _NUMBER, _ADDRESS, _ADDRESS, _NUMBER, _ADDRESS, _NUMBER, _ADDRESS, _NUMBER),
    *(_ADDRESS, _ADDRESS, _NUMBER, _NUMBER),
)
"Of the C function, in its order."


def lacking() -> str | None:
    """Why programs cannot run natively here; None when they can."""
    return library.lacking("decode")


def encode(program: Program) -> Tensor:
    """The operations as int64 [operations, WORDS]."""
    together = groups(program.ops)
    return torch.tensor([_encode(*pair) for pair in zip(program.ops, together, strict=True)], dtype=torch.int64)


def groups(ops: Sequence[Op]) -> list[int]:
    """For each operation the number of those from it on that do not wait for one another; 1 for all but linear maps."""
    counts = [1] * len(ops)
    start = 0
    while start < len(ops):
        stop = start + 1
        while stop < len(ops) and _independent(ops[start:stop], ops[stop]):
            stop += 1
        counts[start] = stop - start
        start = stop
    return counts


def _independent(before: Sequence[Op], op: Op) -> bool:
    def touches(a: Operand, b: Operand) -> bool:
        return a.space == b.space and a.offset < b.offset + b.width and b.offset < a.offset + a.width

    return op.kind == "linear" and all(
        other.kind == "linear"
        and not any(touches(other.out, operand) for operand in (op.out, *op.inputs))
        and not any(touches(op.out, operand) for operand in other.inputs)
        for other in before
    )


def _encode(op: Op, together: int) -> list[int]:
    (constant,) = struct.unpack("<q", struct.pack("<d", op.constant))
    sizes = [*op.sizes, 0, 0, 0][:3]
    words = [OPERATIONS.index(op.kind), together, *sizes, constant, *_operand(op.out)]
    for operand in op.inputs:
        words += _operand(operand)
    return words + [0] * (WORDS - len(words))


def _operand(operand: Operand) -> list[int]:
    return [SPACES.index(operand.space), operand.offset, operand.width]


class Machine:
    """Runs a program for streams whose memory it is handed; arguments as the interpreter's."""

    def __init__(self, program: Program):
        self.program = program
        self.weights = program.weights()
        self.code = encode(program)
        self._code, self._weights = self.code.data_ptr(), self.weights.data_ptr()

    def run(
        self, tokens: Sequence[int], rows: Sequence[int], state: Tensor, ring: Tensor, lengths: Tensor, logits: Tensor
    ) -> None:
        """One token for each of `rows`; what is in memory afterwards is what the interpreter leaves there."""
        program, batch = self.program, len(rows)
        # a call of its own: what `library.call` looks at in each tensor takes as long as a layer of a small model
        function = library.function("decode")
        function.argtypes = _ARGUMENTS
        result = function(
            self._code,
            len(program.ops),
            batch,
            (ctypes.c_int64 * (2 * batch))(*tokens, *rows),
            lengths.data_ptr(),
            program.registers,
            state.data_ptr(),
            program.state_width,
            ring.data_ptr(),
            program.ring_width,
            self._weights,
            logits.data_ptr(),
            program.vocabulary,
            torch.get_num_threads(),
        )
        if result:
            raise MemoryError("native decoding: no memory for its registers")
