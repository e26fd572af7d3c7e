"""Memory that a process keeps after it has freed it."""

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt (malloc.h)."""

LARGEST_MMAP_THRESHOLD = 32 * 2**20
"""Bytes; mallopt refuses more."""

VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""Environment variables by which the user chooses how memory is allocated."""


def keep_freed_memory() -> bool:
    """Make this process keep the memory that it frees; return whether that was possible.

    A training step allocates the same tensors again and again. By default glibc returns them to the
    system, which hands out zeroed pages the next time: about a tenth of a step with large feature
    maps (docs/roofline.md). Other systems and allocators are left as they are, and so is one that
    the user has chosen.
    """
    libc = _glibc()
    if libc is None or any(name in os.environ for name in VARIABLES):
        return False
    return bool(
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        and libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    )


def release_freed_memory() -> None:
    """Return the memory that the process has freed to the system, where that is possible."""
    if libc := _glibc():
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """Return the C library of this process if it is glibc."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
