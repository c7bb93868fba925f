"""The program in native code: one call for each token of all streams; native/decode.c reads what is written here."""

import struct
from collections.abc import Sequence

import torch
from torch import Tensor

from think.kernels.decode.program import OPERATIONS, Op, Operand, Program
from think.kernels.native import library

SPACES = ("register", "state", "ring", "weight", "logits")
"Numbers of the memories, as decode.c has them."
WORDS = 32
"int64 words of an operation: kind, three sizes, constant, output, inputs; an operand is space, offset and width."


def lacking() -> str | None:
    """Why programs cannot run natively here; None when they can."""
    return library.lacking("decode")


def encode(program: Program) -> Tensor:
    """The operations as int64 [operations, WORDS]."""
    return torch.tensor([_encode(op) for op in program.ops], dtype=torch.int64)


def _encode(op: Op) -> list[int]:
    (constant,) = struct.unpack("<q", struct.pack("<d", op.constant))
    sizes = [*op.sizes, 0, 0, 0][:3]
    words = [OPERATIONS.index(op.kind), *sizes, constant, *_operand(op.out)]
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

    def run(
        self, tokens: Sequence[int], rows: Sequence[int], state: Tensor, ring: Tensor, lengths: Tensor, logits: Tensor
    ) -> None:
        """One token for each of `rows`; what is in memory afterwards is what the interpreter leaves there."""
        program = self.program
        library.call(
            "decode",
            self.code,
            len(program.ops),
            len(rows),
            torch.tensor([*tokens, *rows]),
            lengths,
            program.registers,
            state,
            program.state_width,
            ring,
            program.ring_width,
            self.weights,
            logits,
            program.vocabulary,
        )
