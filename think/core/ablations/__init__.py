"""Studies: the same training with one thing changed, several times over, and what may be said of the difference.

study      what a study file says
cells      one training of one variant with one seed; what pairs share, and proof that they share it
budget     minutes turned into tokens, once
ledger     what was begun, finished or failed: JSON lines, append only
child      one training as a process of its own
run        the cells of a study, one after another, resumable
measures   figures taken from a finished cell; a family, one file each
launchers  Slurm and Ray, where they are installed; a family, one file each
report     differences with intervals, verdicts; markdown and plots say and draw them
"""
