"""The chunks of `_chunks.py` with the gradient written by hand: each solve and each pair product is taken once.

Where a gradient of the gradient may be wanted (`create_graph`, `torch.func`), backward differentiates the plain form
instead; `vmap` runs the plain form too.

B batch  T time  H heads  K key width  V value width  M chunks in time  L chunk length  X = M B H
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from think.kernels._arguments import full_precision
from think.kernels._higher import differentiable_gradient
from think.kernels.delta_rule._chunks import FORGET, cuts, plain, spans


@dataclass
class Resets:
    """How chunks are cut by resets, and what tokens after one see of `fresh`.

    begins [M, B, 1, L, 1]: the token begins a document. same [M, B, 1, L, L]: 1.0 where i <= t and no reset stands
    between. in_later [M, B, H, L, 1]: the decay of `fresh`, 0 before the first reset of a chunk.
    """

    begins: Tensor
    same: Tensor
    in_later: Tensor

    @classmethod
    def of(cls, reset: Tensor, decay: Tensor) -> "Resets":
        chunks, _, _, length, _ = decay.shape
        padded = pad(reset, (0, chunks * length - reset.shape[1]))
        begins = padded.unflatten(1, (chunks, length)).transpose(0, 1)[:, :, None]
        segment = begins.cumsum(-1)
        same = (segment[..., :, None] == segment[..., None, :]).tril().to(decay.dtype)
        in_later = (same @ decay).exp_() * (segment > 0)[..., None]
        return cls(begins[..., None], same, in_later)


@dataclass
class Kept:
    """What backward needs of forward, cut into chunks.

    q, k, v, beta as given  met [X, 2L, L]: q k^T above k k^T, between [X, 1, L, L] their decays
    held [X, L, L] = beta (k k^T) between  read [X, L, L] = (q k^T) between  since, to_end [X, L, 1]
    keep [X, L, K], written [X, L, V] and states [M + 1, B H, K, V]: what is read, written and carried
    """

    q: Tensor
    k: Tensor
    v: Tensor
    beta: Tensor
    met: Tensor
    between: Tensor
    held: Tensor
    read: Tensor
    since: Tensor
    to_end: Tensor
    keep: Tensor
    written: Tensor
    states: Tensor
    resets: Resets | None


@dataclass
class Tape:
    """Carries what was kept from forward to backward; stays empty when no gradient will be asked for."""

    wanted: bool
    kept: Kept | None = None


class Chunks(torch.autograd.Function):
    """`plain`, faster. Arguments as there, and a Tape."""

    @staticmethod
    def forward(
        q: Tensor,
        k: Tensor,
        v: Tensor,
        beta: Tensor,
        log_decay: Tensor,
        state: Tensor,
        reset: Tensor | None,
        fresh: Tensor | None,
        tape: Tape,
    ) -> tuple[Tensor, Tensor]:
        return _forward(q, k, v, beta, log_decay, state, reset, fresh, tape)

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
            return (*_backward(tape.kept, given[7], d_out, d_state), None)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        return torch.vmap(plain, in_dims[:-1])(*inputs[:-1]), (0, 0)


def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    log_decay: Tensor,
    state: Tensor,
    reset: Tensor | None,
    fresh: Tensor | None,
    tape: Tape,
) -> tuple[Tensor, Tensor]:
    batch, time, heads, key = q.shape
    value = v.shape[-1]
    chunks, length = cuts(time)
    each = (chunks, batch * heads, length, -1)
    flat = (chunks * batch * heads, length, -1)
    decay = _cut(log_decay[..., None], chunks, length)
    q, k, v, beta = (_cut(tensor, chunks, length).view(flat) for tensor in (q, k, v, beta[..., None]))

    resets = None if reset is None else Resets.of(reset, decay)
    # A decay of exactly zero forgets all that came before, without a mask on any large tensor.
    blocked = decay if resets is None else decay.masked_fill(resets.begins, FORGET)
    span, above = spans(length, decay.dtype, decay.device)
    between = (blocked.view(-1, length) @ span).view(-1, 1, length, length).add_(above).exp_()
    since = blocked.cumsum(-2).exp_().view(flat)
    to_end = between[:, 0, -1, :, None]

    met = torch.cat([q, k], 1).bmm(k.mT)
    pairs = met.view(-1, 2, length, length) * between
    read, held = pairs[:, 0], (pairs[:, 1] * beta).tril_(-1)
    right = torch.cat([beta * v, (beta * since) * k], -1)
    seen_fresh = None
    if resets is not None and fresh is not None:
        grid = (chunks, batch, heads, length, -1)
        seen_fresh = torch.cat([q, k], 1).view(chunks, batch, heads, 2 * length, key) @ fresh
        right.view(grid)[..., :value] -= (beta.view(grid) * resets.in_later) * seen_fresh[..., length:, :]
    solved = torch.linalg.solve_triangular(held, right, upper=False, unitriangular=True)
    written, keep = solved[..., :value].contiguous(), solved[..., value:].contiguous()

    send, receive = (k * to_end).view(each), (q * since).view(flat)
    carry = since.view(each)[:, :, -1:]
    states = q.new_empty((chunks + 1, batch * heads, key, value))
    states[0] = state.reshape(-1, key, value)
    for chunk in range(chunks):
        write = written.view(each)[chunk].baddbmm_(keep.view(each)[chunk], states[chunk], alpha=-1)
        torch.mul(carry[chunk], states[chunk], out=states[chunk + 1])
        states[chunk + 1].baddbmm_(send[chunk].mT, write)
        if resets is not None and fresh is not None:
            states[chunk + 1].view(batch, heads, key, value).addcmul_(resets.in_later[chunk, :, :, -1:], fresh)
    out = read.bmm(written).baddbmm_(receive, states[:-1].view(-1, key, value))
    if resets is not None and seen_fresh is not None:
        out.view(grid).addcmul_(resets.in_later, seen_fresh[..., :length, :])
    if tape.wanted:
        tape.kept = Kept(q, k, v, beta, met, between, held, read, since, to_end, keep, written, states, resets)
    return _join(out, chunks, batch, time), states[-1].view(batch, heads, key, value).clone()


def _backward(kept: Kept | None, fresh: Tensor | None, d_out: Tensor, d_state: Tensor) -> tuple[Tensor | None, ...]:
    assert kept is not None
    q, k, v, beta, since, to_end, written = kept.q, kept.k, kept.v, kept.beta, kept.since, kept.to_end, kept.written
    batch, time, heads, value = d_out.shape
    length, key = q.shape[1:]
    chunks = kept.states.shape[0] - 1
    each, flat, slab = (chunks, batch * heads, length, -1), (-1, length, value), (-1, key, value)
    d_out = _cut(d_out, chunks, length).view(flat)
    entering, carry = kept.states[:-1].view(slab), since.view(each)[:, :, -1:]

    # chunk after chunk, from the last: what is written reaches the outputs of its chunk and the state that leaves
    send = (k * to_end).view(each)
    d_written = kept.read.mT.bmm(d_out).view(each)
    d_states = (q * since).mT.bmm(d_out).view(chunks, batch * heads, key, value)
    d_leaving = torch.empty_like(d_states)
    after = d_state.reshape(-1, key, value)
    for chunk in reversed(range(chunks)):
        d_leaving[chunk] = after
        d_written[chunk].baddbmm_(send[chunk], after)
        after = torch.addcmul(d_states[chunk], carry[chunk], after)
        after.baddbmm_(kept.keep.view(each)[chunk].mT, d_written[chunk], alpha=-1)
    d_leaving = d_leaving.view(slab)

    # written solves (1 + held) written = beta (v - since k S), so its gradient solves the transpose
    d_right = torch.linalg.solve_triangular(kept.held.mT, d_written.view(flat), upper=True, unitriangular=True)
    d_v = beta * d_right
    d_read, d_held = torch.cat([d_out, d_right], 1).bmm(written.mT).view(-1, 2, length, length).unbind(1)
    d_held = d_held.neg().tril_(-1)
    d_beta = (d_right * v).sum(-1, keepdim=True)
    d_beta += (d_held * kept.met[:, length:] * kept.between[:, 0]).sum(-1, keepdim=True)

    # pairs: of q and k, and of k and k
    d_met = torch.cat([d_read, d_held * beta], 1).view(-1, 2, length, length) * kept.between
    spent = (d_met * kept.met.view(d_met.shape)).sum(1)
    d_met = d_met.view(-1, 2 * length, length)
    d_q, d_k = d_met.bmm(k).view(-1, 2, length, key).unbind(1)
    d_k = d_k + d_met.mT.bmm(torch.cat([q, k], 1))

    # what is read of the entering state, and what reaches the one that leaves
    seen_q, seen_k = torch.cat([d_out, d_right], 1).bmm(entering.mT).view(-1, 2, length, key).unbind(1)
    d_q = torch.addcmul(d_q, seen_q, since)
    d_k.addcmul_(seen_k, beta * since, value=-1)
    held_k = (seen_k * k).sum(-1, keepdim=True)
    d_beta.addcmul_(held_k, since, value=-1)
    d_since = (seen_q * q).sum(-1, keepdim=True).addcmul_(held_k, beta, value=-1)
    d_since[:, -1, 0] += (d_leaving * entering).sum((-1, -2))
    sent = written.bmm(d_leaving.mT)
    d_k.addcmul_(sent, to_end)
    spent[:, -1] += (sent * k).sum(-1) * to_end[..., 0]

    span, _ = spans(length, q.dtype, q.device)
    d_decay = (spent.view(-1, length * length) @ span.mT)[..., None]
    d_decay = d_decay + (d_since * since).flip(1).cumsum(1).flip(1)
    d_fresh = None
    if kept.resets is not None:
        grid = (chunks, batch, heads, length, -1)
        d_decay.view(grid).masked_fill_(kept.resets.begins, 0.0)
        if fresh is not None:
            d_fresh = _backward_fresh(kept, kept.resets, fresh, d_out, d_right, d_leaving, d_q, d_k, d_beta, d_decay)
    d_q, d_k, d_v, d_beta, d_decay = (_join(each, chunks, batch, time) for each in (d_q, d_k, d_v, d_beta, d_decay))
    return d_q, d_k, d_v, d_beta[..., 0], d_decay[..., 0], after.view(d_state.shape), None, d_fresh


def _backward_fresh(
    kept: Kept,
    resets: Resets,
    fresh: Tensor,
    d_out: Tensor,
    d_right: Tensor,
    d_leaving: Tensor,
    d_q: Tensor,
    d_k: Tensor,
    d_beta: Tensor,
    d_decay: Tensor,
) -> Tensor:
    """Adds to the gradients of q, k, beta and the log decay; returns that of `fresh`, summed over all resets."""
    chunks, batch, heads, length, _ = resets.in_later.shape
    grid = (chunks, batch, heads, length, -1)
    q, k, beta, later = kept.q.view(grid), kept.k.view(grid), kept.beta.view(grid), resets.in_later
    d_out, d_right = d_out.view(grid), d_right.view(grid)
    d_leaving = d_leaving.view(chunks, batch, heads, *fresh.shape[1:])

    d_fresh = ((later * q).mT @ d_out - (beta * later * k).mT @ d_right + later[..., -1:, :] * d_leaving).sum((0, 1))
    seen_q, seen_k = d_out @ fresh.mT, d_right @ fresh.mT
    held = (seen_k * k).sum(-1, keepdim=True)
    d_q.view(grid).addcmul_(seen_q, later)
    d_k.view(grid).addcmul_(seen_k, beta * later, value=-1)
    d_beta.view(grid).addcmul_(held, later, value=-1)
    d_later = (seen_q * q).sum(-1, keepdim=True) - beta * held
    d_later[..., -1, 0] += (d_leaving * fresh).sum((-1, -2))
    d_decay.view(grid).add_(resets.same.mT @ (d_later * later))
    return d_fresh


def _cut(tensor: Tensor, chunks: int, length: int) -> Tensor:
    """[B, T, H, K] to a new [M, B, H, L, K]; the tail is filled with zeros, which neither decay nor write."""
    missing = chunks * length - tensor.shape[1]
    padded = pad(tensor, (0, 0, 0, 0, 0, missing)) if missing else tensor
    return padded.unflatten(1, (chunks, length)).permute(1, 0, 3, 2, 4).contiguous()


def _join(tensor: Tensor, chunks: int, batch: int, time: int) -> Tensor:
    """[X, L, K] to [B, T, H, K]."""
    return tensor.unflatten(0, (chunks, batch, -1)).permute(1, 0, 3, 2, 4).flatten(1, 2)[:, :time]
