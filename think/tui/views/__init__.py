"""From what was read to what is shown: one file for each part of a view, each a few pure functions.

A new system that writes records of its own gets curves, newest figures by layer and lines in the log for nothing: they
stand in RunView under the kind of the record. What needs more adds a file to the folder `extra`.
"""
