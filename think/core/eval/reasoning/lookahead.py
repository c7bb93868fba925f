"""One search from one prompt, as people look at it: the tree, the line that it decides for, and what the rules say.

The prompt is that of a puzzle whose rules are at hand, or any text: then the model's policy is all there is. The rules
judge the line after the search is over, and the search does not see what they say.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from think.core.data.puzzles import Environment, Puzzle, Task
from think.core.data.puzzles.encoding import Encoding
from think.core.data.puzzles.play import Judgement, judge
from think.core.data.tokenizer import UNK
from think.core.errors import BadData
from think.core.eval.reasoning.planner import Planner
from think.core.generation import full_context
from think.core.planning.outline import Branch, outline
from think.core.planning.rules import SearchSettings
from think.core.planning.search import Result, search
from think.core.planning.tree import NONE


@dataclass(frozen=True)
class Planned:
    """What a search found.

    search  its settings, with the depth that a model's context leaves
    line    the actions that it decided for, as far as they were visited
    answer  the same with those that the rules force in between
    """

    found: Result
    search: SearchSettings
    line: tuple[int, ...]
    answer: tuple[int, ...]

    def tree(self, *, most: int, depth: int) -> Branch:
        """At most `most` children of a node, `depth` levels below the root."""
        return outline(self.found, most=most, depth=depth)

    def judged(self, puzzle: Puzzle, task: Task) -> Judgement:
        """The answer by the rules of the puzzle."""
        return judge(puzzle, "".join(task.actions[action] for action in self.answer), task.actions)


def plan(planner: Planner, encoding: Encoding, prompt: str, rules: Environment | None) -> Planned:
    """Search from the end of a prompt, read as that of a puzzle. The search is one without noise.

    rules: of the puzzle whose prompt it is, one row; they say what is legal at the root, and below it where the planner
    has them asked. None: a world in which a turn ends where the model would end it.
    Raises BadData for a prompt longer than the model's context, and without rules for a character unknown to it.
    """
    tokens = _read(encoding, prompt, strict=rules is None)
    planner = _within(planner, tokens.shape[1])
    legal = None if rules is None else torch.from_numpy(rules.legal())
    nodes = planner.world.root(tokens) if rules is None else planner.root(tokens, rules)
    found = search(nodes, planner.foreseen(), planner.search, legal=legal)
    line = _line(found)
    passed = planner.forced and planner.legality and rules is not None
    return Planned(found, planner.search, line, _with_forced(line, rules) if passed and rules is not None else line)


def _line(found: Result) -> tuple[int, ...]:
    """The chosen action, and after it the most visited ones."""
    action = int(found.action[0])
    child = int(found.tree.child[0, 0, action])
    return (action, *(found.tree.line(0, child) if child != NONE else ()))


def _with_forced(line: tuple[int, ...], rules: Environment) -> tuple[int, ...]:
    """The actions of a line, and after each those that the rules force; the rules are copied."""
    rules, answer = rules.rows(np.zeros(1, np.int64)), list[int]()
    for action in line:
        answer.append(action)
        rules.step(np.array([action]))
        while (legal := rules.legal()[0]).sum() == 1:
            answer.append(int(legal.argmax()))
            rules.step(np.array([answer[-1]]))
    return tuple(answer)


def _read(encoding: Encoding, prompt: str, *, strict: bool) -> Int[Tensor, "1 P"]:
    """The tokens of a prompt, roles and all. strict: a character that the model does not know is an error."""
    codes = np.frombuffer(prompt.encode("utf-32-le"), "<u4").reshape(1, -1)
    tokens = encoding.prompts(codes)
    strange = sorted({letter for letter, token in zip(prompt, tokens[0, 2:-2], strict=True) if token == UNK})
    if strict and strange:
        raise BadData(
            f"the model does not know {len(strange)} of the characters of the prompt, such as {strange[0]!a}",
            where="PROMPT",
            expected="the prompt of a puzzle of the task that the model was trained on",
            remedy="`think data reasoning --kind TASK --count 1 --output FILE` writes one",
        )
    return torch.from_numpy(tokens)


def _within(planner: Planner, length: int) -> Planner:
    """The planner, looking no further ahead than the model's full attention reaches. Raises BadData at its end."""
    context = full_context(planner.world.model)
    if context is None:
        return planner
    if length >= context:
        raise BadData(
            f"a prompt of {length} tokens for a model that sees {context}",
            where="PROMPT",
            expected=f"at most {context - 1} tokens, those of its roles included, so that an action follows",
        )
    ahead = min(context - length, planner.search.depth or context)
    return replace(planner, search=planner.search.model_copy(update={"depth": ahead}))
