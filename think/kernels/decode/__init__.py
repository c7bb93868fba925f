"""Decoding as a flat program: what a model does for one token, as a list of operations on plain memory.

    program = Program()                        a model's modules append operations to it, in order
    machine = interpreter.Machine(program)     one torch call for each operation; the specification
    machine = native.Machine(program)          one native call for each token

The README in this folder has the operations, the memory that they work on, and why rows of a batch don't touch.
"""

from think.kernels.decode.program import Op, Operand, Program, Ring, Slot, Trace

__all__ = ["Op", "Operand", "Program", "Ring", "Slot", "Trace"]
