"""What is known of each action of a node, made comparable; `reference.py` has the equations.

T nodes   A actions; `legal` are those whose logit is not -inf
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from think.core.planning.reference import LEAST, LEAST_PRIOR


def mixed_value(
    q: Float[Tensor, "T A"],
    taken: Int[Tensor, "T A"],
    logits: Float[Tensor, "T A"],
    evaluated: Float[Tensor, " T"],
) -> Float[Tensor, " T"]:
    """v_mix: the evaluation and, weighed by the prior, the values of what was taken.    [Danihelka, appendix D]"""
    tried = taken > 0
    weight = torch.where(tried, logits.softmax(-1).clamp(min=LEAST_PRIOR), 0.0)
    mean = (weight * q).sum(-1) / weight.sum(-1).clamp(min=LEAST_PRIOR)
    count = taken.sum(-1).to(q.dtype)
    return (evaluated + count * mean) / (1 + count)


def completed_sigma(
    q: Float[Tensor, "T A"],
    taken: Int[Tensor, "T A"],
    logits: Float[Tensor, "T A"],
    evaluated: Float[Tensor, " T"],
    *,
    visit_offset: float,
    value_scale: float,
) -> Float[Tensor, "T A"]:
    """sigma(completed Q) of the legal actions, to be added to their logits; 0 for the others."""
    legal = logits > -torch.inf
    completed = torch.where(taken > 0, q, mixed_value(q, taken, logits, evaluated).unsqueeze(-1))
    least = completed.masked_fill(~legal, torch.inf).amin(-1, keepdim=True)
    most = completed.masked_fill(~legal, -torch.inf).amax(-1, keepdim=True)
    factor = (visit_offset + taken.amax(-1, keepdim=True).to(q.dtype)) * value_scale
    return (factor * (completed - least) / (most - least).clamp(min=LEAST)).masked_fill(~legal, 0.0)


def normalised(q: Float[Tensor, "T A"], taken: Int[Tensor, "T A"], value: Float[Tensor, " T"]) -> Float[Tensor, "T A"]:
    """Q scaled to [0, 1] over the node's own value and the Q of what was taken; 0 for what was not."""
    tried, own = taken > 0, value.unsqueeze(-1)
    known = torch.where(tried, q, own)
    least, most = torch.minimum(known.amin(-1, keepdim=True), own), torch.maximum(known.amax(-1, keepdim=True), own)
    return torch.where(tried, (q - least) / (most - least).clamp(min=LEAST), 0.0)
