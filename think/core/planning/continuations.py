"""Texts that a model has read, as games: any token may follow, and a place is worth something where all is genuine.

A prompt is a piece of a document of the pack. What follows is the text itself (gold), what the model would say (own),
the text with any tokens in it (noisy), or any tokens (random). A node is worth 1 as long as every token before it is
the document's own and 0 after another one: known by construction, whoever made it. The end of a document ends the game.

B games   P tokens of a prompt   K most actions of a game; actions are the tokens of the vocabulary
"""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from think.core import seeding
from think.core.data.puzzles import Integers
from think.core.data.store import Split
from think.core.data.tokenizer import CONTROL, EOS
from think.core.errors import BadData
from think.core.models.thinking import Thinking
from think.core.planning.trajectories import KINDS, NOISY, OWN, RANDOM, MixtureSettings, Trajectories, drawn_from


class Continuations:
    """Continues the texts of a split, with a model whose weights move only what it says itself."""

    def __init__(self, model: Thinking, texts: Split, prompt: int, steps: int):
        """prompt: tokens of each prompt; steps: tokens that follow it.

        Raises BadData when no document is longer than a prompt.
        """
        self._model, self._texts, self._prompt, self._steps = model, texts, prompt, steps
        lengths = texts.ends - texts.starts
        self._long = np.flatnonzero(lengths > prompt)
        if not len(self._long):
            raise BadData(
                f"the longest document of the split has {lengths.max()} tokens",
                expected=f"documents of more than {prompt} tokens, the length of a prompt",
                remedy="lower the prompt",
            )
        self._places = np.cumsum(lengths[self._long] - prompt)

    @property
    def actions(self) -> Int[Tensor, " A"]:
        """The token of each action: the vocabulary."""
        return torch.arange(self._model.settings.vocabulary)

    @torch.no_grad()
    def batch(self, seed: int, rows: int, mixture: MixtureSettings) -> Trajectories:
        """As many games from places of the split, all equally likely; a function of seed and weights."""
        random = np.random.default_rng(seeding.stream(seed, "continuations"))
        kind = random.choice(len(KINDS), rows, p=mixture.weights())
        starts, left = self._windows(random.integers(0, self._places[-1], rows))
        window = np.arange(self._prompt + self._steps)
        # beyond the end of a document its last token stands again
        text = self._texts.gather(starts[:, None] + np.minimum(window, self._prompt + left[:, None] - 1))
        tokens = text.copy()
        self._replace(tokens, kind, mixture.noise, random)
        self._continue(tokens, kind, random)
        return self._told(text, tokens, left, kind)

    def _windows(self, places: Integers) -> tuple[Integers, Integers]:
        """Where the prompts of some places begin, and how many tokens of their documents follow each prompt."""
        document = self._places.searchsorted(places, side="right")
        offset = places - np.concatenate([[0], self._places])[document]
        chosen = self._long[document]
        starts = self._texts.starts[chosen] + offset
        return starts, np.minimum(self._texts.ends[chosen] - starts - self._prompt, self._steps)

    def _replace(self, tokens: Integers, kind: Integers, noise: float, random: np.random.Generator) -> None:
        """Put any tokens into noisy and random continuations."""
        shape = (len(tokens), self._steps)
        anything = random.integers(len(CONTROL), self._model.settings.vocabulary, shape)
        replaced = (kind == RANDOM)[:, None] | (kind == NOISY)[:, None] & (random.random(shape) < noise)
        tokens[:, self._prompt :][replaced] = anything[replaced]

    def _continue(self, tokens: Integers, kind: Integers, random: np.random.Generator) -> None:
        """Let the model continue what is its own."""
        uniform, own = random.random((len(tokens), self._steps)), np.flatnonzero(kind == OWN)
        if not len(own):
            return
        device = self._model.embedding.weight.device
        logits, state = self._model(torch.from_numpy(tokens[own, : self._prompt]).to(device))
        logits = logits[:, -1]
        for step in range(self._steps):
            said = drawn_from(logits.cpu().double().softmax(dim=1).numpy(), uniform[own, step])
            tokens[own, self._prompt + step] = said
            logits, state = self._model.step(torch.from_numpy(said).to(device), state)

    def _told(self, text: Integers, tokens: Integers, left: Integers, kind: Integers) -> Trajectories:
        """The games with what is known of them."""
        actions = tokens[:, self._prompt :]
        after = np.arange(1, self._steps + 1)
        ends = (actions == EOS).argmax(axis=1)
        ended = (actions == EOS).any(axis=1) & ((kind == OWN) | (kind == RANDOM) | (ends < left))
        # a document that ends without the mark of it has no continuation of its own beyond
        most = np.where((kind == OWN) | (kind == RANDOM), self._steps, left)
        steps = np.where(ended, ends + 1, most)
        last = actions[np.arange(len(actions)), steps - 1]
        actions = np.where(after <= steps[:, None], actions, last[:, None])
        same = (actions == text[:, self._prompt :]) & (after <= left[:, None])
        value = np.concatenate([np.ones((len(tokens), 1)), np.cumprod(same, axis=1)], axis=1)
        value[:, 1:][after > steps[:, None]] = np.nan
        tokens = np.concatenate([tokens[:, : self._prompt], actions], axis=1)
        played = torch.from_numpy(actions)
        return Trajectories(
            tokens=torch.from_numpy(tokens),
            prompt=self._prompt,
            actions=played,
            steps=torch.from_numpy(steps),
            ended=torch.from_numpy(ended),
            value=torch.from_numpy(value.astype(np.float32)),
            legal=None,
            kind=torch.from_numpy(kind),
        )
