"""Kernels in C for processors: built at install, optional, reached through ctypes. README.md says how to add one."""
