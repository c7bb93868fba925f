"""Hands freed memory back to the system.

Reading a long history needs some ten megabytes for moments. The C library keeps such memory for later, although the
monitor will hardly need it again while it stands beside a training run for days.
"""

import ctypes


def give_back() -> None:
    """Ask the C library to return what is free; where it cannot, nothing happens."""
    try:
        trim = ctypes.CDLL(None).malloc_trim  # of glibc
    except (AttributeError, OSError, TypeError):
        return
    trim(0)
