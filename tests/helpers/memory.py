"""Memory of many trainings, one after the other in one process."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator

import keras

from bayesinn.core.compilation import released_graphs


@contextlib.contextmanager
def released_memory() -> Iterator[None]:
    """Give back the memory of networks and graphs that are made inside."""
    with released_graphs():
        yield
    keras.backend.clear_session()
    gc.collect()
    if sys.platform == "linux":
        # What is free in pieces of the heap goes back to the system, too.
        ctypes.CDLL("libc.so.6").malloc_trim(0)
