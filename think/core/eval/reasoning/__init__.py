"""Held-out puzzles before a trained model: how often each way of answering solves them, and what it costs.

    player.py    a model and the rules of a task, step by step, with every token of the model counted
    planner.py   a trained critic, the world that it judges, and how that is searched
    arms/        one file a way of answering
    costs.py     what was computed, in floating-point operations
    lookahead.py one search from one prompt, its tree and its line
    measure.py   arms on the same puzzles: counts, intervals, paired differences, operations and time
    kept.py      trees that searches leave to the next choice
    seeds.py     what the same exam of several trainings has in common

An arm sees the prompts and which actions are legal. Whether an answer is right is asked once, of the rules, after the
arm has chosen it: there are no calls of a verifier inside.
"""
