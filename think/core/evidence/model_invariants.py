"""What a model does: shapes, causality, one function in every cutting, whole states, resets, gradients, groups.

The function is probed on a model whose parameters were shaken awake (see `_probe`), gradients on a fresh one, as
training meets it. Each comparison is made a second time with the link under test cut, to show that a fault would be
seen.
"""

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from think.core import seeding
from think.core.evidence import Producer, Subject
from think.core.evidence._probe import (
    BEYOND,
    ROWS,
    Probe,
    awaken,
    by_steps,
    distance,
    full_context,
    in_chunks,
    probe,
    state_distance,
)
from think.core.gates.evidence import Difference, Exhibit, ModelInvariants, Source
from think.core.models import build
from think.core.models.state import State
from think.core.models.thinking import Thinking
from think.core.provenance import commit
from think.core.training.optimizer import build_optimizer, coverage

PERTURBED = 8
"Places at which a token is changed, spread over the probe, both ends included."
OPTIMIZER_STEPS = 3
"A parameter behind a zero output projection gets its first gradient in the second step, one behind two in the third."
TRAINED_LENGTH = 48
"""Least tokens per row and optimizer step; a reset stands inside, where the start states get their gradient, and each
step crosses a multiple of StateNorm's period, where its gains get theirs."""


def produce(subject: Subject) -> Exhibit:
    """Build the model as stage 1 would and look at everything that g1 asks about."""
    seed = subject.settings.stage1.seed
    with seeding.untouched():
        fresh = _fresh(subject, seed)
        shape, expected, values, not_finite = _output(subject, fresh, seed)
        trained = _train(subject, fresh, seed)
        awake = _fresh(subject, seed).eval()
        awaken(awake, seed)
        with torch.no_grad():
            function, broken = _function(subject, awake, seed)
    commit_now, dirty = commit()
    return Exhibit(
        evidence=ModelInvariants(
            shape=shape, expected_shape=expected, values=values, not_finite=not_finite + broken, **function, **trained
        ),
        source=Source(digests=dict(subject.digests), seed=seed, commit=commit_now, dirty=dirty),
    )


def _fresh(subject: Subject, seed: int) -> Thinking:
    seeding.start(seed, "stage1", "initialisation")
    model = build(subject.settings.model)
    model.use_kernels(subject.settings.runtime.kernels)
    return model


@torch.no_grad()
def _output(subject: Subject, model: Thinking, seed: int) -> tuple[tuple[int, ...], tuple[int, ...], int, int]:
    seen = probe(subject.settings.model, model.norm_period, seed)
    logits, _ = model(seen.tokens, None, seen.reset)
    expected = (ROWS, seen.length, subject.settings.model.vocabulary)
    return tuple(logits.shape), expected, logits.numel(), int((~torch.isfinite(logits)).sum())


def _function(subject: Subject, model: Thinking, seed: int) -> tuple[dict[str, Any], int]:
    """The figures of every comparison, and how many logits are not finite."""
    seen = probe(subject.settings.model, model.norm_period, seed)
    whole, state = model(seen.tokens, None, seen.reset)
    figures = {
        **_causality(model, seen, whole),
        **_cuttings(model, seen, whole, state),
        "handoff": _handoff(model, seen, whole),
        "reset": _reset(model, seen, full_context(subject.settings.model)),
    }
    return figures, int((~torch.isfinite(whole)).sum())


def _causality(model: Thinking, seen: Probe, whole: Tensor) -> dict[str, Any]:
    """Change one token at a time: nothing before it may move by a single bit, something from it on must."""
    places = sorted({round(place * (seen.length - 1) / (PERTURBED - 1)) for place in range(PERTURBED)})
    before, after = 0.0, float("inf")
    for place in places:
        tokens = seen.tokens.clone()
        tokens[:, place] = (tokens[:, place] + 1) % whole.shape[-1]
        change = (model(tokens, None, seen.reset)[0] - whole).abs()
        if place:
            before = _worse(before, float(change[:, :place].max()))
        after = min(after, float(change[:, place:].amax(dim=(1, 2)).min()))
    return {"perturbed": len(places), "change_before": before, "least_change_after": after}


def _cuttings(model: Thinking, seen: Probe, whole: Tensor, state: State) -> dict[str, Any]:
    cuts = sorted({1, 7, seen.length // 2, seen.length - 5})
    chunks, chunk_state = in_chunks(model, seen, cuts)
    torn, torn_state = in_chunks(model, seen, cuts, hand_on=False)
    cut_link = distance(whole, torn)
    return {
        "chunks": Difference(error=distance(whole, chunks), witness=cut_link),
        "steps": Difference(error=distance(whole, by_steps(model, seen)), witness=cut_link),
        "states": Difference(error=state_distance(state, chunk_state), witness=state_distance(state, torn_state)),
    }


def _handoff(model: Thinking, seen: Probe, whole: Tensor) -> Difference:
    """Take the rows apart half-way, go on with each alone, put them together; the witness swaps their states."""
    middle = seen.length // 2
    _, state = model(seen.tokens[:, :middle], None, seen.reset[:, :middle])
    state = state.detach()
    rows = [state.rows(slice(row, row + 1)) for row in range(ROWS)]
    parted = torch.cat(
        [
            model(seen.tokens[row : row + 1, middle:], rows[row], seen.reset[row : row + 1, middle:])[0]
            for row in range(ROWS)
        ]
    )
    stored = State.from_tensors({k: v.clone() for k, v in State.join(rows).tensors().items()}, state.position)
    joined, _ = model(seen.tokens[:, middle:], stored, seen.reset[:, middle:])
    swapped, _ = model(seen.tokens[:, middle:], State.join(rows[::-1]), seen.reset[:, middle:])
    after = whole[:, middle:]
    error = _worse(distance(after, parted), distance(after, joined))
    return Difference(error=error, witness=distance(after, swapped))


def _reset(model: Thinking, seen: Probe, context: int | None) -> Difference:
    """Two histories, one document start: from it on nothing may tell them apart; the witness leaves the start out."""
    place = seen.length // 3
    if context is not None:
        place = min(place, context // 2)
    stop = seen.length if context is None else min(seen.length, context)
    other = seen.tokens.clone()
    other[:, :place] = (other[:, :place] + 1) % model.settings.vocabulary
    starts = torch.zeros_like(seen.reset[:, :stop])
    starts[:, place] = True
    one, two = (model(tokens[:, :stop], None, starts)[0][:, place:] for tokens in (seen.tokens, other))
    free, told = (model(tokens[:, :stop])[0][:, place:] for tokens in (seen.tokens, other))
    return Difference(error=distance(one, two), witness=distance(free, told))


def _train(subject: Subject, model: Thinking, seed: int) -> dict[str, Any]:
    """Three steps of the run's own optimizer, each on batches with a reset inside, the state handed on."""
    parameters = dict(model.named_parameters())
    faults = coverage(model.roles(), [name for name, each in parameters.items() if each.requires_grad])
    if faults:
        return _groups(parameters, ungrouped=sorted(faults), twice=[], touched=set(), steps=0, resets=0)
    settings = subject.settings.stage1
    optimizer = build_optimizer(settings.optimizer, model.roles(), parameters, settings.learning_rate)
    grouped = Counter(name for group in optimizer.groups for name in group.names)
    source = seeding.generator(seed, "gates", "training")
    length = max(TRAINED_LENGTH, 0 if model.norm_period is None else model.norm_period + BEYOND)
    context = full_context(subject.settings.model)
    ungrouped = [name for name in parameters if grouped[name] == 0]
    twice = [name for name, count in grouped.items() if count > 1]
    if ungrouped or twice:
        return _groups(parameters, ungrouped, twice, touched=set(), steps=0, resets=0)
    touched: set[str] = set()
    state, resets = None, 0
    model.train()
    for _ in range(OPTIMIZER_STEPS):
        tokens = torch.randint(subject.settings.model.vocabulary, (ROWS, length + 1), generator=source)
        reset = torch.zeros(ROWS, length, dtype=torch.bool)
        reset[:, length // 2] = True
        if context is not None:
            reset[:, ::context] = True
        resets += int(reset.sum())
        logits, state = model(tokens[:, :-1], state, reset)
        state = state.detach()
        functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
        touched |= {
            name
            for name, each in parameters.items()
            if each.grad is not None and bool(each.grad.any()) and bool(torch.isfinite(each.grad).all())
        }
        optimizer.step(1.0)
        optimizer.zero_grad()
    # What the optimizer remembers shows which parameters it really moved, whatever its groups say.
    moved = {flat.rpartition("|")[0] for flat in optimizer.state()}
    ungrouped = [name for name in parameters if name in touched and name not in moved]
    return _groups(parameters, ungrouped, twice, touched, OPTIMIZER_STEPS, resets)


def _groups(
    parameters: dict[str, torch.nn.Parameter],
    ungrouped: list[str],
    twice: list[str],
    touched: set[str],
    steps: int,
    resets: int,
) -> dict[str, Any]:
    return {
        "parameters": len(parameters),
        "without_gradient": tuple(sorted(set(parameters) - touched)),
        "ungrouped": tuple(ungrouped),
        "grouped_twice": tuple(twice),
        "optimizer_steps": steps,
        "resets": resets,
    }


def _worse(one: float, other: float) -> float:
    """The larger; NaN when either is."""
    return one if one != one or one >= other else other


SPEC = Producer(produce)
