"""The program, one torch call after another: what every operation means, and what native code is compared with.

B streams of this call  V vocabulary
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from think.kernels.decode.pack import padded, size, unpack
from think.kernels.decode.program import Op, Operand, Program, Ring

_UNARY: dict[str, Callable[[Tensor, float], Tensor]] = {
    "copy": lambda x, _: x.clone(),
    "scale": lambda x, constant: x * constant,
    "tanh": lambda x, _: torch.tanh(x),
    "sigmoid": lambda x, _: torch.sigmoid(x),
    "silu": lambda x, _: functional.silu(x),
    "softplus": lambda x, _: functional.softplus(x),
    "relu_square": lambda x, _: functional.relu(x).square(),
    "gelu": lambda x, _: functional.gelu(x),
    "cap": lambda x, constant: constant * torch.tanh(x / constant),
    "decay": lambda x, _: torch.exp(-torch.exp(x)),
    "positive": lambda x, _: torch.where(x >= 0, x + 0.5, torch.sigmoid(x)),
}
_OTHERS: dict[str, Callable[..., Tensor]] = {
    "add": torch.add,
    "multiply": torch.mul,
    "addcmul": torch.addcmul,
    "lerp": lambda start, end, share: start + share * (end - start),
    "gate": lambda x, gate: x * functional.silu(gate),
}


EDGE = 2.0**-20
"Signed decays come from retentions that keep this distance from 0 and 1."


class Machine:
    """Runs a program for streams whose memory it is handed."""

    def __init__(self, program: Program):
        self.program = program
        self.weights = program.weights()

    def run(
        self,
        tokens: Sequence[int],
        rows: Sequence[int],
        state: Tensor,
        ring: Tensor,
        lengths: Tensor,
        logits: Tensor,
    ) -> None:
        """One token for each of `rows`: reads and writes their rows of state and ring, writes logits [B, V].

        lengths: int64, tokens of the document of each stream before this one; counted up here.
        """
        call = _Call(self, tokens, torch.tensor(rows), state, ring, lengths, logits)
        for op in self.program.ops:
            call.take(op)
        lengths[call.rows] += 1


class _Call:
    def __init__(
        self,
        machine: Machine,
        tokens: Sequence[int],
        rows: Tensor,
        state: Tensor,
        ring: Tensor,
        lengths: Tensor,
        logits: Tensor,
    ):
        self.machine, self.tokens, self.rows = machine, tokens, rows
        self.memories = {"state": state, "ring": ring}
        self.lengths, self.logits = lengths, logits
        self.registers = torch.zeros(len(rows), machine.program.registers)

    def read(self, operand: Operand) -> Tensor:
        """[B, width], or [width] for weights."""
        part = slice(operand.offset, operand.offset + operand.width)
        if operand.space == "weight":
            return self.machine.weights[part]
        if operand.space == "register":
            return self.registers[:, part]
        if operand.space == "logits":
            return self.logits[:, part]
        return self.memories[operand.space][self.rows, part]

    def write(self, operand: Operand, values: Tensor) -> None:
        part = slice(operand.offset, operand.offset + operand.width)
        if operand.space == "register":
            self.registers[:, part] = values
        elif operand.space == "logits":
            self.logits[:, part] = values
        else:
            self.memories[operand.space][self.rows, part] = values.expand(len(self.rows), -1)

    def matrix(self, operand: Operand, outputs: int, inputs: int) -> Tensor:
        room = size(outputs, inputs)
        return unpack(self.machine.weights[operand.offset : operand.offset + room], outputs, inputs)

    def take(self, op: Op) -> None:
        if op.kind in _UNARY:
            self.write(op.out, _UNARY[op.kind](self.read(op.inputs[0]), op.constant))
        elif op.kind in _OTHERS:
            self.write(op.out, _OTHERS[op.kind](*(self.read(operand) for operand in op.inputs)))
        else:
            self.write(op.out, getattr(self, f"_{op.kind}")(op))

    def _embed(self, op: Op) -> Tensor:
        return self.matrix(op.inputs[0], *op.sizes)[torch.tensor(self.tokens)]

    def _norm(self, op: Op) -> Tensor:
        x, gain = map(self.read, op.inputs)
        return functional.rms_norm(x, (op.out.width,), gain, op.constant)

    def _group_norm(self, op: Op) -> Tensor:
        x, gain, bias = map(self.read, op.inputs)
        return functional.group_norm(x, op.sizes[0], gain, bias, op.constant)

    def _linear(self, op: Op) -> Tensor:
        return self.read(op.inputs[0]) @ self.matrix(op.inputs[1], *op.sizes).T

    def _rwkv6(self, op: Op) -> Tensor:
        """out = r . (S + diag(bonus) k v^T), then S <- diag(decay) S + k v^T"""
        heads, key, value = op.sizes
        r, k, decay = (self.read(op.inputs[i]).reshape(-1, heads, key, 1) for i in (0, 1, 3))
        v = self.read(op.inputs[2]).reshape(-1, heads, 1, value)
        bonus = self.read(op.inputs[4]).view(heads, key, 1)
        matrix = self.read(op.inputs[5]).view(-1, heads, key, value)
        out = (r * (matrix + bonus * k * v)).sum(-2)
        self.write(op.inputs[5], (decay * matrix + k * v).flatten(1))
        return out.flatten(1)

    def _ssd(self, op: Op) -> Tensor:
        """S <- exp(dt A) S + B (dt x)^T, then y = C^T S + D x; S is [N, P]; constant 1: decay 2 exp(dt A) - 1"""
        heads, width, states = op.sizes
        x = self.read(op.inputs[0]).reshape(-1, heads, 1, width)
        step = self.read(op.inputs[1])[..., None, None]
        rate, skip = self.read(op.inputs[2])[:, None, None], self.read(op.inputs[5])[:, None, None]
        enters, leaves = (self.read(op.inputs[i]).reshape(-1, 1, states, 1) for i in (3, 4))
        matrix = self.read(op.inputs[6]).view(-1, heads, states, width)
        decay = torch.exp(step * rate)
        if op.constant:
            decay = 2 * decay.clamp(EDGE, 1 - EDGE) - 1
        matrix = decay * matrix + enters * (step * x)
        self.write(op.inputs[6], matrix.flatten(1))
        return ((leaves * matrix).sum(-2, keepdim=True) + skip * x).flatten(1)

    def _conv(self, op: Op) -> Tensor:
        """bias + the last W inputs, weighted; the window is [W - 1, C], oldest first, and the taps are [W, C]"""
        channels, taps = op.sizes
        x, weight, bias = (self.read(operand) for operand in op.inputs[:3])
        seen = torch.cat([self.read(op.inputs[3]).view(len(x), taps - 1, channels), x.unsqueeze(1)], 1)
        self.write(op.inputs[3], seen[:, 1:].flatten(1))
        return bias + (seen * weight.view(taps, channels)).sum(1)

    def _rotary(self, op: Op) -> Tensor:
        (half,) = op.sizes
        high, low = self.read(op.inputs[0]).double().split(half)
        angle = self.lengths[self.rows].double().unsqueeze(1) * (high + low)
        return torch.cat([angle.cos(), angle.sin()], 1).float()

    def _turn(self, op: Op) -> Tensor:
        heads, width = op.sizes
        left, right = self.read(op.inputs[0]).reshape(-1, heads, 2, width // 2).unbind(2)
        cosine, sine = self.read(op.inputs[1]).view(-1, 1, 2, width // 2).unbind(2)
        return torch.cat([left * cosine - right * sine, right * cosine + left * sine], -1).flatten(1)

    def _attention(self, op: Op) -> Tensor:
        heads, width, context = op.sizes
        query, key, value = (self.read(op.inputs[i]).reshape(-1, heads, width) for i in range(3))
        keys = self.read(op.inputs[3]).view(-1, heads, width, padded(context))
        values = self.read(op.inputs[4]).view(-1, heads, context, width)
        out = []
        for index, before in enumerate(self.lengths[self.rows].tolist()):
            place, seen = before % context, min(before + 1, context)
            keys[index, :, :, place], values[index, :, place] = key[index], value[index]
            scores = op.constant * (query[index].unsqueeze(1) @ keys[index, :, :, :seen])
            out.append((scores.softmax(-1) @ values[index, :, :seen]).flatten())
        self.write(op.inputs[3], keys.flatten(1))
        self.write(op.inputs[4], values.flatten(1))
        return torch.stack(out)


def ring_places(ring: Ring, length: int) -> Tensor:
    """Where the tokens that the next one sees beside itself lie in a ring, oldest first."""
    kept = min(length, ring.context - 1)
    return torch.arange(length - kept, length) % ring.context
