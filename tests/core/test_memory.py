"""Requests beyond memory are refused; those that fit are not."""

import sys
from pathlib import Path

import pytest

from bayesinn.core import errors
from bayesinn.core.errors import InputError

GIB = 2**30


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the root of a machine with 8 GiB available, 1 GiB of swap and no control group."""
    monkeypatch.setattr(errors, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(errors, "_CONTROL_GROUPS", tmp_path / "groups")
    _write(tmp_path / "proc/meminfo", f"MemAvailable: {8 * 2**20} kB\nSwapFree: {2**20} kB\n")
    return tmp_path


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_free_memory_is_what_the_machine_has_available(machine: Path) -> None:
    assert errors.free_memory() == 9 * GIB


@pytest.mark.parametrize(
    ("line", "group", "names", "prefix"),
    [
        ("0::/job/step", "job", ("memory.max", "memory.current"), ""),
        # As in a container, which sees its own group as the root.
        ("0::/unseen", ".", ("memory.max", "memory.current"), ""),
        (
            "3:cpu,memory:/job",
            "memory/job",
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
            "total_",
        ),
    ],
)
def test_a_control_group_leaves_less_and_gives_pages_of_files_back(
    machine: Path, line: str, group: str, names: tuple[str, str], prefix: str
) -> None:
    _write(machine / "proc/self/cgroup", f"1:cpu:/job\n{line}\n")
    folder = machine / "groups" / group
    _write(folder / names[0], f"{4 * GIB}\n")
    _write(folder / names[1], f"{3 * GIB}\n")
    _write(folder / "memory.stat", f"{prefix}inactive_file {GIB}\n{prefix}active_file 0\n")
    assert errors.free_memory() == 2 * GIB
    _write(folder / names[0], "max\n")
    assert errors.free_memory() == 9 * GIB


def test_elsewhere_all_of_the_machine_counts(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine / "proc/meminfo").unlink()
    pages = {"SC_PHYS_PAGES": 1024, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(errors.os, "sysconf", pages.__getitem__)
    assert errors.free_memory() == 4 * 2**20
    monkeypatch.delattr(errors.os, "sysconf")
    assert errors.free_memory() == sys.maxsize


def test_draws_are_refused_only_beyond_memory(machine: Path) -> None:
    # Twice four bytes for each of three numbers, for two data sets.
    most = 9 * GIB // (2 * 4 * 3 * 2)
    shapes = {"rate": (), "place": (2,)}
    assert errors.check_draws(most, shapes, 2) == most
    with pytest.raises(InputError) as raised:
        errors.check_draws(2**31 - 1, shapes, 2)
    message = str(raised.value)
    assert "'draws'" in message
    assert "2,147,483,647 of 3 numbers for each of 2 data sets, which need 103 GB" in message
    assert "the 10 GB of memory that are free" in message
    assert "in parts" in message
