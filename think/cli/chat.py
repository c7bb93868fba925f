"""`think chat`: talk with a trained model; what was said stays in its state.

A dialogue is one document of the form that packed chat data have: bos, then role, text and end of turn for each turn.
A model that was trained without such data does not know the control tokens, and answers with noise.
"""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from think.cli.console import console
from think.cli.generate import (
    DrawSeed,
    Model,
    Temperature,
    Tokens,
    TopP,
    assemble,
    chosen_seed,
    limits_of,
    say_what_slows,
)
from think.cli.options import Run
from think.core.errors import BadData

if TYPE_CHECKING:
    import torch

    from think.core.assembled import Assembled
    from think.core.generation import Limits

PROMPT = "you> "


def chat(
    run: Run = None,
    model: Model = None,
    system: Annotated[str | None, typer.Option("--system", metavar="TEXT", help="Said before the first turn.")] = None,
    tokens: Tokens = None,
    temperature: Temperature = None,
    top_p: TopP = None,
    seed: DrawSeed = None,
) -> None:
    """Talk with a trained model; Ctrl-C ends its turn, Ctrl-D leaves

    The model must have been trained on conversations; without them `think generate` shows what it can do.
    """
    limits = limits_of(tokens, temperature, top_p)
    thinker = assemble(run, model)
    say_what_slows(thinker)
    talk = Talk(thinker, system, limits, thinker.generator(chosen_seed(seed, limits)))
    while (said := next_line()) is not None:
        if said.strip():
            talk.answer(said)


class Talk:
    """A dialogue that goes on until its reader leaves; begun anew when full attention has no room left."""

    def __init__(self, thinker: "Assembled", system: str | None, limits: "Limits", generator: "torch.Generator"):
        from think.core.data.tokenizer import BOS
        from think.core.generation import turn

        self.thinker, self.limits, self.generator = thinker, limits, generator
        self.opening = [BOS, *(turn(thinker.tokenizer, "system", system) if system else [])]
        self._begin()

    def answer(self, said: str) -> None:
        """Take in what was said and stream the reply; Ctrl-C cuts the reply short, and the talk goes on."""
        from think.core.data.tokenizer import ASSISTANT, ENDOFTURN
        from think.core.generation import pieces, turn

        tokens = [*turn(self.thinker.tokenizer, "user", said), ASSISTANT]
        if not self._fits(tokens):
            console.note("the talk is longer than the model's attention sees; it begins anew")
            self._begin()
        if not self._fits(tokens):
            console.warn(f"this is longer than the {self.opened.room} tokens that the model can take in")
            return
        try:
            self.opened.read(tokens)
            for piece in pieces(self.thinker.tokenizer, self.opened.write(self.limits, self.generator)):
                console.stream(piece)
        except KeyboardInterrupt:
            console.note(" (stopped)")
        console.stream("\n")
        if self.opened.room != 0:
            self.opened.read([ENDOFTURN])

    def _begin(self) -> None:
        self.opened = self.thinker.open()
        self.opened.read(self.opening)

    def _fits(self, tokens: list[int]) -> bool:
        """Whether there is room for these, at least one token of reply, and the end of the turn."""
        return self.opened.room is None or len(tokens) + 2 <= self.opened.room


def next_line() -> str | None:
    """The next line that the user says; None at the end of the input. Ctrl-C drops the line that was begun."""
    while True:
        try:
            if sys.stdin.isatty():
                return console.ask(PROMPT)
            line = sys.stdin.readline()
            return line.rstrip("\r\n") if line else None
        except KeyboardInterrupt:
            console.note(" (Ctrl-D leaves)")
        except UnicodeDecodeError as error:
            raise BadData(f"this line is not UTF-8: {error}", where="stdin", expected="UTF-8 text") from None
        except EOFError:
            console.note("")
            return None
