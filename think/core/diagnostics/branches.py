"""What each branch of a trained model is worth: held-out loss with the branch's output replaced.

    zero    nothing comes from the branch
    mean    its mean output, one vector a layer, taken over the same text beforehand: what is left is a constant
    other   what it says about another text: the output of the neighbouring stream, token by token

All three replace the output where the fusion rule (or the residual stream) would take it, in the very network that was
trained; its own state goes on as before. Removing by zero can be cheap or dear for the wrong reason, when the branch
carries a constant that the rest relies on: only a branch that is dear by `mean` and `other` too says something about
the text. The change is paired token block by token block, on the same tokens in the same order.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from think.core.data.store import Split
from think.core.models.thinking import Thinking
from think.core.statistics import Interval, block_bootstrap_mean
from think.core.training.evaluate import Score, evaluate

By = Literal["zero", "mean", "other"]
WAYS: tuple[By, ...] = ("zero", "mean", "other")

Place = tuple[int, str]
"Layer and name of a branch."


@dataclass(frozen=True)
class Replacement:
    """One branch replaced in one layer, or in all of them.

    layer    None: in every layer at once
    change   nats per token that the loss rises; below zero the model is better off without
    """

    layer: int | None
    branch: str
    by: By
    loss: float
    change: Interval


@dataclass(frozen=True)
class Contributions:
    """The loss of the whole model, and of every replacement, on the same tokens."""

    whole: Score
    replacements: tuple[Replacement, ...]


def branches(model: Thinking) -> dict[Place, nn.Module]:
    """The modules whose outputs are the branches of each block; empty for a model whose blocks have only one."""
    found: dict[Place, nn.Module] = {}
    for layer, block in enumerate(model.blocks):
        for name, module in block.mixer.branches().items():  # type: ignore[union-attr, operator]
            found[layer, name] = module
    return found


def contributions(
    model: Thinking,
    split: Split,
    rows: int,
    length: int,
    *,
    tokens: int | None = None,
    each_layer: bool = True,
    ways: tuple[By, ...] = WAYS,
    told: Callable[[int, int], None] = lambda done, of: None,
) -> Contributions:
    """Evaluate `model` whole and with every branch replaced, in all layers together and, if asked, in each alone.

    rows: tracks that the held-out text is read in, at least 2 for "other". tokens: stop after so many, None reads all.
    told: called after each evaluation with how many are done, and of how many.
    """
    if "other" in ways and rows < 2:
        raise ValueError("a branch can hear about another text only when two or more rows are read")
    places = branches(model)
    names = sorted({name for _, name in places})
    layers = sorted({layer for layer, _ in places}) if each_layer else []
    asked: list[tuple[int | None, str, By]] = [
        (layer, name, by) for layer in (None, *layers) for name in names for by in ways
    ]
    means: dict[Place, Tensor] = {}
    with _measured(places, means):
        whole = evaluate(model, split, rows, length, tokens)
    found = []
    for done, (layer, name, by) in enumerate(asked):
        told(done, len(asked))
        chosen = {place: module for place, module in places.items() if place[1] == name and layer in (None, place[0])}
        with replaced(chosen, by, means):
            score = evaluate(model, split, rows, length, tokens)
        found.append(Replacement(layer, name, by, score.loss, difference(score, whole)))
    told(len(asked), len(asked))
    return Contributions(whole, tuple(found))


@contextmanager
def replaced(places: Mapping[Place, nn.Module], by: By, means: Mapping[Place, Tensor]) -> Iterator[None]:
    """Within the `with`, these branches give something else; `means` is read for "mean" only."""
    with ExitStack() as hooks:
        for place, module in places.items():
            hook = module.register_forward_hook(_instead(by, means.get(place)))
            hooks.callback(hook.remove)
        yield


def difference(score: Score, whole: Score) -> Interval:
    """Mean change of the loss in nats per token, with the interval of its block bootstrap."""
    pairs = [(a - b, weight) for (a, weight), (b, _) in zip(score.blocks, whole.blocks, strict=True) if weight > 0]
    return block_bootstrap_mean([nats / weight for nats, weight in pairs], weights=[weight for _, weight in pairs])


def _instead(by: By, mean: Tensor | None) -> Callable[[nn.Module, object, Tensor], Tensor]:
    def hook(_: nn.Module, __: object, out: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        match by:
            case "zero":
                return torch.zeros_like(out)
            case "mean":
                assert mean is not None
                return mean.to(out).expand_as(out)
            case "other":
                return out.roll(1, dims=0)

    return hook


@contextmanager
def _measured(places: Mapping[Place, nn.Module], means: dict[Place, Tensor]) -> Iterator[None]:
    """Within the `with`, collect the mean output of each branch; it is in `means` afterwards."""
    sums: dict[Place, Tensor] = {}
    counts: dict[Place, int] = {}

    def listener(place: Place) -> Callable[[nn.Module, object, Tensor], None]:
        def hear(_: nn.Module, __: object, out: Float[Tensor, "B T D"]) -> None:
            total = out.double().sum((0, 1))
            sums[place] = sums[place] + total if place in sums else total
            counts[place] = counts.get(place, 0) + out.shape[0] * out.shape[1]

        return hear

    with ExitStack() as hooks:
        for place, module in places.items():
            hooks.callback(module.register_forward_hook(listener(place)).remove)
        yield
    means.update({place: total / counts[place] for place, total in sums.items()})
