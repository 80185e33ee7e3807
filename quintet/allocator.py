"""Keep freed memory while training, hand it back after: tensors come and go by the megabyte.

The C library's allocator maps every large block anew and hands it back when it is freed, and the
kernel zeroes each page of it again on the next use. While :func:`reusing_memory` is in force, large
blocks come from a heap that is kept. It changes no result, and does nothing where the allocator is
not glibc's or the user has set its parameters (``MALLOC_*_``, ``GLIBC_TUNABLES``).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: parameters of mallopt(3) by their numbers in malloc.h
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
KEPT = {MMAP_THRESHOLD: 1 << 30, TRIM_THRESHOLD: (1 << 31) - 1, TOP_PAD: 64 << 20}
#: where glibc's own rule ends after blocks of 32 MB and more were freed (mallopt(3), "dynamic")
AFTERWARDS = {MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 64 << 20, TOP_PAD: 128 << 10}
#: oneDNN keeps what it compiled for so many shapes of products; no two batches have the same, and
#: its own limit, 1024, came to 230 MB that saved no time (its documentation, "Primitive Cache")
PRIMITIVES, PRIMITIVES_KEPT = "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64"
SET_BY_USER = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_")


@contextmanager
def reusing_memory() -> Iterator[bool]:
    """Keep what is freed for the next use; at the end hand it back. Yields whether it is in force.

    It holds for the whole process, so other threads keep their memory too until the end.
    """
    _keep_few_primitives()
    library = _glibc()
    in_force = library is not None and _set(library, KEPT)
    try:
        yield in_force
    finally:
        if library is not None and in_force:
            _set(library, AFTERWARDS)
            hand_back()


def hand_back() -> None:
    """Give freed memory back to the system: a heap that is kept falls to pieces and grows."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(ctypes.c_size_t(0))


def handing_back(on_stage: Callable[[str], None] | None) -> Callable[[str], None]:
    """Between two stages what the former freed is handed back; then the next is announced."""
    _keep_few_primitives()

    def begun(stage: str) -> None:
        hand_back()
        if on_stage is not None:
            on_stage(stage)

    return begun


def _keep_few_primitives() -> None:
    os.environ.setdefault(PRIMITIVES, PRIMITIVES_KEPT)  # it is read once, at the first product


def _glibc() -> ctypes.CDLL | None:
    if any(os.environ.get(name) for name in SET_BY_USER):
        return None
    if "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return None
    try:
        if not (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc"):
            return None
        library = ctypes.CDLL(None)
        library.mallopt.argtypes = (ctypes.c_int, ctypes.c_int)
        library.malloc_trim.argtypes = (ctypes.c_size_t,)
    except (AttributeError, ValueError, OSError):
        return None
    return library


def _set(library: ctypes.CDLL, parameters: dict[int, int]) -> bool:
    return all(library.mallopt(name, value) == 1 for name, value in parameters.items())
