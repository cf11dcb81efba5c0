"""Simulators of installed packages: one faulty package doesn't hide the others."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from bayesinn.core.errors import InputError
from bayesinn.simulation import installed, registry

GROUP = installed.ENTRY_POINT_GROUP


def install(monkeypatch: pytest.MonkeyPatch, *places: tuple[str, str]) -> None:
    """Pretend that packages have entry points, by name and place."""
    points = EntryPoints([EntryPoint(name, value, GROUP) for name, value in places])
    for module in (installed, registry):
        monkeypatch.setattr(module, "entry_points", lambda: points)


def test_a_package_that_is_gone_is_listed_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("sir", "simulators.sir:sir"), ("lost", "gone_package.models:lost"))
    found = installed.descriptions()
    assert found["lost"] == "(not importable)"
    assert "SIR" in found["sir"]


def test_two_packages_with_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("twice", "one.models:twice"), ("twice", "two.models:twice"))
    with pytest.raises(InputError, match=r"(?s)one\.models:twice, two\.models:twice.*uninstall"):
        registry.get_simulator("twice")
