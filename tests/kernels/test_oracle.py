"""The references themselves, against a form that shares nothing with them: attention matrices in float64 numpy.

Each output is written as a sum over all earlier tokens of the same document, with the decay between the two taken from
scratch. It is quadratic in time and says nothing of states, chunks or loops.
"""

import numpy as np
import pytest
import torch

from think.kernels import choose
from think.kernels.compare import OPERATORS, Case, inputs

pytestmark = pytest.mark.kernel

TIMES = (1, 2, 37, 70)
Array = np.ndarray


def numbers(operator: str, case: Case, seed: int) -> tuple[dict[str, Array], Array]:
    given = inputs(operator, case, kind=torch.float64, seed=seed)
    reset = np.zeros((case.batch, case.time), bool) if given.reset is None else given.reset.numpy()
    return {name: tensor.detach().numpy() for name, tensor in given.tensors.items()}, reset


def origin(reset: Array, t: int) -> int | None:
    """The last reset at or before t, None where the entering state is still alive."""
    at = np.flatnonzero(reset[: t + 1])
    return int(at[-1]) if at.size else None


def rwkv6(a: dict[str, Array], reset: Array) -> tuple[Array, Array]:
    batch, time, heads, _ = a["r"].shape
    out = np.zeros((*a["r"].shape[:3], a["v"].shape[-1]))
    last = np.zeros_like(a["state"])
    for b in range(batch):
        for h in range(heads):
            w, k, v = a["log_decay"][b, :, h], a["k"][b, :, h], a["v"][b, :, h]
            for t in range(time + 1):
                # t == time asks for the state after the last token
                begin = origin(reset[b], min(t, time - 1))
                first, enters = (0, a["state"][b, h]) if begin is None else (begin, a["fresh"][h])
                seen = np.exp(w[first:t].sum(0))[:, None] * enters
                for s in range(first, t):
                    seen = seen + np.exp(w[s + 1 : t].sum(0))[:, None] * np.outer(k[s], v[s])
                if t == time:
                    last[b, h] = seen
                else:
                    own = a["bonus"][h][:, None] * np.outer(k[t], v[t])
                    out[b, t, h] = a["r"][b, t, h] @ (seen + own)
    return out, last


def ssd(a: dict[str, Array], reset: Array) -> tuple[Array, Array]:
    batch, time, heads, _ = a["x"].shape
    share = heads // a["B"].shape[2]
    out, last = np.zeros_like(a["x"]), np.zeros_like(a["state"])
    for b in range(batch):
        for h in range(heads):
            g, rate = h // share, a["dt"][b, :, h] * a["A"][h]
            for t in range(time):
                begin = origin(reset[b], t)
                first, enters = (0, a["state"][b, h]) if begin is None else (begin, a["fresh"][h])
                seen = np.exp(rate[first : t + 1].sum()) * enters
                for s in range(first, t + 1):
                    decay = np.exp(rate[s + 1 : t + 1].sum())
                    seen = seen + decay * a["dt"][b, s, h] * np.outer(a["x"][b, s, h], a["B"][b, s, g])
                out[b, t, h] = seen @ a["C"][b, t, g] + a["D"][h] * a["x"][b, t, h]
            last[b, h] = seen
    return out, last


def delta_rule(a: dict[str, Array], reset: Array) -> tuple[Array, Array]:
    """The state is a sum over writes, each carried on by a product of the matrices a_i (1 - beta_i k_i k_i^T)."""
    batch, time, heads, key = a["q"].shape
    out, last = np.zeros(a["v"].shape), np.zeros_like(a["state"])
    for b in range(batch):
        for h in range(heads):
            k, v, beta = a["k"][b, :, h], a["v"][b, :, h], a["beta"][b, :, h]
            decay = np.exp(a["log_decay"][b, :, h])
            step = [decay[t] * (np.eye(key) - beta[t] * np.outer(k[t], k[t])) for t in range(time)]
            for t in range(time):
                begin = origin(reset[b], t)
                first, seen = (0, a["state"][b, h]) if begin is None else (begin, a["fresh"][h])
                carried, written = np.eye(key), np.zeros_like(seen)
                for s in range(t, first - 1, -1):
                    written = written + carried @ (beta[s] * np.outer(k[s], v[s]))
                    carried = carried @ step[s]
                last[b, h] = carried @ seen + written
                out[b, t, h] = a["q"][b, t, h] @ last[b, h]
    return out, last


def causal_conv(a: dict[str, Array], reset: Array) -> tuple[Array, Array]:
    batch, time, _ = a["x"].shape
    window = a["weight"].shape[-1]
    out, last = np.zeros_like(a["x"]), np.zeros_like(a["state"])

    def tape(b: int, t: int) -> Array:
        """All inputs that token t can look back on, oldest first, itself last."""
        begin = origin(reset[b], t)
        before, first = (a["state"][b], 0) if begin is None else (a["fresh"], begin)
        return np.concatenate([before, a["x"][b, first : t + 1].T], 1)

    for b in range(batch):
        for t in range(time):
            total = (tape(b, t)[:, -window:] * a["weight"]).sum(-1) + a["bias"]
            out[b, t] = total / (1 + np.exp(-total))
        last[b] = tape(b, time - 1)[:, tape(b, time - 1).shape[1] - (window - 1) :]
    return out, last


ORACLES = {"rwkv6": rwkv6, "ssd": ssd, "delta_rule": delta_rule, "causal_conv": causal_conv}


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("resets", [(), (0,), (1, 33, 34)], ids=["no resets", "at the start", "some"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_implementations_match_the_attention_form(operator: str, resets: tuple[int, ...], time: int) -> None:
    case = Case("oracle", time, key=3, value=4, groups=2, resets=resets)
    given = inputs(operator, case, kind=torch.float64, seed=time)
    out, state = ORACLES[operator](*numbers(operator, case, time))
    for name in choose.usable(operator, "cpu", torch.float64):
        found, last = OPERATORS[operator](**given.tensors, reset=given.reset, implementation=name, **given.options)
        np.testing.assert_allclose(found.detach().numpy(), out, rtol=1e-9, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(last.detach().numpy(), state, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("name", choose.usable("rwkv6", "cpu", torch.float64))
def test_rwkv6_without_decay_is_linear_attention(name: str) -> None:
    given = inputs("rwkv6", Case("linear", 50, decay="none"), kind=torch.float64).tensors
    out, state = OPERATORS["rwkv6"](
        given["r"], given["k"], given["v"], given["log_decay"], given["bonus"], implementation=name
    )
    scores = torch.einsum("bthk,bshk->bhts", given["r"], given["k"]).tril(-1)
    own = torch.einsum("bthk,hk,bthk->bht", given["r"], given["bonus"], given["k"])
    expected = torch.einsum("bhts,bshv->bthv", scores + torch.diag_embed(own), given["v"])
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(state, torch.einsum("bthk,bthv->bhkv", given["k"], given["v"]))


@pytest.mark.parametrize("name", choose.usable("ssd", "cpu", torch.float64))
def test_ssd_almost_without_decay_is_linear_attention(name: str) -> None:
    given = inputs("ssd", Case("linear", 50), kind=torch.float64).tensors
    rate = torch.full_like(given["A"], -1e-300)
    out, _ = OPERATORS["ssd"](
        given["x"], given["dt"], rate, given["B"], given["C"], given["D"] * 0, implementation=name
    )
    scores = torch.einsum("btgn,bsgn->bts", given["C"], given["B"]).tril()
    torch.testing.assert_close(out, torch.einsum("bts,bsh,bshp->bthp", scores, given["dt"], given["x"]))
