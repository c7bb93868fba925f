"""Kernels in Triton, for CUDA devices; modules that hold kernels import Triton and are imported when one is called."""
