"""Simulators by name: registered in the session, installed by packages, or found in a file."""

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayesinn.core.errors import InputError, SavedPosteriorError
from bayesinn.core.validation import check_type
from bayesinn.simulation.installed import ENTRY_POINT_GROUP, entry_points
from bayesinn.simulation.simulator import Simulator, declared_simulators

_registered: dict[str, Simulator] = {}


def register(simulator: Simulator) -> Simulator:
    """Make a simulator known by its name in this session; InputError if another one has the name.

    Packages make theirs known for good through the entry-point group ``bayesinn.simulators``.
    """
    check_type("Registration", simulator, Simulator, "a Simulator", "decorate the function with @bi.simulator")
    known = _registered.get(simulator.name)
    if known is not None and known is not simulator and known.reference() != simulator.reference():
        subject, got = f"Registration of simulator {simulator.name!r}", known.function.__module__
        do = "give another one: @bi.simulator(name=...)"
        raise InputError(subject, expected="a name that is free", got=f"the name of a simulator from {got}", do=do)
    _registered[simulator.name] = simulator
    return simulator


def available() -> list[str]:
    """Return the names of all simulators that :func:`get` knows."""
    return sorted({*_registered, *entry_points().names})


def get(name: str) -> Simulator:
    """Return a simulator by its registered name, or from ``"path/to/file.py:object"``; the file is run.

    InputError says which names are known, or what was found in the file.
    """
    example = "pass for example 'sir'"
    check_type("Name of a simulator", name, str, "a registered name, or a path like 'model.py:simulator'", example)
    if name in _registered:
        return _registered[name]
    for point in entry_points().select(name=name):
        return _registered.setdefault(name, point.load())
    path, colon, attribute = name.rpartition(":")
    if colon and path.endswith(".py"):
        found: Any = getattr(_import_file(Path(path)), attribute, None)
        do = "name the decorated function after the colon"
        check_type(f"Simulator {name!r}", found, Simulator, "an object made with @bi.simulator", do)
        return found
    expected = f"one of {available()}, or a path like 'model.py:simulator'"
    do = "check the spelling, or register it with bi.register(...)"
    raise InputError(f"Simulator {name!r}", expected=expected, got=repr(name), do=do)


def find(reference: Mapping[str, str], trust_source: bool = False) -> Simulator:
    """Return the simulator that :meth:`Simulator.reference` pointed to.

    It is looked for where it was declared, in this program or an installed package, then by its name in this program.
    When ``trust_source``, its module is imported or its file is run to find it. Failure is a SavedPosteriorError.
    """
    name, module, attribute, file = (reference[key] for key in ("name", "module", "object", "file"))
    alive = {place: simulator for place, simulator in declared_simulators.items() if place[0] == name}
    here = {place: simulator for place, simulator in alive.items() if place[1:3] == (module, attribute)}
    if here:
        return here.get((name, module, attribute, file), list(here.values())[-1])
    if name in entry_points().names and get(name).reference()["module"] == module:
        return get(name)
    # Some simulators of the library have no entry point.
    found = _imported(module, attribute) if module.startswith(f"{ENTRY_POINT_GROUP}.") else None
    if found is None and len(alive) == 1:
        (found,) = alive.values()
    if found is None and trust_source:
        found = _imported(module, attribute)
        # A file by its path; another module may have its name.
        if found is None and Path(file).is_absolute() and Path(file).is_file():
            found = get(f"{file}:{attribute}")
    if found is None:
        subject = f"Simulator {name!r} of a saved posterior"
        expected = "one that this program has declared or imported, or that a package has installed"
        got = f"{len(alive) or 'none'} of that name; its source, {file or module}, is not run untrusted"
        do = f"import {module}:{attribute}, or pass it: bi.load(folder, simulator=...), --simulator FILE.py:NAME; "
        do += "or, if you trust its source, run that: bi.load(folder, trust_source=True), --trust"
        raise SavedPosteriorError(subject, expected=expected, got=got, do=do)
    return found


def _imported(module: str, attribute: str) -> Simulator | None:
    found = None
    if module not in ("", "__main__") and not module.startswith("."):
        with contextlib.suppress(ImportError):
            found = getattr(importlib.import_module(module), attribute, None)
    return found if isinstance(found, Simulator) else None


def _import_file(path: Path) -> Any:
    name = path.stem
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path.resolve()):
        return loaded
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if not path.is_file() or spec is None or spec.loader is None:
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
