"""The chunks of `_chunks.py` with the gradient written by hand: the same tree, in place, with a third of the traffic.

Forward climbs the tree and keeps what each level overwrites; backward walks down it. Where a gradient of the gradient
may be wanted (`create_graph`, `torch.func`), backward differentiates the plain form instead, so the operator can be
differentiated any number of times; `vmap` runs the plain form too.

B batch  T time  H heads  K key width  V value width  M chunks in time  L chunk length  X = M B H  n block pairs
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from think.kernels._arguments import full_precision
from think.kernels._higher import differentiable_gradient
from think.kernels.rwkv6._chunks import cuts, plain


@dataclass
class Level:
    """What one level of the tree overwrote: r of right blocks, k of left blocks; and the decays of both."""

    right: Tensor
    left: Tensor
    decay_left: Tensor
    decay_right: Tensor


@dataclass
class Resets:
    """Where chunks are cut into segments by resets; masks are True where something is to be left out.

    crossing     [M, B, 1, L, L]   a pair with a reset between
    later        [M, B, 1, L, 1]   tokens after a reset of their chunk: they do not see the entering state
    not_last     [M, B, 1, L, 1]   tokens before the last reset of their chunk: they do not reach the state that leaves
    through      [M, B, 1, 1]      1.0 for chunks without a reset, else 0.0
    same_before  [M, B, 1, L, L]   1.0 where i stands before t and at or after the last reset up to t
    """

    crossing: Tensor
    later: Tensor
    not_last: Tensor
    through: Tensor
    same_before: Tensor

    @classmethod
    def of(cls, reset: Tensor, chunks: int, length: int, kind: torch.dtype) -> "Resets":
        padded = pad(reset, (0, chunks * length - reset.shape[1]))
        segment = padded.unflatten(1, (chunks, length)).transpose(0, 1).cumsum(-1)[:, :, None]
        crossing = segment[..., :, None] != segment[..., None, :]
        last = segment[..., -1:]
        return cls(
            crossing,
            (segment > 0)[..., None],
            (segment != last)[..., None],
            (last == 0).to(kind),
            (~crossing).tril(-1).to(kind),
        )


@dataclass
class FreshReads:
    """How tokens after a reset see `fresh`: r decayed since the reset, that decay, and the decay to the chunk's end."""

    read: Tensor
    since: Tensor
    to_end: Tensor


@dataclass
class Kept:
    """What backward needs of forward, cut into chunks."""

    r: Tensor
    k: Tensor
    v: Tensor
    decay: Tensor
    scores: Tensor
    receive: Tensor
    send: Tensor
    states: Tensor
    carry: Tensor
    resets: Resets | None
    fresh_reads: FreshReads | None


@dataclass
class Tape:
    """Carries what was kept from forward to backward; stays empty when no gradient will be asked for."""

    wanted: bool
    kept: Kept | None = None
    levels: list[Level] = field(default_factory=list)


class Chunks(torch.autograd.Function):
    """`plain`, faster. Arguments as there, and a Tape."""

    @staticmethod
    def forward(
        r: Tensor,
        k: Tensor,
        v: Tensor,
        log_decay: Tensor,
        bonus: Tensor,
        state: Tensor,
        reset: Tensor | None,
        fresh: Tensor | None,
        tape: Tape,
    ) -> tuple[Tensor, Tensor]:
        return _forward(r, k, v, log_decay, bonus, state, reset, fresh, tape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        *tensors, ctx.tape = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, d_out: Tensor, d_state: Tensor) -> tuple[Tensor | None, ...]:
        given = ctx.saved_tensors
        with full_precision(d_out.device):
            if torch.is_grad_enabled():
                return (*differentiable_gradient(plain, given, ctx.needs_input_grad, (d_out, d_state)), None)
            tape = ctx.tape
            if tape.kept is None:  # a second backward through a graph that was retained
                tape = Tape(wanted=True)
                _forward(*given, tape=tape)  # type: ignore[misc]
            # free memory with the graph's other buffers, not with the last reference to the graph
            ctx.tape = Tape(wanted=True)
            return (*_backward(tape, given[4], given[5], given[7], d_out, d_state), None)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        return torch.vmap(plain, in_dims[:-1])(*inputs[:-1]), (0, 0)


def _forward(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor,
    bonus: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    tape: Tape,
) -> tuple[Tensor, Tensor]:
    batch, time, heads, key = r.shape
    chunks, length = cuts(time)
    r, k, v, log_decay = (_cut(tensor, chunks, length) for tensor in (r, k, v, log_decay))
    flat = (chunks * batch * heads, length, -1)
    resets = None if reset is None else Resets.of(reset, chunks, length, r.dtype)

    decay = log_decay.exp()
    scores = r.new_zeros((*r.shape[:-1], length))
    scores.diagonal(dim1=-2, dim2=-1).copy_(torch.matmul(r * k, bonus[..., None])[..., 0])
    receive, send = r.clone(), k.clone()
    kept = _climb(receive.view(flat), send.view(flat), decay.view(flat), scores.view(flat), tape)
    carry = kept.view(chunks, batch, heads, key)
    if resets is not None:
        scores.masked_fill_(resets.crossing, 0.0)
        receive.masked_fill_(resets.later, 0.0)
        send.masked_fill_(resets.not_last, 0.0)
        carry = carry * resets.through

    out = scores.view(flat).bmm(v.view(flat))
    states = r.new_empty((chunks + 1, batch, heads, key, v.shape[-1]))
    torch.bmm(send.view(flat).mT, v.view(flat), out=states[1:].view(flat[0], key, -1))
    fresh_reads = None
    if resets is not None and fresh is not None:
        fresh_reads = _read_fresh(r, log_decay, resets)
        states[1:].addcmul_(fresh_reads.to_end[..., None], fresh)
        out += torch.matmul(fresh_reads.read, fresh).view(out.shape)
    states[0] = state
    for chunk in range(chunks):
        states[chunk + 1].addcmul_(carry[chunk, ..., None], states[chunk])
    out.baddbmm_(receive.view(flat), states[:-1].view(flat[0], key, -1))

    if tape.wanted:
        tape.kept = Kept(r, k, v, decay, scores, receive, send, states, carry, resets, fresh_reads)
    return _join(out.view(v.shape), time), states[-1].clone()


def _read_fresh(r: Tensor, log_decay: Tensor, resets: Resets) -> FreshReads:
    since = torch.matmul(resets.same_before, log_decay).exp_().masked_fill_(~resets.later, 0.0)
    # what token t sees is decayed up to t - 1; what leaves the chunk is decayed by its last token too
    to_end = since[..., -1, :] * log_decay[..., -1, :].exp()
    return FreshReads(r * since, since, to_end)


def _backward(
    tape: Tape, bonus: Tensor, state: Tensor, fresh: Tensor | None, d_out: Tensor, d_state: Tensor
) -> tuple[Tensor | None, ...]:
    kept = tape.kept
    assert kept is not None
    r, k, v, resets, states = kept.r, kept.k, kept.v, kept.resets, kept.states
    chunks, _, _, length, key = r.shape
    time = d_out.shape[1]
    flat = (r.shape[0] * r.shape[1] * r.shape[2], length, -1)
    slab = (flat[0], key, -1)

    d_out = _cut(d_out, chunks, length).view(flat)
    d_states = torch.empty_like(states)
    torch.bmm(kept.receive.view(flat).mT, d_out, out=d_states[:-1].view(slab))
    d_states[-1] = d_state
    for chunk in reversed(range(chunks)):
        d_states[chunk].addcmul_(kept.carry[chunk, ..., None], d_states[chunk + 1])
    d_written = d_states[1:].view(slab)
    d_receive = d_out.bmm(states[:-1].view(slab).mT).view(r.shape)
    d_send = v.view(flat).bmm(d_written.mT).view(r.shape)
    d_carry = (d_states[1:] * states[:-1]).sum(-1)
    d_v = kept.send.view(flat).bmm(d_written).baddbmm_(kept.scores.view(flat).mT, d_out)
    d_scores = d_out.bmm(v.view(flat).mT).view(kept.scores.shape)
    if resets is not None:
        d_receive.masked_fill_(resets.later, 0.0)
        d_send.masked_fill_(resets.not_last, 0.0)
        d_scores.masked_fill_(resets.crossing, 0.0)
        d_carry *= resets.through

    d_decay = _descend(d_receive.view(flat), d_send.view(flat), d_carry.view(flat[0], -1), d_scores.view(flat), tape)
    d_log_decay = d_decay.view(r.shape).mul_(kept.decay)
    d_own = d_scores.diagonal(dim1=-2, dim2=-1)[..., None]
    scaled = d_own * bonus[:, None, :]
    d_r = d_receive.addcmul_(scaled, k)
    d_k = d_send.addcmul_(scaled, r)
    d_bonus = (r * k).mul_(d_own).sum(-2).sum((0, 1))
    d_fresh = None
    if resets is not None and fresh is not None and kept.fresh_reads is not None:
        d_fresh = _backward_fresh(kept.fresh_reads, resets, fresh, d_out.view(v.shape), d_states[1:], d_r, d_log_decay)
    parts = (_join(tensor, time) for tensor in (d_r, d_k, d_v.view(v.shape), d_log_decay))
    return (*parts, d_bonus, d_states[0], None, d_fresh)


def _backward_fresh(
    reads: FreshReads, resets: Resets, fresh: Tensor, d_out: Tensor, d_after: Tensor, d_r: Tensor, d_log_decay: Tensor
) -> Tensor:
    """Adds to the gradients of r and of the log decay; returns that of `fresh`, summed over all resets."""
    d_fresh = torch.matmul(reads.read.mT, d_out).addcmul_(reads.to_end[..., None], d_after).sum((0, 1))
    d_read = torch.matmul(d_out, fresh.mT)
    d_r.addcmul_(d_read, reads.since)
    d_sums = d_read.mul_(reads.read)
    d_end = (d_after * fresh).sum(-1).mul_(reads.to_end)
    d_sums[..., -1, :] += d_end
    d_log_decay[..., -1, :] += d_end
    d_log_decay += torch.matmul(resets.same_before.mT, d_sums)
    return d_fresh


def _blocks(scores: Tensor, half: int) -> Tensor:
    """The view [X, n, half, half] of scores [X, L, L] where t stands in a right block and s in the left beside it."""
    count, length, _ = scores.shape
    pairs = length // (2 * half)
    grid = scores.view(count, pairs, 2, half, pairs, 2, half)
    return grid[:, :, 1, :, :, 0].diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)


def _climb(receive: Tensor, send: Tensor, decay: Tensor, scores: Tensor, tape: Tape) -> Tensor:
    """Meet all pairs of each chunk, from single tokens up; fills `scores`, decays `receive` and `send` in place.

    receive, send, decay [X, L, K], scores [X, L, L]; returns the decay of whole chunks [X, K].
    """
    count, length, _ = receive.shape
    half = 1
    while half < length:
        pairs = (count, length // (2 * half), 2, half, -1)
        r, k = receive.view(pairs)[:, :, 1], send.view(pairs)[:, :, 0]
        decay_left, decay_right = decay.view(count, -1, 2, 1, decay.shape[-1]).unbind(2)
        # clones, for `contiguous` would give a view of what is overwritten below when there is but one block
        right = r.clone(memory_format=torch.contiguous_format)
        left = k.clone(memory_format=torch.contiguous_format)
        if half == 1:
            _blocks(scores, half).copy_((right * left).sum(-1, keepdim=True))
        else:
            met = right.flatten(0, 1).bmm(left.flatten(0, 1).mT)
            _blocks(scores, half).copy_(met.view(count, -1, half, half))
        torch.mul(right, decay_left, out=r)
        torch.mul(left, decay_right, out=k)
        if tape.wanted:
            tape.levels.append(Level(right, left, decay_left, decay_right))
        decay = decay_left * decay_right
        half *= 2
    return decay.view(count, -1)


def _descend(d_receive: Tensor, d_send: Tensor, d_decay: Tensor, d_scores: Tensor, tape: Tape) -> Tensor:
    """The gradient of `_climb`: turns those after it into those before it, in place.

    d_decay [X, K] is that of whole chunks; returns that of single tokens [X, L, K].
    """
    count, length, key = d_receive.shape
    half = length // 2
    d_decay = d_decay.view(count, 1, 1, key)
    for level in reversed(tape.levels):
        pairs = (count, length // (2 * half), 2, half, -1)
        d_r, d_k = d_receive.view(pairs)[:, :, 1], d_send.view(pairs)[:, :, 0]
        d_met = _blocks(d_scores, half).contiguous()
        below = d_decay.new_empty((count, pairs[1], 2, 1, key))
        torch.mul(d_decay, level.decay_right, out=below[:, :, 0])
        torch.mul(d_decay, level.decay_left, out=below[:, :, 1])
        if half == 1:
            below[:, :, 0].addcmul_(d_r, level.right)
            below[:, :, 1].addcmul_(d_k, level.left)
        else:
            below[:, :, 0] += (d_r * level.right).sum(2, keepdim=True)
            below[:, :, 1] += (d_k * level.left).sum(2, keepdim=True)
        if half <= SMALL:
            d_r.mul_(level.decay_left)
            d_k.mul_(level.decay_right)
            for i in range(half):
                d_r.addcmul_(d_met[..., i : i + 1], level.left[:, :, i : i + 1])
                d_k.addcmul_(d_met[:, :, i, :, None], level.right[:, :, i : i + 1])
        else:
            d_met = d_met.flatten(0, 1)
            from_left = d_met.bmm(level.left.flatten(0, 1)).view(d_r.shape)
            from_right = d_met.mT.bmm(level.right.flatten(0, 1)).view(d_k.shape)
            torch.addcmul(from_left, d_r, level.decay_left, out=d_r)
            torch.addcmul(from_right, d_k, level.decay_right, out=d_k)
        d_decay = below.view(count, -1, 1, key)
        half //= 2
    return d_decay.view(d_receive.shape)


SMALL = 2
"Blocks up to this length are multiplied element by element: torch's product of so small matrices is slow."


def _cut(tensor: Tensor, chunks: int, length: int) -> Tensor:
    """[B, T, H, K] to a new [M, B, H, L, K]; the tail is filled with zeros, which neither decay nor write."""
    missing = chunks * length - tensor.shape[1]
    padded = pad(tensor, (0, 0, 0, 0, 0, missing)) if missing else tensor
    moved = padded.unflatten(1, (chunks, length)).permute(1, 0, 3, 2, 4)
    return torch.empty(moved.shape, dtype=tensor.dtype, device=tensor.device).copy_(moved)


def _join(tensor: Tensor, time: int) -> Tensor:
    """[M, B, H, L, K] to a new [B, T, H, K]."""
    return tensor.permute(1, 0, 3, 2, 4).flatten(1, 2)[:, :time]
