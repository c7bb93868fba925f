"""Tree search over a GRU world model as one native call; `think.core.planning.native` is what calls it.

B positions   N places for nodes   A actions   S the next multiple of 16 from A   H width of a state
"""

from think.kernels.search.native import Problem, Rule, Trees, Weights, lacking, run, stride

__all__ = ["Problem", "Rule", "Trees", "Weights", "lacking", "run", "stride"]
