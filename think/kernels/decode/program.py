"""The program of a decoder: operations in order, and the layout of the memory that they work on.

An operand is a piece of one of five memories:

    register   what lives within a token, one row a stream
    state      what a stream carries from token to token
    ring       the attention caches of a stream
    weight     the model's numbers, one copy for all streams, in the order of use
    logits     the result

An input of width 1 beside a wider output counts for every element. An output may be one of the inputs of an
elementwise operation. `kind` of an operation is its name in OPERATIONS; interpreter.py says what each one computes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from think.kernels.decode.pack import pack, padded, size

Space = Literal["register", "state", "ring", "weight", "logits"]

UNARY = ("copy", "scale", "tanh", "sigmoid", "silu", "softplus", "relu_square", "gelu", "cap", "decay", "positive")
"Elementwise operations on one input."
ELEMENTWISE = (*UNARY, "add", "multiply", "addcmul", "lerp", "gate")
OPERATIONS = (
    *ELEMENTWISE,
    *("embed", "norm", "group_norm", "linear", "rwkv6", "ssd", "conv", "rotary", "turn", "attention"),
)
"All operations; the place of a name in this list is its number in native code."


@dataclass(frozen=True)
class Operand:
    """A piece of memory: `width` floats from `offset` in the row of a stream."""

    space: Space
    offset: int
    width: int

    def part(self, start: int, stop: int) -> "Operand":
        """The floats from `start` up to `stop`. Raises ValueError outside of the operand."""
        if not 0 <= start < stop <= self.width:
            raise ValueError(f"part {start}:{stop} of an operand of width {self.width}")
        return replace(self, offset=self.offset + start, width=stop - start)

    def split(self, *widths: int) -> list["Operand"]:
        """Neighbouring parts of these widths."""
        starts = [sum(widths[:index]) for index in range(len(widths))]
        return [self.part(start, start + width) for start, width in zip(starts, widths, strict=True)]


@dataclass(frozen=True)
class Op:
    """One operation: out = kind(inputs), with sizes and a constant whose meaning the kind decides."""

    kind: str
    out: Operand
    inputs: tuple[Operand, ...]
    sizes: tuple[int, ...] = ()
    constant: float = 0.0


@dataclass(frozen=True)
class Slot:
    """A tensor of the state as the model names and shapes it (without the batch), and where it lies.

    transposed  stored with its last two axes exchanged
    """

    name: str
    shape: tuple[int, ...]
    offset: int
    transposed: bool


@dataclass(frozen=True)
class Trace:
    """Products of the decays of a recurrent matrix since they were last set to 1, and where they lie.

    name   of the matrix in the model's state;   shape: that a product with the matrix [heads, rows, columns] takes
    """

    name: str
    shape: tuple[int, ...]
    offset: int

    @property
    def width(self) -> int:
        return torch.Size(self.shape).numel()


@dataclass(frozen=True)
class Ring:
    """An attention cache: keys [H, K, context] and values [H, context, K]; token p of a document has place p % context.

    prefix  what the names of the model's state begin with: keys, values, known and length follow
    """

    prefix: str
    heads: int
    head_width: int
    context: int
    sliding: bool
    keys: int
    values: int

    @property
    def padded(self) -> int:
        """Places in the memory of a key channel: `context`, in whole vectors."""
        return padded(self.context)


class Program:
    """Operations in order, with the memory they need; built once, then read by a machine.

    traced: recurrences also keep the products of their decays, see `trace`
    """

    def __init__(self, *, traced: bool = False) -> None:
        self.traced = traced
        self.traces: list[Trace] = []
        self.ops: list[Op] = []
        self.slots: list[Slot] = []
        self.rings: list[Ring] = []
        self.registers = self.state_width = self.ring_width = self.weight_width = self.vocabulary = 0
        self._taken = 0
        self._names: list[str] = []
        self._weights: list[tuple[int, Tensor, bool]] = []
        self._rotations: dict[int, Operand] = {}

    # ---- memory -------------------------------------------------------------------------------------------------

    def register(self, width: int) -> Operand:
        """New memory for the current token; given back at the end of `temporaries`."""
        made = Operand("register", self._taken, width)
        self._taken += padded(width)
        self.registers = max(self.registers, self._taken)
        return made

    @contextmanager
    def temporaries(self) -> Iterator[None]:
        """Registers made inside are free for others afterwards."""
        before = self._taken
        yield
        self._taken = before

    @contextmanager
    def under(self, name: str) -> Iterator[None]:
        """State declared inside is named under `name.`."""
        self._names.append(name)
        yield
        self._names.pop()

    def state(self, name: str, *shape: int, transposed: bool = False) -> Operand:
        """A tensor of the state: `name` and shape (without the batch) as the module's own `initial_state` has them."""
        self.slots.append(Slot(".".join([*self._names, name]), shape, self.state_width, transposed))
        made = Operand("state", self.state_width, torch.Size(shape).numel())
        self.state_width += padded(made.width)
        return made

    def trace(self, name: str, *shape: int) -> Operand:
        """Memory for the products of the decays of a recurrent matrix; the model's state knows nothing of it."""
        made = Operand("state", self.state_width, torch.Size(shape).numel())
        self.traces.append(Trace(".".join([*self._names, name]), shape, made.offset))
        self.state_width += padded(made.width)
        return made

    def vector(self, values: Tensor) -> Operand:
        """Numbers as they lie in a tensor, flattened; a copy."""
        return self._weight(values.detach().reshape(-1), padded(values.numel()), values.numel(), packed=False)

    def matrix(self, weight: Tensor) -> Operand:
        """A matrix [outputs, inputs] in packed order, for `linear` and `embed`; a copy."""
        return self._weight(weight.detach(), size(*weight.shape), weight.numel(), packed=True)

    def _weight(self, values: Tensor, room: int, width: int, packed: bool) -> Operand:
        if values.dtype != torch.float32 or values.device.type != "cpu":
            raise TypeError(f"a decoder needs float32 weights in main memory, got {values.dtype} on {values.device}")
        made = Operand("weight", self.weight_width, width)
        self._weights.append((self.weight_width, values, packed))
        self.weight_width += room
        return made

    def weights(self) -> Tensor:
        """All numbers in one piece, in the order of their operands' offsets."""
        made = torch.zeros(self.weight_width)
        for offset, values, packed in self._weights:
            if packed:
                pack(values, made[offset : offset + size(*values.shape)])
            else:
                made[offset : offset + values.numel()] = values
        return made

    # ---- operations ---------------------------------------------------------------------------------------------

    def apply(
        self,
        kind: str,
        *inputs: Operand,
        out: Operand | None = None,
        width: int | None = None,
        sizes: Sequence[int] = (),
        constant: float = 0.0,
    ) -> Operand:
        """Append an operation; returns its output, by default a new register as wide as its widest input.

        Raises ValueError for an unknown kind, and for elementwise inputs whose widths do not fit.
        """
        if kind not in OPERATIONS:
            raise ValueError(f"there is no decoding operation named {kind!r}; available: {', '.join(OPERATIONS)}")
        widest = max((operand.width for operand in inputs), default=0) if width is None else width
        out = self.register(widest) if out is None else out
        if kind in ELEMENTWISE and any(operand.width not in (1, out.width) for operand in inputs):
            raise ValueError(f"{kind}: inputs of widths {[i.width for i in inputs]} for an output of {out.width}")
        self.ops.append(Op(kind, out, inputs, tuple(sizes), constant))
        return out

    def norm(self, x: Operand, gain: Tensor, epsilon: float) -> Operand:
        """x / root-mean-square(x), times a gain."""
        return self.apply("norm", x, self.vector(gain), width=x.width, constant=epsilon)

    def linear(self, x: Operand, weight: Tensor, *, out: Operand | None = None) -> Operand:
        """W x for a weight [outputs, inputs]; a map that is applied as x M has weight M^T."""
        outputs, inputs = weight.shape
        if x.width != inputs:
            raise ValueError(f"linear: {inputs} inputs expected, the operand has {x.width}")
        return self.apply("linear", x, self.matrix(weight), out=out, width=outputs, sizes=(outputs, inputs))

    def keep(self, x: Operand, state: Operand) -> None:
        """state <- x, for the next token."""
        self.apply("copy", x, out=state)

    def rotary(self, frequency: Tensor) -> Operand:
        """cos and sin of place-in-document times frequency, [2, K / 2]; computed once a token for each head width."""
        half = frequency.numel()
        if half not in self._rotations:
            # a document has no bound: two float32 hold the digits of a float64 frequency that the angle needs
            high = frequency.float()
            given = self.vector(torch.cat([high, (frequency.double() - high.double()).float()]))
            angles = Operand("state", self.state_width, 2 * half)
            self.state_width += padded(angles.width)
            self._rotations[half] = self.apply("rotary", given, out=angles, sizes=(half,))
        return self._rotations[half]

    def attention(
        self, query: Operand, key: Operand, value: Operand, *, heads: int, context: int, sliding: bool
    ) -> Operand:
        """Softmax attention of a query over the cached keys and this one; the cache is declared under this name."""
        width = query.width // heads
        keys = Operand("ring", self.ring_width, heads * width * padded(context))
        values = Operand("ring", keys.offset + padded(keys.width), heads * width * context)
        self.ring_width = values.offset + padded(values.width)
        self.rings.append(Ring(".".join(self._names), heads, width, context, sliding, keys.offset, values.offset))
        scores = self.register(heads * padded(context))
        inputs = (query, key, value, keys, values, scores)
        return self.apply("attention", *inputs, width=query.width, sizes=(heads, width, context), constant=width**-0.5)
