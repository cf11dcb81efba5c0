"""Reference: the public names of each package, from their docstrings, a page for each class."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable
from types import ModuleType

PACKAGES = (
    "bayesinn",
    "bayesinn.estimators",
    "bayesinn.posterior",
    "bayesinn.summaries",
    "bayesinn.flows",
    "bayesinn.bijections",
    "bayesinn.diagnostics",
    "bayesinn.plots",
    "bayesinn.reference",
    "bayesinn.inverse",
    "bayesinn.likelihood",
    "bayesinn.comparison",
    "bayesinn.points",
    "bayesinn.hierarchical",
    "bayesinn.diagnosis",
    "bayesinn.guidance",
    "bayesinn.testing",
    "bayesinn.core.errors",
)


def pages(_: Callable[[str], None]) -> dict[str, str]:
    """Return pages of all packages and their classes, of installed simulators, and their index."""
    places: dict[int, str] = {}
    made: dict[str, str] = {}
    for name in PACKAGES:
        made |= _package(importlib.import_module(name), places)
    entries = "\n".join(f"   {name}" for name in (*PACKAGES, "simulators"))
    made["reference/index.rst"] = f"{_title('Reference')}.. toctree::\n\n{entries}\n"
    made["reference/simulators.md"] = _simulators()
    return made


def public(module: ModuleType) -> list[str]:
    """Return the names that a package offers, in the order in which it lists them."""
    names: Iterable[str] = getattr(module, "__all__", vars(module))
    values = {name: getattr(module, name) for name in names if not name.startswith("_")}
    ours = {name: value for name, value in values.items() if not inspect.ismodule(value)}
    return [name for name, value in ours.items() if _origin(value).startswith("bayesinn")]


def _origin(value: object) -> str:
    """Return the module that defines a class or a function; what has none is a constant of ours."""
    described = inspect.isclass(value) or inspect.isfunction(value)
    return getattr(value, "__module__", "") if described else "bayesinn"


def _package(module: ModuleType, places: dict[int, str]) -> dict[str, str]:
    """Return the page of a package, with its functions, and those of its classes.

    What an earlier page describes (``places``) is only named.
    """
    name = module.__name__
    names = public(module)
    elsewhere = [entry for entry in names if id(getattr(module, entry)) in places]
    here = [entry for entry in names if entry not in elsewhere]
    places |= {id(getattr(module, entry)): f"{name}.{entry}" for entry in here}
    listed = "\n".join(f"   {entry}" for entry in here)
    text = f"{_title(name)}.. automodule:: {name}\n\n.. currentmodule:: {name}\n\n"
    if elsewhere:
        others = ", ".join(f":py:obj:`{places[id(getattr(module, entry))]}`" for entry in elsewhere)
        text += f"Described elsewhere, and to be imported from here as well: {others}.\n\n"
    text += f".. autosummary::\n   :nosignatures:\n\n{listed}\n\n"
    classes = [entry for entry in here if inspect.isclass(getattr(module, entry))]
    if classes:
        files = "\n".join(f"   {entry} <{name}.{entry}>" for entry in classes)
        text += f".. toctree::\n   :hidden:\n\n{files}\n\n"
    text += "\n".join(
        f".. {_directive(getattr(module, entry))}:: {entry}\n"
        for entry in here
        if entry not in classes
    )
    made = {f"reference/{name}.{entry}.rst": _class(name, entry) for entry in classes}
    return {f"reference/{name}.rst": text} | made


def _class(package: str, name: str) -> str:
    options = "   :members:\n   :inherited-members:\n"
    return f"{_title(name)}.. currentmodule:: {package}\n\n.. autoclass:: {name}\n{options}"


def _directive(value: object) -> str:
    return "autofunction" if inspect.isfunction(value) else "autodata"


def _simulators() -> str:
    from bayesinn.simulation.installed import descriptions

    rows = "\n".join(f"| `{name}` | {line} |" for name, line in descriptions().items())
    text = "Fetch one with `bayesinn.get_simulator(name)`; `bayesinn list` prints this table."
    return f"# Ready simulators\n\n{text}\n\n| name | |\n|---|---|\n{rows}\n"


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n\n"
