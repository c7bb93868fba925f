"""Decoding one token a call, for many streams at once: the model's `step` as a program of native operations.

    decoder = Decoder(model, rows=2)                 streams that all begin at the model's initial state
    decoder.load(state, [0])                         what a full pass left, as stream 0
    logits = decoder.step([token, other])            [2, V]
    state = decoder.state([0])                       to go on with the model itself

A decoder holds a copy of the weights, in an order of its own, that all decoders of a model share. `stale` tells that
the model's have changed since, `refresh` takes the new ones. The streams of a decoder do not touch: each gives the
bytes that it gives alone.

B streams of this call  V vocabulary
"""

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn

from think.core.errors import BadData, MachineCannot
from think.core.models.memory import Memory
from think.core.models.state import LayerState, State
from think.core.models.thinking import Block, Embedding, Head, Thinking
from think.kernels.decode import Program, Ring, Slot, interpreter, native
from think.kernels.decode.interpreter import ring_places
from think.kernels.decode.pack import padded

IMPLEMENTATIONS = ("native", "interpreter")
"Ways to run a program; the interpreter says what native code has to do, and is no faster than the model itself."

_MEANINGS = ("forward", "fuse", "hidden", "logits", "step")
"Methods that say what a module does; whoever redefines one must redefine `lower` too."
_READ_BY_OTHERS = (nn.Linear, nn.GroupNorm, nn.Embedding, nn.ModuleList, Embedding, Head, Memory)
"Modules whose numbers others read when they lower."


class Machine(Protocol):
    """What runs a program."""

    def run(
        self, tokens: Sequence[int], rows: Sequence[int], state: Tensor, ring: Tensor, lengths: Tensor, logits: Tensor
    ) -> None: ...


@dataclass(frozen=True)
class _Lowered:
    program: Program
    machine: Machine
    stamp: tuple[tuple[int, int], ...]


_LOWERED: "WeakKeyDictionary[Thinking, dict[str, _Lowered]]" = WeakKeyDictionary()
"One copy of the weights for each model and implementation, however many decoders there are."


def obstacle(model: Thinking, implementation: str = "native") -> str | None:
    """Why this model cannot be decoded so on this machine, as a clause; None when it can. Looks, and lowers nothing."""
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"no decoder is named {implementation!r}; available: {', '.join(IMPLEMENTATIONS)}")
    for name, module in model.named_modules():
        if not _tells_all(module):
            return f"{type(module).__name__} ({name}) has no decoding program: it defines no `lower` of its own"
        if module._forward_hooks or module._forward_pre_hooks:
            return f"a hook is attached to {name or 'the model'}, which a decoding program would not call"
    for name, parameter in model.named_parameters():
        if parameter.device.type != "cpu" or parameter.dtype != torch.float32:
            kind = str(parameter.dtype).removeprefix("torch.")
            return f"decoding programs take float32 in main memory; {name} is {kind} on {parameter.device}"
    return native.lacking() if implementation == "native" else None


def cannot(implementation: str, reason: str) -> MachineCannot:
    """The error of a decoder that was asked for by name and meets an obstacle."""
    return MachineCannot(
        f"the {implementation} decoder cannot run this model: {reason}",
        expected="a model all of whose parts have a decoding program, on the processor, and the native library",
        remedy="decode with the model's own step: --decoder eager, or auto",
    )


def _tells_all(module: nn.Module) -> bool:
    """Whether `lower` describes this very class: no class below the one that defines it changes what is computed."""
    order = type(module).__mro__
    lower = next((kind for kind in order if "lower" in vars(kind)), None)
    if lower is None:
        return type(module) in _READ_BY_OTHERS
    below = order[: order.index(lower)]
    return not any(meaning in vars(kind) for kind in below for meaning in _MEANINGS)


def _stamp(model: Thinking) -> tuple[tuple[int, int], ...]:
    """Changes with every change of a weight that torch knows of."""
    return tuple((p.data_ptr(), 0 if p.is_inference() else p._version) for p in model.parameters())


def _lowered(model: Thinking, implementation: str, *, traced: bool) -> _Lowered:
    known = _LOWERED.setdefault(model, {})
    stamp, key = _stamp(model), f"{implementation}, traced" if traced else implementation
    if key not in known or known[key].stamp != stamp:
        known.pop(key, None)  # both copies at once might not fit
        program = Program(traced=traced)
        model.lower(program)
        machine = native.Machine(program) if implementation == "native" else interpreter.Machine(program)
        known[key] = _Lowered(program, machine, stamp)
    return known[key]


class Decoder:
    """Streams of one model that go on token by token.

    rows      streams that there is room for, numbered from 0
    positions tokens of each stream since its start, as in State; StateNorm acts at multiples of its period
    traced    the decays of the recurrences are kept too, for `decays`; that takes a copy of the weights of its own
    """

    @torch.no_grad()
    def __init__(self, model: Thinking, rows: int = 1, implementation: str = "native", *, traced: bool = False):
        """Raises MachineCannot, with the reason, where `obstacle` finds one."""
        reason = obstacle(model, implementation)
        if reason is not None:
            raise cannot(implementation, reason)
        self.model, self.rows, self.implementation, self.traced = model, rows, implementation, traced
        self._use(_lowered(model, implementation, traced=traced))
        self._first = torch.zeros(self._program.state_width)
        self._traced = torch.cat(
            [torch.arange(trace.offset, trace.offset + trace.width) for trace in self._program.traces]
            or [torch.zeros(0, dtype=torch.int64)]
        )
        self._first[self._traced] = 1.0
        self._state = torch.zeros(rows, self._program.state_width)
        self._ring = torch.zeros(rows, self._program.ring_width)
        self._lengths = torch.zeros(rows, dtype=torch.int64)
        self._bounded = min((ring.context for ring in self._program.rings if not ring.sliding), default=None)
        initial = model.initial_state(1)
        _expect_same_names(self._program, initial)
        self._names = tuple(tuple(layer) for layer in initial.layers)
        for slot in self._program.slots:
            _view(self._first.unsqueeze(0), slot).copy_(initial.tensors()[slot.name])
        self.positions = [0] * rows
        self.begin(range(rows))

    def _use(self, lowered: _Lowered) -> None:
        self._program, self._machine, self._stamped = lowered.program, lowered.machine, lowered.stamp

    @property
    def bytes_of_state(self) -> int:
        """Memory of all streams; it does not grow with their length."""
        return sum(t.numel() * t.element_size() for t in (self._state, self._ring, self._lengths))

    @property
    def stale(self) -> bool:
        """Whether a weight of the model has changed since its copy was made."""
        return _stamp(self.model) != self._stamped

    @torch.no_grad()
    def refresh(self) -> None:
        """Take the model's weights as they are now; the streams go on where they are."""
        self._use(_lowered(self.model, self.implementation, traced=self.traced))

    def begin(self, rows: Sequence[int]) -> None:
        """New streams in these rows, at the model's initial state and position 0."""
        for row in rows:
            self._state[row], self._lengths[row], self.positions[row] = self._first, 0, 0

    @torch.no_grad()
    def load(self, state: State, rows: Sequence[int]) -> None:
        """Go on in these rows with the streams of a state, in order. Raises ValueError for another model's state."""
        given = state.tensors()
        _expect_same_names(self._program, state)
        if state.batch != len(rows):
            raise ValueError(f"a state of {state.batch} streams for {len(rows)} rows")
        for slot in self._program.slots:
            _view(self._state, slot)[rows] = given[slot.name].to(torch.float32)
        for ring in self._program.rings:
            lengths = given[f"{ring.prefix}.length"].tolist()
            for index, (row, length) in enumerate(zip(rows, lengths, strict=True)):
                self._fill(ring, row, given, index, length)
                if ring is not self._program.rings[0] and int(self._lengths[row]) != length:
                    raise ValueError("the attention caches of one stream hold documents of different lengths")
                self._lengths[row] = length
        for row in rows:
            self.positions[row] = state.position

    def snapshot(self, row: int) -> Callable[[], State]:
        """What `state` would give of a stream now, for later, in any thread: its memory is copied, not taken apart."""
        held = copy(self)
        held._state, held._ring = self._state[row : row + 1].clone(), self._ring[row : row + 1].clone()
        held._lengths, held.positions, held.rows = self._lengths[row : row + 1].clone(), [self.positions[row]], 1
        return partial(held.state, [0])

    @torch.no_grad()
    def state(self, rows: Sequence[int]) -> State:
        """A copy of some streams as the model has them. Raises ValueError when they stand at different positions."""
        positions = {self.positions[row] for row in rows}
        if len(positions) != 1:
            raise ValueError(f"streams stand at different positions: {sorted(positions)}; ask for them one by one")
        found = {slot.name: _view(self._state, slot)[list(rows)].contiguous() for slot in self._program.slots}
        for ring in self._program.rings:
            parts = [self._cached(ring, row) for row in rows]
            found |= {f"{ring.prefix}.{name}": torch.stack([part[name] for part in parts]) for name in parts[0]}
        made = State.from_tensors(found, positions.pop())
        return State(made.position, tuple({n: made.layers[i][n] for n in names} for i, names in enumerate(self._names)))

    def mark(self, row: int) -> None:
        """Begin anew to count the decays of a stream."""
        self._state[row, self._traced] = 1.0

    def decays(self, row: int) -> Float[Tensor, " R"]:
        """The products of all decays of a stream since it was last marked, or began, one after another; see `shaped`.

        A document that begins in between does not count: what was before it is gone.
        """
        return self._state[row, self._traced]

    def shaped(self, decays: Float[Tensor, " R"]) -> dict[str, Tensor]:
        """Such products by matrix: what that of this name in the state, without the batch, is to be multiplied by."""
        parts = decays.split([trace.width for trace in self._program.traces])
        return {trace.name: part.view(trace.shape) for trace, part in zip(self._program.traces, parts, strict=True)}

    @torch.no_grad()
    def step(
        self, tokens: Sequence[int], rows: Sequence[int] | None = None, reset: Sequence[bool] | None = None
    ) -> Float[Tensor, "B V"]:
        """Logits for the token after each of `tokens`, one for each of `rows` (all of them by default).

        reset: this token begins a new document in its stream. Raises BadData when full attention would have to forget,
        ValueError for rows that repeat, tokens that the model does not have, or lists of different lengths.
        """
        rows = range(self.rows) if rows is None else rows
        vocabulary = self._program.vocabulary
        if len(tokens) != len(rows) or len(set(rows)) != len(rows) or not 0 <= min(rows) <= max(rows) < self.rows:
            raise ValueError(f"{len(tokens)} tokens for rows {list(rows)} of {self.rows}")
        if not 0 <= min(tokens) <= max(tokens) < vocabulary:
            raise ValueError(f"tokens from {min(tokens)} to {max(tokens)} for a vocabulary of {vocabulary}")
        for index, row in enumerate(rows):
            self._normalise_if_due(row)
            if reset is not None and reset[index]:
                self._state[row], self._lengths[row] = self._first, 0
        self._expect_room(rows)
        logits = torch.empty(len(rows), vocabulary)
        self._machine.run(tokens, rows, self._state, self._ring, self._lengths, logits)
        for row in rows:
            self.positions[row] += 1
        return logits

    def _expect_room(self, rows: Sequence[int]) -> None:
        if self._bounded is None:
            return
        longest = int(self._lengths[list(rows)].max()) + 1
        if longest > self._bounded:
            raise BadData(
                f"a document of at least {longest} tokens meets full attention over {self._bounded}",
                expected="a context that covers the document, or sliding attention",
                remedy=f"set the attention's context to {longest} or more, or sliding = true",
            )

    def _normalise_if_due(self, row: int) -> None:
        period = self.model.norm_period
        if period is None or self.positions[row] == 0 or self.positions[row] % period:
            return
        views: list[LayerState] = [{} for _ in self.model.blocks]
        for slot in self._program.slots:
            _, index, name = slot.name.split(".", 2)
            views[int(index)][name] = _view(self._state[row : row + 1], slot)
        for block, layer in zip(cast("Iterable[Block]", self.model.blocks), views, strict=True):
            for name, tensor in block.normalise(layer).items():
                if tensor is not layer[name]:
                    layer[name].copy_(tensor)

    def _places(self, ring: Ring, row: int) -> tuple[Tensor, Tensor]:
        """The row's keys [H, K, context] and values [H, context, K]."""
        heads, width, context = ring.heads, ring.head_width, ring.context
        memory = self._ring[row]
        keys = memory[ring.keys : ring.keys + heads * width * padded(context)].view(heads, width, -1)
        values = memory[ring.values : ring.values + heads * context * width].view(heads, context, width)
        return keys[:, :, :context], values

    def _fill(self, ring: Ring, row: int, given: dict[str, Tensor], index: int, length: int) -> None:
        known = given[f"{ring.prefix}.known"][index]
        places = ring_places(ring, length)
        kept = len(places)
        if int(known.sum()) != kept or not bool(known[len(known) - kept :].all()):
            raise ValueError(f"{ring.prefix}: the cache of a document of {length} tokens does not hold the last {kept}")
        keys, values = self._places(ring, row)
        new_keys, new_values = (
            given[f"{ring.prefix}.{name}"][index][len(known) - kept :] for name in ("keys", "values")
        )
        keys[:, :, places] = new_keys.permute(1, 2, 0).float()
        values[:, places] = new_values.transpose(0, 1).float()

    def _cached(self, ring: Ring, row: int) -> dict[str, Tensor]:
        length = int(self._lengths[row])
        places = ring_places(ring, length)
        keys, values = self._places(ring, row)
        empty = ring.context - 1 - len(places)
        shape = (empty, ring.heads, ring.head_width)
        return {
            "keys": torch.cat([torch.zeros(shape), keys[:, :, places].permute(2, 0, 1)]),
            "values": torch.cat([torch.zeros(shape), values[:, places].transpose(0, 1)]),
            "known": torch.arange(ring.context - 1) >= empty,
            "length": torch.tensor(length),
        }


def _view(memory: Tensor, slot: Slot) -> Tensor:
    """A slot in rows of state, in the model's shape; writing to it writes there."""
    part = memory[:, slot.offset : slot.offset + torch.Size(slot.shape).numel()]
    if not slot.transposed:
        return part.view(len(memory), *slot.shape)
    *outer, rows, columns = slot.shape
    return part.view(len(memory), *outer, columns, rows).transpose(-1, -2)


def _expect_same_names(program: Program, state: State) -> None:
    rings = {f"{ring.prefix}.{name}" for ring in program.rings for name in ("keys", "values", "known", "length")}
    expected = {slot.name for slot in program.slots} | rings
    found = state.tensors()
    if expected != set(found):
        raise ValueError(f"the state of the model and its decoding program differ: {sorted(expected ^ set(found))}")
    for slot in program.slots:
        if found[slot.name].shape[1:] != slot.shape:
            raise ValueError(f"{slot.name} has shape {tuple(found[slot.name].shape[1:])}, the program {slot.shape}")
