"""Simulators by name: registered in the session, installed by packages, or found in a file."""

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from bayesinn.core.errors import BayesinnError, InputError, SavedPosteriorError, check_type
from bayesinn.core.files import reraise_as
from bayesinn.simulation.derived import read_declaration
from bayesinn.simulation.installed import (
    ENTRY_POINT_GROUP,
    check_name,
    entry_points,
    no_such_simulator,
    split_name,
)
from bayesinn.simulation.simulator import Simulator, declared_simulators

_registered: dict[str, Simulator] = {}
# When files that were run had been written, by the names of their modules.
_written: dict[str, int] = {}
#: The file that is being run to find a simulator in it.
_loading: ContextVar[Path | None] = ContextVar("loading", default=None)


def register_simulator(simulator: Simulator) -> Simulator:
    """Make a simulator known by its name in this session; InputError if another one has the name.

    Packages register theirs permanently in the entry-point group ``bayesinn.simulators``.
    """
    check_type(
        "Registration",
        simulator,
        Simulator,
        "a Simulator",
        "decorate the function with @bi.simulator",
    )
    other = _registered.get(simulator.name)
    if other is not None and other is not simulator and other.reference() != simulator.reference():
        got = other.function.__module__
        raise InputError(
            f"Registration of simulator {simulator.name!r}",
            expected="a name that is free",
            got=f"the name of a simulator from {got}",
            do="give another one: @bi.simulator(name=...)",
        )
    _registered[simulator.name] = simulator
    return simulator


def list_simulators() -> list[str]:
    """Return the names of all simulators that :func:`get` knows.

    >>> "linear" in list_simulators()
    True
    """
    return sorted({*_registered, *entry_points().names})


def get_simulator(name: str) -> Simulator:
    """Return a simulator by its name; ``"path/to/file.py:object"`` runs the file to find it.

    A file that declares one simulator alone needs no ``:object``.

    Raises
    ------
    InputError
        If nothing has this name. It lists the known names, or what was found in the file.

    Examples
    --------
    >>> get_simulator("linear")
    Simulator 'linear'
      parameters:  x1, x2
      observables: y
    """
    check_type(
        "Name of a simulator",
        name,
        str,
        "a registered name, or a path like 'model.py:simulator'",
        "pass for example 'sir'",
    )
    if name in _registered:
        return _registered[name]
    check_name(name, _registered)
    if (place := split_name(name)) is None:
        points = entry_points().select(name=name)
        if len(points) > 1:
            raise InputError(
                f"Simulator {name!r}",
                expected="one installed package that has it",
                got=f"{', '.join(sorted(point.value for point in points))}",
                do="import the one that you mean, or uninstall the other package",
            )
        (point,) = points
        return _registered.setdefault(name, point.load())
    file, attribute = place
    module = _import_file(file)
    found: Any = getattr(module, attribute, None)
    if not isinstance(found, Simulator):
        names = [name for name, value in vars(module).items() if isinstance(value, Simulator)]
        raise no_such_simulator(file, attribute, names)
    return found


def refuse_while_loading(work: str) -> None:
    """Raise if a file is being run to find a simulator: it may only contain declarations then."""
    if (file := _loading.get()) is not None:
        raise InputError(
            f"Simulator file {str(file)!r}",
            expected="a file that only declares when it is loaded",
            got=f"one that also {work}",
            do='put all but the declarations under: if __name__ == "__main__":',
        )


def find(reference: Mapping[str, Any], trust_source: bool = False) -> Simulator:
    """Return the simulator that :meth:`Simulator.reference` pointed to.

    A model without a function is declared again. Any other is looked up where it was declared, in
    this program or an installed package, then by its name in this program. If ``trust_source``, its
    module is imported or its file is run to find it. Failure is a SavedPosteriorError.
    """
    name, module, attribute, file = (reference[key] for key in ("name", "module", "object", "file"))
    if (declaration := reference.get("declaration")) is not None:
        subject = f"Simulator {name!r} of a saved posterior"
        with reraise_as(subject, "a declaration as it was written", error=SavedPosteriorError):
            return read_declaration(name, declaration)
    alive = {
        place: simulator for place, simulator in declared_simulators.items() if place[0] == name
    }
    here = [simulator for place, simulator in alive.items() if place[1:3] == (module, attribute)]
    if here:
        return alive.get((name, module, attribute, file), here[-1])
    if name in entry_points().names and get_simulator(name).reference()["module"] == module:
        return get_simulator(name)
    found = None
    # Some simulators of the library have no entry point.
    if module.startswith(f"{ENTRY_POINT_GROUP}."):
        found = _imported(module, attribute)
    if found is None and len(alive) == 1:
        (found,) = alive.values()
    if found is None and trust_source:
        found = _from_source(module, attribute, file)
    if found is None:
        raise _not_found(name, module, attribute, file, len(alive))
    return found


def _from_source(module: str, attribute: str, file: str) -> Simulator | None:
    """Import the module of a simulator, or run its file; None if neither has it."""
    simulator = _imported(module, attribute)
    # A file by its path; another module may have its name.
    if simulator is None and Path(file).is_absolute() and Path(file).is_file():
        return get_simulator(f"{file}:{attribute}")
    return simulator


def _not_found(
    name: str, module: str, attribute: str, file: str, alive: int
) -> SavedPosteriorError:
    source = "no module has it"
    do = "pass it: bi.load(folder, simulator=...), --simulator FILE.py:NAME"
    if attribute:
        source = f"its source, {file or module}, is not run untrusted"
        do += "; or, if you trust its source, run that: bi.load(folder, trust_source=True), --trust"
        if module not in ("", "__main__") and "<" not in attribute:
            do = f"import {module}:{attribute}, or {do}"
    return SavedPosteriorError(
        f"Simulator {name!r} of a saved posterior",
        expected="one that this program has declared or imported, or that a package has installed",
        got=f"{alive or 'none'} of that name; {source}",
        do=do,
    )


def _imported(module: str, attribute: str) -> Simulator | None:
    value = None
    if module not in ("", "__main__") and not module.startswith("."):
        with contextlib.suppress(ImportError):
            value = getattr(importlib.import_module(module), attribute, None)
    return value if isinstance(value, Simulator) else None


def _import_file(path: Path) -> Any:
    name = path.stem
    loaded = sys.modules.get(name)
    same_file = loaded is not None and getattr(loaded, "__file__", None) == str(path.resolve())
    written = path.stat().st_mtime_ns if path.is_file() else None
    # A file that was edited since is run anew; one that the program has imported itself is not.
    if same_file and _written.get(name, written) == written:
        return loaded
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Known by its name while it lives, so that its functions can be pickled; never in place of
    # another module, but then by its path, so that programs in it know where they are.
    key = name if loaded is None or same_file else str(path.resolve())
    sys.modules[key] = module
    # As for a program, modules beside the file can be imported, in worker processes too.
    if (folder := str(path.resolve().parent)) not in sys.path:
        sys.path.append(folder)
    token = _loading.set(path)
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(key, None)
        if same_file and loaded is not None:
            sys.modules[key] = loaded
        if isinstance(error, BayesinnError | KeyboardInterrupt):
            raise
        raise InputError(
            f"Simulator file {str(path)!r}",
            expected="a file that can be run",
            got=f"{type(error).__name__}: {error}",
            do=f"correct it; to see where, run: python {path}",
        ) from error
    finally:
        _loading.reset(token)
    if written is not None:
        _written[key] = written
    return module
