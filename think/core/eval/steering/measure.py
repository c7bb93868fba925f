"""What an injected plan does to the text that follows.

The planned tokens are read, each scored before it is read; so is what truly follows on them, as if the plan had been
said; and the text is written on by the likeliest tokens. All of it after a plan was injected and without any: the
difference, window by window, is what the injection did. The plans of all arms are injected by the same gates, and all
are scored on the same tokens: those of the plan itself, and those after it.

What an injection cannot reach is not scored: the token after it was foretold before.

N windows   K planned tokens   S scored ones
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from think.core.data.tokenizer import PAD, UNK
from think.core.errors import UsageError
from think.core.eval.steering.items import ARMS, PLANNED, Windows
from think.core.models.state import State
from think.core.models.thinking import Thinking
from think.core.planning.injection import InjectionSettings, gates, inject
from think.core.planning.transport import carry, change, changed, crosses_norm
from think.core.statistics import Interval, bootstrap_interval, paired_bootstrap

ROWS = 64
"Windows at once: enough to fill a core, few enough for the logits of all their tokens."

LIKELIHOOD, FREQUENCY, BEYOND = "likelihood", "frequency", "beyond"
"""likelihood  of the planned tokens, nats a token, when they are what is read
frequency   share of the tokens written that are among the planned ones
beyond      likelihood of what truly follows on the plan, nats a token, read in its place; not of a plan in words"""


@dataclass(frozen=True)
class Steered:
    """One setting of the gates: by figure and arm, what each window gained over no injection at all."""

    rate: float
    lag: int
    alpha: float
    gains: dict[str, dict[str, Float[Tensor, " N"]]]

    def gain(self, figure: str, arm: str) -> Interval:
        """The mean gain."""
        return bootstrap_interval(self.gains[figure][arm].numpy())

    def lead(self, figure: str, arm: str) -> Interval:
        """How much more the plan itself gained, paired by window."""
        return paired_bootstrap(self.gains[figure][PLANNED].numpy(), self.gains[figure][arm].numpy())

    def as_json(self) -> dict[str, Any]:
        """All intervals."""
        figures = {
            figure: {
                arm: {"gain": self.gain(figure, arm).as_json()}
                | ({} if arm == PLANNED else {"lead": self.lead(figure, arm).as_json()})
                for arm in arms
            }
            for figure, arms in self.gains.items()
        }
        return {"rate": self.rate, "lag": self.lag, "alpha": self.alpha, **figures}


def steer(
    model: Thinking,
    windows: Windows,
    settings: InjectionSettings,
    lag: int,
    advance: Callable[[int], None] = lambda done: None,
) -> Steered:
    """Inject each arm's plan after the prompts, as one that comes `lag` tokens late with all layers sure.

    Raises UsageError when the lag leaves nothing to score, or a StateNorm lies between the prompt and where the plan
    comes.
    """
    prompt, planned = windows.prompts.shape[1], windows.plans[PLANNED].shape[1]
    if lag > planned - 2:
        raise UsageError(
            f"a plan of {planned} tokens that comes {lag} tokens late has none left to score",
            expected=f"a lag of at most {planned - 2}",
            remedy="make the plan longer (--plan-tokens)",
        )
    if crosses_norm(model, prompt, prompt + lag):
        raise UsageError(
            f"StateNorm acts between tokens {prompt} and {prompt + lag}: no change is carried over it",
            expected=f"a prompt that ends well before a multiple of {model.norm_period} tokens",
            remedy="choose another --prompt-tokens",
        )
    alpha = gates(settings, (1.0,), lag)[0]
    parts: list[dict[str, dict[str, Tensor]]] = []
    with torch.no_grad():
        for start in range(0, len(windows.prompts), ROWS):
            part = windows.rows(slice(start, start + ROWS))
            parts.append(_gains(model, part, alpha, lag))
            advance(len(part.prompts))
    gains = {figure: {arm: torch.cat([part[figure][arm] for part in parts]) for arm in ARMS} for figure in parts[0]}
    return Steered(settings.rate, lag, alpha, gains)


def _gains(model: Thinking, windows: Windows, alpha: float, lag: int) -> dict[str, dict[str, Tensor]]:
    """Of each arm over no injection."""
    device = next(model.parameters()).device
    plan = windows.plans[PLANNED].to(device)
    captured = model.hidden(windows.prompts.to(device))[1]
    now = model.hidden(plan[:, :lag], captured)[1] if lag else captured
    before = _figures(model, now, plan, windows.beyond, lag)
    gains: dict[str, dict[str, Tensor]] = {figure: {} for figure in before}
    for arm in ARMS:
        target = model.hidden(windows.plans[arm].to(device), captured)[1]
        if lag:
            target = changed(now, carry(model, captured, plan[:, :lag], change(target, captured))[0])
        after = _figures(model, inject(now, target, (alpha,) * len(now.layers)), plan, windows.beyond, lag)
        for figure in before:
            gains[figure][arm] = (after[figure] - before[figure]).cpu()
    return gains


def _figures(
    model: Thinking, state: State, plan: Int[Tensor, "N K"], beyond: Int[Tensor, "N K"] | None, lag: int
) -> dict[str, Float[Tensor, " N"]]:
    rest = plan[:, lag:]
    written = _written(model, state, rest[:, 0], rest.shape[1] - 1)
    among = (written.unsqueeze(2) == plan.unsqueeze(1)).any(2)
    figures = {LIKELIHOOD: _likelihood(model, state, rest), FREQUENCY: among.double().mean(1)}
    return figures if beyond is None else figures | {BEYOND: _likelihood(model, state, beyond.to(rest.device))}


def _likelihood(model: Thinking, state: State, tokens: Int[Tensor, "N T"]) -> Float[Tensor, " N"]:
    """Of all but the first, nats a token."""
    hidden, _ = model.hidden(tokens[:, :-1], state)
    scores = model.logits(hidden).double().log_softmax(-1)
    return scores.gather(2, tokens[:, 1:].unsqueeze(2)).squeeze(2).mean(1)


def _written(model: Thinking, state: State, token: Int[Tensor, " N"], count: int) -> Int[Tensor, "N S"]:
    """The likeliest tokens, one after another, after a first one that is given."""
    written = []
    for _ in range(count):
        logits, state = model.step(token, state)
        logits[:, [PAD, UNK]] = -torch.inf
        token = logits.argmax(1)
        written.append(token)
    return torch.stack(written, 1)
