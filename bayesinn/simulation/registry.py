"""Simulators by name: registered in the session, installed by packages, or found in a file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from bayesinn.core.errors import InputError, SavedPosteriorError
from bayesinn.simulation.installed import entry_points
from bayesinn.simulation.simulator import Simulator

_registered: dict[str, Simulator] = {}


def register(simulator: Simulator) -> Simulator:
    """Make a simulator known by its name in this session.

    Packages make theirs known for good through the entry-point group ``bayesinn.simulators``.

    Raises
    ------
    InputError
        When another simulator already has the name.
    """
    if not isinstance(simulator, Simulator):
        raise InputError(
            "Registration", expected="a Simulator", got=type(simulator).__name__, do="decorate it with @bi.simulator"
        )
    known = _registered.get(simulator.name)
    if known is not None and known is not simulator and known.reference() != simulator.reference():
        raise InputError(
            f"Registration of simulator {simulator.name!r}",
            expected="a name that is free",
            got=f"the name of a simulator from {known.function.__module__}",
            do="give another one: @bi.simulator(name=...)",
        )
    _registered[simulator.name] = simulator
    return simulator


def available() -> list[str]:
    """Names of all simulators that :func:`get` knows."""
    return sorted({*_registered, *(point.name for point in entry_points())})


def get(name: str) -> Simulator:
    """A simulator by its registered name, or from ``"path/to/file.py:object"``.

    Raises
    ------
    InputError
        For a name that nobody registered, or a file without such an object.
    """
    if name in _registered:
        return _registered[name]
    for point in entry_points():
        if point.name == name:
            return _registered.setdefault(name, point.load())
    path, colon, attribute = name.rpartition(":")
    if colon and path.endswith(".py"):
        return _as_simulator(getattr(_import_file(Path(path)), attribute, None), name)
    raise InputError(
        f"Simulator {name!r}",
        expected=f"one of {available()}, or a path like 'model.py:simulator'",
        got=repr(name),
        do="check the spelling, or register it with bi.register(...)",
    )


def find(reference: dict[str, str]) -> Simulator:
    """The simulator that :meth:`Simulator.reference` pointed to: in memory, registered, importable, or in its file."""
    module = sys.modules.get(reference["module"])
    if module is not None and isinstance(getattr(module, reference["object"], None), Simulator):
        return getattr(module, reference["object"])
    # A simulator of the same name from elsewhere would be another model.
    if reference["name"] in available() and get(reference["name"]).reference()["module"] == reference["module"]:
        return get(reference["name"])
    if reference["module"] != "__main__":
        try:
            found = getattr(importlib.import_module(reference["module"]), reference["object"], None)
        except ImportError:
            found = None
        if isinstance(found, Simulator):
            return found
        # A file by its path; another module may have its name.
        if Path(reference["file"]).is_file():
            return get(f"{reference['file']}:{reference['object']}")
    raise SavedPosteriorError(
        f"Simulator {reference['name']!r} of a saved posterior",
        expected=f"to find it as {reference['module']}:{reference['object']}",
        got="no such simulator here (a script is not run again to find one)",
        do="pass it: bi.load(folder, simulator=...), or bi.register(...) it before",
    )


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise InputError("Simulator file", expected="a Python file", got=str(path), do="check the path")
    name = path.stem
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path.resolve()):
        return loaded
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise InputError("Simulator file", expected="a Python file", got=str(path), do="check the path")
    module = importlib.util.module_from_spec(spec)
    # Known by its name while it lives, so that its functions can be pickled; never in place of another module.
    if loaded is None:
        sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if sys.modules.get(name) is module:
            del sys.modules[name]
        raise
    return module


def _as_simulator(value: Any, name: str) -> Simulator:
    if not isinstance(value, Simulator):
        raise InputError(
            f"Simulator {name!r}",
            expected="an object made with @bi.simulator",
            got=type(value).__name__,
            do="name the decorated function after the colon",
        )
    return value
