"""Simulators of installed packages, described without importing them, so that the command line answers at once."""

import ast
import importlib.util
from importlib import metadata
from pathlib import Path

ENTRY_POINT_GROUP = "bayesinn.simulators"


def entry_points() -> metadata.EntryPoints:
    """Return the entry points of all installed simulators."""
    return metadata.entry_points(group=ENTRY_POINT_GROUP)


def descriptions() -> dict[str, str]:
    """Return the name of each installed simulator, and the first line of its module, which is not imported."""
    return {point.name: _first_line(point.module) for point in sorted(entry_points(), key=lambda point: point.name)}


def _first_line(module: str) -> str:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return "(not importable)"
    return (ast.get_docstring(ast.parse(Path(spec.origin).read_text())) or "").partition("\n")[0]
