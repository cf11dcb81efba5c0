"""bayesinn: amortized simulation-based Bayesian inference with conditional invertible networks.

Declare a simulator with :func:`simulator`, train an :class:`AmortizedPosterior`, check it with
:func:`diagnose`, then answer any observation without training again.

- Training: :class:`Optimization`, :class:`Checkpoint`
- Parts of networks: :mod:`bayesinn.summaries`, :mod:`bayesinn.flows`, :mod:`bayesinn.bijections`
- Tests of posteriors: :mod:`bayesinn.diagnostics`; figures: :mod:`bayesinn.plots`; your own tests:
  :class:`bayesinn.diagnosis.Check`
- Exact posteriors: :mod:`bayesinn.reference`; from an amortized one: :func:`refine`
- Likelihoods: :class:`AmortizedLikelihood`, :class:`LikelihoodRatio`
- Comparison of models: :class:`ModelComparison`
- Means and quantiles alone: :class:`PointEstimator`
- Designs of experiments: :mod:`bayesinn.guidance`
- Populations and each of their members: :class:`HierarchicalPosterior`
- Ready models: ``bayesinn.simulators``

Names are imported on first use, so that ``import bayesinn`` is fast. TensorFlow's start-up notes
are hidden; TF_CPP_MIN_LOG_LEVEL=0 shows them. Compiled programs are kept on disk, unless
BAYESINN_CACHE=off.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from bayesinn._version import __version__
from bayesinn.core.startup import keep_programs, silence_tensorflow

silence_tensorflow()
keep_programs()

if TYPE_CHECKING:
    from bayesinn import (
        bijections,
        diagnosis,
        diagnostics,
        estimators,
        flows,
        guidance,
        inverse,
        plots,
        reference,
        summaries,
        testing,
    )
    from bayesinn.comparison.comparison import ModelComparison
    from bayesinn.diagnosis.diagnosis import diagnose, diagnose_observations
    from bayesinn.diagnostics import compare_draws
    from bayesinn.estimators.fitting_data import Stream
    from bayesinn.estimators.loading import load
    from bayesinn.guidance.advise import advise
    from bayesinn.guidance.informative import informative
    from bayesinn.guidance.rounds import truncated_rounds
    from bayesinn.guidance.simulator_report import simulator_report
    from bayesinn.hierarchical.posterior import HierarchicalPosterior
    from bayesinn.likelihood.amortized import AmortizedLikelihood, LikelihoodRatio
    from bayesinn.points.estimator import PointEstimator
    from bayesinn.posterior.amortized import AmortizedPosterior
    from bayesinn.posterior.ensemble import Ensemble
    from bayesinn.posterior.posterior import Posterior, SampledPosterior
    from bayesinn.posterior.unusual import explain_unusual
    from bayesinn.reference.refinement import refine
    from bayesinn.simulation.bank import open_bank
    from bayesinn.simulation.bank.simulate import simulate_bank
    from bayesinn.simulation.command import command_simulator
    from bayesinn.simulation.derived import Selection, from_arrays
    from bayesinn.simulation.prior import Samples
    from bayesinn.simulation.registry import get_simulator, list_simulators, register_simulator
    from bayesinn.simulation.simulator import Recommended, Simulator, simulator
    from bayesinn.training.settings import Checkpoint, Optimization

_NAMES = {
    "AmortizedLikelihood": "bayesinn.likelihood.amortized",
    "AmortizedPosterior": "bayesinn.posterior.amortized",
    "Checkpoint": "bayesinn.training.settings",
    "Ensemble": "bayesinn.posterior.ensemble",
    "HierarchicalPosterior": "bayesinn.hierarchical.posterior",
    "LikelihoodRatio": "bayesinn.likelihood.amortized",
    "ModelComparison": "bayesinn.comparison.comparison",
    "Optimization": "bayesinn.training.settings",
    "PointEstimator": "bayesinn.points.estimator",
    "Posterior": "bayesinn.posterior.posterior",
    "Recommended": "bayesinn.simulation.simulator",
    "SampledPosterior": "bayesinn.posterior.posterior",
    "Samples": "bayesinn.simulation.prior",
    "Selection": "bayesinn.simulation.derived",
    "Simulator": "bayesinn.simulation.simulator",
    "Stream": "bayesinn.estimators.fitting_data",
    "advise": "bayesinn.guidance.advise",
    "command_simulator": "bayesinn.simulation.command",
    "compare_draws": "bayesinn.diagnostics",
    "diagnose": "bayesinn.diagnosis.diagnosis",
    "diagnose_observations": "bayesinn.diagnosis.diagnosis",
    "explain_unusual": "bayesinn.posterior.unusual",
    "from_arrays": "bayesinn.simulation.derived",
    "get_simulator": "bayesinn.simulation.registry",
    "informative": "bayesinn.guidance.informative",
    "list_simulators": "bayesinn.simulation.registry",
    "load": "bayesinn.estimators.loading",
    "open_bank": "bayesinn.simulation.bank",
    "refine": "bayesinn.reference.refinement",
    "register_simulator": "bayesinn.simulation.registry",
    "simulate_bank": "bayesinn.simulation.bank.simulate",
    "simulator": "bayesinn.simulation.simulator",
    "simulator_report": "bayesinn.guidance.simulator_report",
    "truncated_rounds": "bayesinn.guidance.rounds",
}

__all__ = [
    "AmortizedLikelihood",
    "AmortizedPosterior",
    "Checkpoint",
    "Ensemble",
    "HierarchicalPosterior",
    "LikelihoodRatio",
    "ModelComparison",
    "Optimization",
    "PointEstimator",
    "Posterior",
    "Recommended",
    "SampledPosterior",
    "Samples",
    "Selection",
    "Simulator",
    "Stream",
    "__version__",
    "advise",
    "bijections",
    "command_simulator",
    "compare_draws",
    "diagnose",
    "diagnose_observations",
    "diagnosis",
    "diagnostics",
    "estimators",
    "explain_unusual",
    "flows",
    "from_arrays",
    "get_simulator",
    "guidance",
    "informative",
    "inverse",
    "list_simulators",
    "load",
    "open_bank",
    "plots",
    "reference",
    "refine",
    "register_simulator",
    "simulate_bank",
    "simulator",
    "simulator_report",
    "simulators",
    "summaries",
    "testing",
    "truncated_rounds",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
        globals()[name] = value
        return value
    room = f"bayesinn.{name}"
    if not name.startswith("_") and importlib.util.find_spec(room) is not None:
        return importlib.import_module(room)
    raise AttributeError(f"module 'bayesinn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
