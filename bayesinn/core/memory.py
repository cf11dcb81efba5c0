"""Requests that would take more memory than is free are refused before anything is allocated."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bayesinn.core.errors import BayesinnError, InputError
from bayesinn.core.validation import check_integer

# Bytes of any request that is granted without a look at the machine, which reads several files.
_SMALL = 64 * 2**20
# Bytes at the peak for each byte of a result: its blocks, and the array that they are joined to.
_JOINED = 2
_NUMBER_BYTES = 4
_PROC = Path("/proc")
_CONTROL_GROUPS = Path("/sys/fs/cgroup")


def check_memory(
    subject: str,
    size: int,
    *,
    got: str,
    do: str,
    error: type[BayesinnError] = InputError,
) -> None:
    """Raise if a request needs more memory than is free.

    Parameters
    ----------
    subject : str, what the user named
    size : int, bytes that it needs at its peak
    got : str, what was asked for, in the plural: "1,000 draws"
    do : str, what to do instead
    error : class of the error

    Examples
    --------
    >>> check_memory("Argument 'draws'", 8_000, got="1,000 draws", do="ask for fewer")
    """
    if size <= _SMALL or size <= (free := free_memory()):
        return
    raise error(
        subject,
        expected=f"a request that fits into the {_size_text(free)} of memory that are free",
        got=f"{got}, which need {_size_text(size)}",
        do=do,
    )


def check_draws(
    value: Any,
    shapes: Mapping[str, tuple[int, ...]],
    rows: int = 1,
    *,
    least: int = 1,
    subject: str = "Argument 'draws'",
) -> int:
    """Return the number of draws that a method is asked for.

    Variables of some shapes, for each of ``rows`` data sets, must fit into memory.
    """
    count = check_integer(subject, value, least, do=f"pass for example {max(least, 1_000)}")
    numbers = sum(math.prod(map(int, shape)) for shape in shapes.values())
    got = f"{count:,} of {numbers:,} numbers" if numbers > 1 else f"{count:,} numbers"
    check_memory(
        subject,
        _JOINED * count * rows * numbers * _NUMBER_BYTES,
        got=f"{got} for each of {rows:,} data sets" if rows > 1 else got,
        do="ask for fewer, or in parts with different seeds",
    )
    return count


def free_memory() -> int:
    """Return the bytes that this process may still take, as far as the system tells.

    On Linux, what is available without and with swapping, or less if a control group (a container,
    a batch job) has less left. Elsewhere, all of the machine's memory.
    """
    try:
        known = _meminfo()
        machine = known["MemAvailable"] + known.get("SwapFree", 0)
    except (OSError, ValueError, KeyError):
        try:
            machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            machine = sys.maxsize
    return min([machine, *_left_of_groups()])


def _meminfo() -> dict[str, int]:
    lines = (line.split() for line in (_PROC / "meminfo").read_text().splitlines())
    return {name.rstrip(":"): int(number) * 1024 for name, number, *unit in lines if unit}


def _left_of_groups() -> Iterator[int]:
    """Yield what each control group of this process has left, in bytes; both versions of Linux."""
    try:
        lines = (_PROC / "self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root = _CONTROL_GROUPS
            names = ("memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            root = _CONTROL_GROUPS / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        else:
            continue
        folder = root / path.lstrip("/")
        for group in (folder, *folder.parents):
            left = _left_of_group(group, *names)
            if left is not None:
                yield left
            if group == root:
                break


def _left_of_group(group: Path, limit: str, usage: str, prefix: str) -> int | None:
    """Return the bytes that a control group has left; None without a limit."""
    try:
        most = int((group / limit).read_text())
        used = int((group / usage).read_text())
        lines = (group / "memory.stat").read_text().splitlines()
        counts = dict(line.split(maxsplit=1) for line in lines)
    except (OSError, ValueError):
        # Also "max", the text for no limit; a container may not see the groups around it.
        return None
    # Pages of files are counted as used, and are given back when memory is short.
    files = sum(int(counts.get(f"{prefix}{kind}_file", 0)) for kind in ("inactive", "active"))
    return max(most - used + files, 0)


def _size_text(size: int) -> str:
    """Write a number of bytes.

    >>> _size_text(48_000_000_000), _size_text(120_000_000)
    ('48 GB', '0.12 GB')
    """
    return f"{size / 1e9:,.2g} GB" if size < 10**9 else f"{size / 1e9:,.0f} GB"
