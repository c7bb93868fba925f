"""The chunks of `_chunks.py` with the gradient written by hand: in place, and in the layout that the inputs have.

With one group nothing is moved in memory but what enters the pair products. Where a gradient of the gradient may be
wanted, and under `vmap`, the plain form runs instead.

B batch  T time  H heads  P head width  N state width  G groups  J = H / G heads in a group
M chunks in time  Q chunk length  X = B M
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from think.kernels._arguments import full_precision
from think.kernels._higher import differentiable_gradient
from think.kernels.ssd._chunks import FORGET, cuts, plain, spans


@dataclass
class Resets:
    """How chunks are cut by resets.

    begins  [X, Q]          the token begins a document
    later   [X, 1, Q, 1]    1.0 at and after the first reset of the chunk
    same    [X, 1, Q, Q]    1.0 where i <= t and no reset stands between
    """

    begins: Tensor
    later: Tensor
    same: Tensor

    @classmethod
    def of(cls, reset: Tensor, chunks: int, length: int, kind: torch.dtype) -> "Resets":
        begins = pad(reset, (0, chunks * length - reset.shape[1])).reshape(-1, length)
        segment = begins.cumsum(-1)
        same = (segment[:, :, None] == segment[:, None, :]).tril()
        return cls(begins, (segment > 0)[:, None, :, None].to(kind), same[:, None].to(kind))


@dataclass
class Kept:
    """What backward needs of forward, cut into chunks.

    x [X, G, Q, J, P]  dt, since_start, to_end [X, G, Q, J]  B, C [X G, Q, N]  states [B, M, G, J P, N] (entering)
    moved = dt x [X H, Q, P]  between [X, G, J, Q, Q]  met = C B^T [X, G, 1, Q, Q]  read = C S^T [X, G, Q, J, P]
    carry [B, M, G, J]  in_later [X, G, Q, J] and read_fresh [X, G, Q, J, P]: what tokens after a reset see of `fresh`
    """

    x: Tensor
    dt: Tensor
    B: Tensor
    C: Tensor
    moved: Tensor
    between: Tensor
    met: Tensor
    since_start: Tensor
    to_end: Tensor
    carry: Tensor
    states: Tensor
    read: Tensor
    resets: Resets | None
    in_later: Tensor | None
    read_fresh: Tensor | None


@dataclass
class Tape:
    """Carries what was kept from forward to backward; stays empty when no gradient will be asked for."""

    wanted: bool
    kept: Kept | None = None


class Chunks(torch.autograd.Function):
    """`plain`, faster. Arguments as there, and a Tape."""

    @staticmethod
    def forward(
        x: Tensor,
        dt: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor,
        state: Tensor,
        reset: Tensor | None,
        fresh: Tensor | None,
        tape: Tape,
    ) -> tuple[Tensor, Tensor]:
        return _forward(x, dt, A, B, C, D, state, reset, fresh, tape)

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
            return (*_backward(tape.kept, given[2], given[5], given[8], d_out, d_state), None)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        return torch.vmap(plain, in_dims[:-1])(*inputs[:-1]), (0, 0)


def _forward(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    tape: Tape,
) -> tuple[Tensor, Tensor]:
    batch, time, heads, width = x.shape
    groups, size = B.shape[2:]
    shared = heads // groups
    chunks, length = cuts(time)
    resets = None if reset is None else Resets.of(reset, chunks, length, x.dtype)
    x = _by_group(x, groups, length)
    dt = _by_group(dt[..., None], groups, length)[..., 0]
    B, C = (_by_group(tensor, groups, length).flatten(0, 1).squeeze(2) for tensor in (B, C))

    decay = dt * A.view(groups, 1, shared)
    blocked = decay
    if resets is not None:
        # A decay of exactly zero forgets all that came before, without a mask on any large tensor.
        blocked = decay.masked_fill(resets.begins[:, None, :, None], FORGET)
    span, above = spans(length, x.dtype, x.device)
    between = (blocked.mT @ span).view(-1, groups, shared, length, length).add_(above).exp_()
    since_start = blocked.cumsum(2).exp_()
    to_end = between[..., -1, :].mT.contiguous()

    met = C.bmm(B.mT).view(-1, groups, 1, length, length)
    moved = x.new_empty((x.shape[0], groups, shared, length, width))
    torch.mul(x, dt[..., None], out=moved.transpose(2, 3))
    moved = moved.view(-1, length, width)
    inside = (met * between).view(-1, length, length).bmm(moved)

    written = (x * (dt * to_end)[..., None]).view(-1, length, shared * width).mT.bmm(B)
    written = written.view(batch, chunks, groups, shared, width, size)
    in_later = read_fresh = None
    if resets is not None and fresh is not None:
        fresh = fresh.view(groups, shared * width, size)
        in_later = (resets.same @ decay).exp_() * resets.later
        at_end = in_later[:, :, -1].view(batch, chunks, groups, shared, 1, 1)
        written.addcmul_(at_end, fresh.view(groups, shared, width, size))
        read_fresh = (C.view(-1, groups, length, size) @ fresh.mT).view(x.shape)
    carry = since_start[:, :, -1].view(batch, chunks, groups, shared, 1, 1)
    states = torch.empty_like(written)
    last = state.reshape(batch, groups, shared, width, size)
    for chunk in range(chunks):
        states[:, chunk] = last
        last = torch.addcmul(written[:, chunk], carry[:, chunk], last)

    read = C.bmm(states.view(-1, shared * width, size).mT).view(x.shape)
    out = torch.addcmul(inside.view(-1, groups, shared, length, width).transpose(2, 3), read, since_start[..., None])
    out.addcmul_(x, D.view(groups, 1, shared, 1))
    if in_later is not None and read_fresh is not None:
        out.addcmul_(read_fresh, in_later[..., None])
    if tape.wanted:
        tape.kept = Kept(
            x, dt, B, C, moved, between, met, since_start, to_end, carry, states, read, resets, in_later, read_fresh
        )
    return _by_time(out, batch, time), last.view(state.shape)


def _backward(
    kept: Kept | None, A: Tensor, D: Tensor, fresh: Tensor | None, d_out: Tensor, d_state: Tensor
) -> tuple[Tensor | None, ...]:
    assert kept is not None
    x, dt, B, C, between, states, carry = kept.x, kept.dt, kept.B, kept.C, kept.between, kept.states, kept.carry
    batch, chunks, groups, shared, width, size = states.shape
    length, time = x.shape[2], d_out.shape[1]
    wide = (-1, length, shared * width)
    slab = (-1, shared * width, size)
    d_out = _by_group(d_out, groups, length)

    d_x = d_out * D.view(groups, 1, shared, 1)
    d_D = (d_out * x).sum((2, 4)).sum(0).view(-1)

    # out = read * since_start, read = C S^T
    scaled = (d_out * kept.since_start[..., None]).view(wide)
    d_C = scaled.bmm(states.view(slab))
    d_entering = scaled.mT.bmm(C).view(states.shape)
    d_since = (d_out * kept.read).sum(-1)

    # S = carry S + written, chunk after chunk
    d_written = torch.empty_like(states)
    after = d_state.reshape(batch, groups, shared, width, size)
    for chunk in reversed(range(chunks)):
        d_written[:, chunk] = after
        after = torch.addcmul(d_entering[:, chunk], carry[:, chunk], after)
    d_since[:, :, -1] += (d_written * states).sum((-1, -2)).view(-1, groups, shared)

    # written = (x dt to_end)^T B
    gain = dt * kept.to_end
    weighted = (x * gain[..., None]).view(wide)
    d_B = weighted.bmm(d_written.view(slab))
    d_weighted = B.bmm(d_written.view(slab).mT).view(x.shape)
    d_x.addcmul_(d_weighted, gain[..., None])
    d_gain = d_weighted.mul_(x).sum(-1)
    d_dt = d_gain * kept.to_end

    # inside = (met * between) (x dt)
    d_inside = torch.empty_like(kept.moved).view(-1, groups, shared, length, width)
    d_inside.copy_(d_out.transpose(2, 3))
    d_inside = d_inside.view(-1, length, width)
    pairs = d_inside.bmm(kept.moved.mT).view(between.shape)
    d_moved = (kept.met * between).view(-1, length, length).mT.bmm(d_inside)
    d_moved = d_moved.view(-1, groups, shared, length, width).transpose(2, 3)
    d_x.addcmul_(d_moved, dt[..., None])
    d_dt += (d_moved * x).sum(-1)
    pairs *= between
    d_met = pairs.sum(2).view(-1, length, length)
    d_C.baddbmm_(d_met, B)
    d_B.baddbmm_(d_met.mT, C)
    pairs *= kept.met
    pairs[..., -1, :].addcmul_((d_gain * dt).mT, kept.to_end.mT)
    span, _ = spans(length, x.dtype, x.device)
    d_decay = (pairs.view(-1, length * length) @ span.mT).view(-1, groups, shared, length).mT
    d_decay = d_decay + (d_since * kept.since_start).flip(2).cumsum(2).flip(2)
    if kept.resets is not None:
        d_decay.masked_fill_(kept.resets.begins[:, None, :, None], 0.0)

    d_fresh = None
    if kept.resets is not None and fresh is not None and kept.in_later is not None and kept.read_fresh is not None:
        given = fresh.view(groups, shared, width, size)
        at_end = kept.in_later[:, :, -1].view(batch, chunks, groups, shared, 1, 1)
        d_fresh = (d_written * at_end).sum((0, 1))
        scaled = (d_out * kept.in_later[..., None]).view(wide)
        d_fresh = d_fresh.view(groups, -1, size) + scaled.mT.bmm(C).view(-1, groups, shared * width, size).sum(0)
        d_C += (scaled.view(-1, groups, *wide[1:]) @ given.flatten(1, 2)).view(d_C.shape)
        d_later = (d_out * kept.read_fresh).sum(-1)
        d_later[:, :, -1] += (d_written * given).sum((-1, -2)).view(-1, groups, shared)
        d_decay += kept.resets.same.mT @ (d_later * kept.in_later)
        d_fresh = d_fresh.view(fresh.shape)

    d_dt += d_decay * A.view(groups, 1, shared)
    d_A = (d_decay * dt).sum((0, 2)).view(-1)
    d_B, d_C = (_by_time(tensor.view(-1, groups, length, 1, size), batch, time) for tensor in (d_B, d_C))
    d_dt = _by_time(d_dt[..., None], batch, time)[..., 0]
    return _by_time(d_x, batch, time), d_dt, d_A, d_B, d_C, d_D, after.view(d_state.shape), None, d_fresh


def _by_group(tensor: Tensor, groups: int, length: int) -> Tensor:
    """[B, T, H, P] to contiguous [X, G, Q, J, P]; the tail is filled with zeros, which neither decay nor write."""
    missing = -tensor.shape[1] % length
    tensor = pad(tensor, (0, 0, 0, 0, 0, missing)) if missing else tensor
    return tensor.unflatten(1, (-1, length)).unflatten(3, (groups, -1)).transpose(2, 3).flatten(0, 1).contiguous()


def _by_time(tensor: Tensor, batch: int, time: int) -> Tensor:
    """[X, G, Q, J, P] to [B, T, H, P]."""
    return tensor.transpose(1, 2).flatten(2, 3).reshape(batch, -1, *_heads(tensor))[:, :time]


def _heads(tensor: Tensor) -> tuple[int, int]:
    return tensor.shape[1] * tensor.shape[3], tensor.shape[4]
