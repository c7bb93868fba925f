"""Tests run on one thread, so that they neither fight each other for cores nor depend on how many there are."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
