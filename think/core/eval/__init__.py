"""What trained models can do, in counts and intervals.

scoring   right answers to accuracy, scaled accuracy and their intervals
examine   a model before rows of a task
tasks     a finished run before the task that it was trained on; the result is kept in its folder
summary   several seeds of one recipe
results   what exams, sweeps and steering found, kept in the run that was asked
"""
