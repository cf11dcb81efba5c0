"""Memory that an action needs, on Linux: the peak above what is in use before it."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path

#: Option of mallopt(3): bytes of blocks that the system has back as soon as they are free.
#: Otherwise, free memory between others would count.
_MMAP_THRESHOLD = -3
_SMALL = 65_536
#: To which the C library raises it by itself, which saves time.
_LARGE = 33_554_432


def rise(act: Callable[[], object]) -> float:
    """Return by how many MB the peak of an action is above what is in use before it.

    Act on little before: what larger actions leave free in the C library's heap would be used.
    """
    libc = ctypes.CDLL("libc.so.6")
    libc.mallopt(_MMAP_THRESHOLD, _SMALL)
    libc.malloc_trim(0)
    # Starts the peak anew; see proc(5).
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmRSS")
    act()
    rise = _resident("VmHWM") - before
    libc.mallopt(_MMAP_THRESHOLD, _LARGE)
    return rise


def _resident(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1.024e-3
