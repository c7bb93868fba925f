"""The characters of a task as tokens of a model: a turn of the user that holds the prompt, a turn of the assistant in
which every action is one token.

    bos user PROMPT endofturn assistant ACTION ACTION … endofturn eos
"""

import numpy as np

from think.core.data.puzzles import CodePoints, Integers, Task
from think.core.data.tokenizer import ASSISTANT, BOS, ENDOFTURN, UNK, USER, Tokenizer
from think.core.errors import BadData

BEFORE, AFTER = (BOS, USER), (ENDOFTURN, ASSISTANT)


class Encoding:
    """actions [A] the token of each action of a task, in the order of their indices."""

    def __init__(self, task: Task, tokenizer: Tokenizer):
        """Raises BadData when an action is not exactly one token that the model knows."""
        if tokenizer.kind != "character":
            raise BadData(
                f"the tokenizer is of kind {tokenizer.kind}, in which an action need not be one token",
                expected="tokenizer.kind = character",
                remedy="train on a pack with characters, as the presets of the tasks do",
            )
        self._tokenizer = tokenizer
        self.actions: Integers = np.array([tokenizer.encode(action)[0] for action in task.actions], np.int64)
        unknown = [name for name, token in zip(task.names, self.actions, strict=True) if token == UNK]
        if unknown:
            raise BadData(
                f"the model has never seen {len(unknown)} of {len(task.names)} actions, such as {unknown[0]!r}",
                expected="a model that was trained on this task",
                remedy="see what its data hold: `think data inspect`",
            )

    def prompts(self, codes: CodePoints) -> Integers:
        """[B, T] characters -> [B, T + 4] tokens, the last of which opens the answer."""
        text = codes.astype("<u4").tobytes().decode("utf-32-le")
        tokens = self._tokenizer.encode_flat([text])[0].astype(np.int64).reshape(codes.shape)
        rows = (len(codes), 2)
        before, after = np.broadcast_to(BEFORE, rows), np.broadcast_to(AFTER, rows)
        return np.concatenate([before, tokens, after], axis=1)
