"""bayesinn: amortized simulation-based Bayesian inference with conditional invertible networks.

Declare a simulator with :func:`simulator`, train an :class:`AmortizedPosterior`, check it with :func:`diagnose`, then
answer any observation in milliseconds. Names are imported on first use, so that ``import bayesinn`` alone is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bayesinn._version import __version__

if TYPE_CHECKING:
    from bayesinn import diagnostics, flows, inverse, plots, reference, summaries, testing
    from bayesinn.amortizer import AmortizedPosterior
    from bayesinn.diagnosing import diagnose
    from bayesinn.diagnostics import compare
    from bayesinn.misspecified import misspecification
    from bayesinn.naming import Labels
    from bayesinn.recommended import Recommended
    from bayesinn.saving import load
    from bayesinn.simulation.registry import available, get, register
    from bayesinn.simulation.simulator import Simulator, simulator
    from bayesinn.simulator_check import simulator_report

_MODULES = ("diagnostics", "flows", "inverse", "plots", "reference", "summaries", "testing")
_NAMES = {
    "AmortizedPosterior": "bayesinn.amortizer",
    "Labels": "bayesinn.naming",
    "Recommended": "bayesinn.recommended",
    "Simulator": "bayesinn.simulation.simulator",
    "available": "bayesinn.simulation.registry",
    "compare": "bayesinn.diagnostics",
    "diagnose": "bayesinn.diagnosing",
    "get": "bayesinn.simulation.registry",
    "load": "bayesinn.saving",
    "misspecification": "bayesinn.misspecified",
    "register": "bayesinn.simulation.registry",
    "simulator": "bayesinn.simulation.simulator",
    "simulator_report": "bayesinn.simulator_check",
}

__all__ = [
    "AmortizedPosterior",
    "Labels",
    "Recommended",
    "Simulator",
    "__version__",
    "available",
    "compare",
    "diagnose",
    "diagnostics",
    "flows",
    "get",
    "inverse",
    "load",
    "misspecification",
    "plots",
    "reference",
    "register",
    "simulator",
    "simulator_report",
    "summaries",
    "testing",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"bayesinn.{name}")
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'bayesinn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
