"""Judge an answer by the rules of its puzzle, one action after the other."""

from dataclasses import dataclass

from think.core.data.puzzles import Puzzle


@dataclass(frozen=True)
class Judgement:
    """solved: the answer is a legal and complete solution.   reason: why, or why not.   taken: legal actions taken."""

    solved: bool
    reason: str
    taken: int


def judge(puzzle: Puzzle, answer: str, actions: str) -> Judgement:
    """Play an answer, a character an action. `actions` are those of the task. Nothing but the rules is consulted."""
    position = puzzle.start()
    for number, character in enumerate(answer):
        action = actions.find(character)
        legal = position.legal()
        if not legal:
            return Judgement(False, f"{len(answer) - number} characters stand after the end", number)
        if action < 0:
            return Judgement(False, f"character {number + 1}, {character!r}, is no action of this task", number)
        if action not in legal:
            return Judgement(False, f"action {number + 1}, {character!r}, breaks the rules", number)
        position = position.play(action)
    if not position.ended:
        return Judgement(False, f"the answer stops after {len(answer)} actions, before the end", len(answer))
    return Judgement(position.solved, "solves the puzzle" if position.solved else "ends elsewhere", len(answer))
