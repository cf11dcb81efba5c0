"""Compiled programs are kept on disk, within bounds, and a damaged one harms nobody."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from bayesinn.core import private_api, startup

FIT = """
from tests.helpers.fitting import fit
posterior = fit(xla=True)
print([weight.numpy().sum() for weight in posterior.model.network.trainable_variables])
"""
FLAG = "--tf_xla_persistent_cache_directory="


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Return what XLA is told where TensorFlow is not imported yet, given the settings."""

    def told(cache: str, before: str = "") -> str:
        monkeypatch.setattr(private_api, "sys", SimpleNamespace(modules={}))
        monkeypatch.setenv("BAYESINN_CACHE", cache)
        monkeypatch.setenv("TF_XLA_FLAGS", before)
        startup.keep_programs()
        return os.environ["TF_XLA_FLAGS"]

    return told


def test_simulator_and_step_are_compiled_once_and_a_damaged_program_is_replaced(
    fresh_python, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAYESINN_CACHE", str(tmp_path / "programs"))
    monkeypatch.delenv("TF_XLA_FLAGS", raising=False)
    first = fresh_python(FIT)
    kept = sorted((tmp_path / "programs").glob("*/*.pb"))
    # Simulator, gradient, update.
    assert len(kept) == 3
    for path in kept:
        os.truncate(path, 1_000)
    second = fresh_python(FIT)
    assert second.stdout == first.stdout
    assert min(path.stat().st_size for path in kept[0].parent.iterdir()) > 1_000


@pytest.mark.parametrize(
    ("before", "kept"), [("", True), ("tensorflow.ones(3)", False)], ids=["imported", "used"]
)
def test_programs_are_kept_if_tensorflow_was_imported_but_not_used(
    fresh_python, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, kept: bool
) -> None:
    monkeypatch.setenv("BAYESINN_CACHE", str(tmp_path / "programs"))
    monkeypatch.delenv("TF_XLA_FLAGS", raising=False)
    lines = [
        "import tensorflow",
        before,
        "import bayesinn",
        "double = tensorflow.function(lambda x: 2 * x, jit_compile=True)",
        "double(tensorflow.ones(3))",
    ]
    fresh_python("\n".join(lines))
    assert any(tmp_path.glob("programs/*/*.pb")) == kept


def test_a_folder_is_named_to_xla(flags, tmp_path: Path) -> None:
    told = flags(str(tmp_path))
    assert told.startswith(f"{FLAG}{tmp_path}")
    # A second process, which inherits it, keeps it.
    assert flags(str(tmp_path), before=told) == told


def test_a_process_that_keeps_nothing_drops_what_it_inherits(flags, tmp_path: Path) -> None:
    inherited = flags(str(tmp_path), before="--other=1")
    assert flags("off", before=inherited) == "--other=1"


@pytest.mark.parametrize("cache", ["off", "OFF", "{}/file/programs", "{}/my programs"])
def test_nothing_is_kept_where_nothing_can_be(flags, tmp_path: Path, cache: str) -> None:
    (tmp_path / "file").write_text("a file, no folder")
    assert flags(cache.format(tmp_path)) == ""


def test_flags_of_the_user_come_first(flags, tmp_path: Path) -> None:
    own = f"{FLAG}/elsewhere"
    assert flags(str(tmp_path), before=own) == own
    assert flags(str(tmp_path), before="--other=1").startswith("--other=1 ")


def test_nothing_is_kept_on_a_full_disk(
    flags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "_LEAST_FREE", 10**18)
    assert flags(str(tmp_path)) == ""


def write_programs(folder: Path, ages: list[int]) -> list[str]:
    """Write files as XLA names them, beside files of somebody else; return all their names."""
    folder.mkdir(parents=True)
    others = ["note.txt", "saved_model.pb"]
    names = [*others, *(f"xla_compile_cache_{age}.pb" for age in ages)]
    for name, age in zip(names, [9, 9, *ages], strict=True):
        (folder / name).write_bytes(bytes(100))
        os.utime(folder / name, (1_000_000 - age, 1_000_000 - age))
    return names


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_oldest_programs_go_first(flags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "_MOST_BYTES", 250)
    names = write_programs(tmp_path / "0123456789abcdef", [1, 2, 3, 4])
    # The user may name a folder that has other things in it.
    other = write_programs(tmp_path / "my_model", [5])
    flags(str(tmp_path))
    assert names_in(tmp_path / "0123456789abcdef") == sorted(names[:4])
    assert names_in(tmp_path / "my_model") == sorted(other)


def test_damaged_programs_are_removed_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = write_programs(tmp_path / "mine", [1, 2])
    monkeypatch.setenv("TF_XLA_FLAGS", f"{FLAG}{tmp_path / 'mine'}")
    assert startup.clear_programs()
    assert names_in(tmp_path / "mine") == sorted(names[:2])
    assert not startup.clear_programs()


@pytest.mark.parametrize("error", [PermissionError("home"), RuntimeError("no home")])
def test_a_home_that_may_not_be_read_stops_nothing(
    flags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse() -> Path:
        raise error

    monkeypatch.setattr(startup, "_folder", refuse)
    assert flags(str(tmp_path), before="--other=1") == "--other=1"
