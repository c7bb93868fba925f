"""The call of native/search.c: its structures, laid out as C reads them.

B positions   N places for nodes   A actions   S the next multiple of LANES from A   H width of a state
"""

import ctypes
from dataclasses import dataclass, fields
from enum import IntEnum

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from think.kernels.decode.pack import pack, padded, size
from think.kernels.native import library

NO_LIMIT = -1


class Problem(IntEnum):
    """Why a position was not searched to its end, as search.c numbers it."""

    NONE = 0
    NOT_FINITE = 1
    NO_LEGAL_ACTION = 2


def lacking() -> str | None:
    """Why searches cannot run natively here; None when they can."""
    return library.lacking("search")


def stride(actions: int) -> int:
    """S, the places that a node has for actions."""
    return padded(actions)


class _World(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("width", "actions", "values", "has_reward", "has_end", "squash")),
        ("caution", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in ("recurrent", "input", "bias", "heads", "heads_bias")),
    )


class Weights:
    """The numbers of a GRU world in the order in which native code reads them; a copy.

    recurrent [3H, H], recurrent_bias [3H]: of the state, gates in the order reset, update, new; input [A, 3H]: of each
    action, its bias added; heads [O, H], heads_bias [O]: logits of the A actions, `values` values, a reward and the
    logit of an end where there are any.
    """

    def __init__(
        self,
        recurrent: Float[Tensor, "H3 H"],
        recurrent_bias: Float[Tensor, " H3"],
        input: Float[Tensor, "A H3"],
        heads: Float[Tensor, "O H"],
        heads_bias: Float[Tensor, " O"],
        *,
        values: int,
        reward: bool,
        end: bool,
        squash: bool,
        caution: float,
    ):
        self.width, self.actions = recurrent.shape[1], input.shape[0]
        self.recurrent, self.heads = _packed(recurrent), _packed(heads)
        known = recurrent_bias.clone()
        self.bias = known[2 * self.width :].clone()
        known[2 * self.width :] = 0.0
        self.input = (input + known).contiguous()
        self.heads_bias = heads_bias.clone()
        self.world = _World(
            *(self.width, self.actions, values, reward, end, squash, caution),
            *(part.data_ptr() for part in (self.recurrent, self.input, self.bias, self.heads, self.heads_bias)),
        )


def _packed(matrix: Tensor) -> Tensor:
    packed = torch.empty(size(*matrix.shape))
    pack(matrix, packed)
    return packed


@dataclass(frozen=True)
class Rule:
    """gumbel: passes [considered + 1, turns, 2] of visits and size; puct: none. depth: NO_LIMIT for no limit."""

    passes: Int[Tensor, "C T 2"] | None
    visit_offset: float
    value_scale: float
    exploration: float
    growth: float
    discount: float
    depth: int


@dataclass(slots=True)
class Trees:
    """What native code writes: the tensors of `core/planning/tree.py`, actions padded to S, and those of a result.

    Not initialised. Trees that are gone on with stand in the first `used` places of each position.
    """

    parent: Int[Tensor, "B N"]
    action: Int[Tensor, "B N"]
    child: Int[Tensor, "B N S"]
    used: Int[Tensor, " B"]
    visits: Int[Tensor, "B N"]
    taken: Int[Tensor, "B N S"]
    total: Float[Tensor, "B N"]
    evaluated: Float[Tensor, "B N"]
    reward: Float[Tensor, "B N"]
    logits: Float[Tensor, "B N S"]
    q: Float[Tensor, "B N S"]
    states: Float[Tensor, "B N H"]
    prior: Float[Tensor, "B N S"]
    terminal: Bool[Tensor, "B N"]
    problem: Int[Tensor, " B"]
    chosen: Int[Tensor, " B"]
    began_with: Int[Tensor, " B"]
    policy: Float[Tensor, "B S"]
    made: Int[Tensor, "B S"]

    @staticmethod
    def room(positions: int, places: int, actions: int, width: int) -> "Trees":
        """Memory for trees and results."""
        nodes, wide = (positions, places), (positions, places, stride(actions))
        parent, action = torch.empty(2, *nodes, dtype=torch.int64).unbind()
        used, problem, chosen, began_with = torch.empty(4, positions, dtype=torch.int64).unbind()
        total, evaluated, reward = torch.empty(3, *nodes).unbind()
        logits, q, prior = torch.empty(3, *wide).unbind()
        return Trees(
            parent=parent,
            action=action,
            child=torch.empty(wide, dtype=torch.int64),
            used=used,
            visits=torch.empty(nodes, dtype=torch.int32),
            taken=torch.empty(wide, dtype=torch.int32),
            total=total,
            evaluated=evaluated,
            reward=reward,
            logits=logits,
            q=q,
            states=torch.empty(*nodes, width),
            prior=prior,
            terminal=torch.empty(nodes, dtype=torch.bool),
            problem=problem,
            chosen=chosen,
            began_with=began_with,
            policy=torch.empty(positions, wide[2]),
            made=torch.empty(positions, wide[2], dtype=torch.int32),
        )


_TREE = tuple(field.name for field in fields(Trees))[:14]
_RESULT = ("problem", "chosen", "began_with", "policy", "made")


class _Rule(ctypes.Structure):
    _fields_ = (
        ("is_gumbel", ctypes.c_int64),
        *((n, ctypes.c_float) for n in ("visit_offset", "value_scale", "exploration", "growth", "discount")),
        ("depth", ctypes.c_int64),
    )


class _Tree(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in _TREE),
        *((name, ctypes.c_int64) for name in ("room", "stride", "width")),
    )


class _Search(ctypes.Structure):
    _fields_ = (
        ("world", _World),
        ("rule", _Rule),
        ("tree", _Tree),
        *((name, ctypes.c_int64) for name in ("positions", "simulations", "fresh", "considered", "turns")),
        *((name, ctypes.c_void_p) for name in ("schedule", "noise", "legal", *_RESULT)),
        ("groups", ctypes.c_int64),
    )


def run(
    trees: Trees,
    weights: Weights,
    rule: Rule,
    simulations: int,
    *,
    fresh: bool,
    noise: Float[Tensor, "B A"] | None,
    legal: Bool[Tensor, "B A"] | None,
) -> None:
    """Search all positions; `trees.problem` tells which of them failed, and their other results are not to be read.

    fresh: the roots' states are in place and nothing else is; otherwise there are trees to go on with, and legal is not
    looked at. noise and legal are contiguous. Lets go of the interpreter's lock.
    """
    passes = rule.passes
    search = _Search(
        world=weights.world,
        rule=_Rule(
            *(passes is not None, rule.visit_offset, rule.value_scale, rule.exploration, rule.growth, rule.discount),
            rule.depth,
        ),
        tree=_Tree(
            *(getattr(trees, name).data_ptr() for name in _TREE),
            *(trees.parent.shape[1], trees.q.shape[2], weights.width),
        ),
        positions=trees.used.shape[0],
        simulations=simulations,
        fresh=fresh,
        considered=0 if passes is None else len(passes) - 1,
        turns=0 if passes is None else passes.shape[1],
        schedule=None if passes is None else passes.data_ptr(),
        noise=None if noise is None else noise.data_ptr(),
        legal=None if legal is None else legal.data_ptr(),
        **{name: getattr(trees, name).data_ptr() for name in _RESULT},
    )
    if library.function("search")(ctypes.byref(search), ctypes.c_int64(torch.get_num_threads())):
        raise MemoryError("native search: no memory for its scratch space")
