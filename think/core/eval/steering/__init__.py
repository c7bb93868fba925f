"""Steering: does an injected plan move the text towards itself, more than another plan does that was injected likewise?

items    held-out text: what is read, what comes next, and the plans of each arm
measure  the same windows after each plan: likelihood of what was planned, and how much of it is written
"""
