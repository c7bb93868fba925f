"""Deliberation: a tree search over what a world model foresees.

    world       what a search needs to know of the world: a step, and an evaluation
    reference   the search on one position, over a dictionary: the specification
    schedule    which root actions sequential halving looks at, and when
    values      what is known of each action of a node, and what its policy becomes
    selection   the rules: Gumbel with sequential halving, and PUCT
    tree        a batch of trees as tensors
    shelf       where the states of nodes are kept
    search      the search on many positions at once
    critic      what a position is worth: a head a layer, calibrated
    exact       a world whose step is the backbone's own
    legality    the rules of puzzles as far as their legal actions go
    controls    worlds that a search should gain nothing from
    gru         a world model that native code can search
    native      that search, as one call
    injection   gates by which the matrices of a state move towards those of a copy that has read a plan
    transport   what a change of the matrices has become some tokens later
    confidence  how sure a layer may be of a plan
    planner     what deliberation asks of whoever plans, and a planner that searches in a GRU world
    plans       what becomes of every plan
    answer      from a copy of the state to a plan that can be injected
    deliberate  plans made beside a text that is being written
    outline     a tree as people look at it, and its picture

What a world model learns from:

    trajectories   games of puzzles: solutions, the model's own, noisy and random ones, and what each place is worth
    continuations  the same of texts
    games          which of the two the data of a run allow
    dynamics       a world model over the residual streams of a backbone
    unroll         its losses, unrolled along games
    foresight      what it foresees on held-out games, beside standing still and beside other games' actions

`docs/planning.md` tells the equations and where they come from.
"""
