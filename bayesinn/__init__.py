"""bayesinn: amortized simulation-based Bayesian inference with conditional invertible networks.

Declare a simulator with :func:`simulator`, train an :class:`AmortizedPosterior`, check it with
:func:`diagnose`, then answer any observation without training again.

- Training: :class:`Optimization`, :class:`Checkpoint`
- Parts of networks: :mod:`bayesinn.summaries`, :mod:`bayesinn.flows`, :mod:`bayesinn.bijections`
- Tests of posteriors: :mod:`bayesinn.diagnostics`; figures: :mod:`bayesinn.plots`; your own tests:
  :class:`Check`, :func:`register_check`
- Exact posteriors: :mod:`bayesinn.reference`; from an amortized one: :func:`refine`
- Likelihoods: :class:`AmortizedLikelihood`, :class:`LikelihoodRatio`
- Comparison of models: :class:`ModelComparison`
- Means and quantiles alone: :class:`PointEstimator`
- Populations and each of their members: :class:`HierarchicalPosterior`
- Ready models: ``bayesinn.simulators``

Names are imported on first use, so that ``import bayesinn`` is fast. TensorFlow's start-up notes
are hidden; TF_CPP_MIN_LOG_LEVEL=0 shows them. Compiled programs are kept on disk, unless
BAYESINN_CACHE=off.
"""

import importlib
from typing import TYPE_CHECKING, Any

from bayesinn._version import __version__
from bayesinn.core.startup import keep_programs, silence_tensorflow

silence_tensorflow()
keep_programs()

if TYPE_CHECKING:
    from bayesinn import (
        bijections,
        comparison,
        diagnosis,
        diagnostics,
        flows,
        hierarchical,
        inverse,
        likelihood,
        plots,
        points,
        reference,
        summaries,
        testing,
    )
    from bayesinn.cli.comparison import compare_runs
    from bayesinn.comparison.comparison import ModelComparison
    from bayesinn.core.labels import Labels
    from bayesinn.diagnosis.check import Check, Tolerances, register_check
    from bayesinn.diagnosis.diagnosis import diagnose, misspecification
    from bayesinn.diagnosis.methods import methods_text
    from bayesinn.diagnostics import compare
    from bayesinn.estimators.estimator import Estimator
    from bayesinn.estimators.fitting_data import Stream
    from bayesinn.estimators.loading import load
    from bayesinn.guidance.advise import advise
    from bayesinn.guidance.informative import informative
    from bayesinn.guidance.rounds import truncated_rounds
    from bayesinn.guidance.simulator_report import simulator_report
    from bayesinn.hierarchical.posterior import HierarchicalPosterior
    from bayesinn.likelihood.amortized import AmortizedLikelihood
    from bayesinn.likelihood.ratio import LikelihoodRatio
    from bayesinn.points.estimator import PointEstimator
    from bayesinn.posterior.amortized import AmortizedPosterior
    from bayesinn.posterior.ensemble import Ensemble
    from bayesinn.posterior.posterior import Posterior, SampledPosterior
    from bayesinn.posterior.unusual import explain_unusual
    from bayesinn.reference.refinement import refine
    from bayesinn.simulation.bank import Bank, open_bank
    from bayesinn.simulation.bank.simulate import simulate
    from bayesinn.simulation.command import command_simulator
    from bayesinn.simulation.derived import Selection
    from bayesinn.simulation.from_arrays import from_arrays
    from bayesinn.simulation.prior import Samples
    from bayesinn.simulation.recommended import Recommended
    from bayesinn.simulation.registry import available, get, register
    from bayesinn.simulation.simulator import Simulator, simulator
    from bayesinn.training.settings import Checkpoint, Optimization
    from bayesinn.training.trainable import Trainable

_NAMES = {
    "AmortizedLikelihood": "bayesinn.likelihood.amortized",
    "AmortizedPosterior": "bayesinn.posterior.amortized",
    "Bank": "bayesinn.simulation.bank",
    "Check": "bayesinn.diagnosis.check",
    "Checkpoint": "bayesinn.training.settings",
    "Ensemble": "bayesinn.posterior.ensemble",
    "Estimator": "bayesinn.estimators.estimator",
    "HierarchicalPosterior": "bayesinn.hierarchical.posterior",
    "Labels": "bayesinn.core.labels",
    "LikelihoodRatio": "bayesinn.likelihood.ratio",
    "ModelComparison": "bayesinn.comparison.comparison",
    "Optimization": "bayesinn.training.settings",
    "PointEstimator": "bayesinn.points.estimator",
    "Posterior": "bayesinn.posterior.posterior",
    "Recommended": "bayesinn.simulation.recommended",
    "SampledPosterior": "bayesinn.posterior.posterior",
    "Samples": "bayesinn.simulation.prior",
    "Selection": "bayesinn.simulation.derived",
    "Simulator": "bayesinn.simulation.simulator",
    "Stream": "bayesinn.estimators.fitting_data",
    "Tolerances": "bayesinn.diagnosis.check",
    "Trainable": "bayesinn.training.trainable",
    "advise": "bayesinn.guidance.advise",
    "available": "bayesinn.simulation.registry",
    "command_simulator": "bayesinn.simulation.command",
    "compare": "bayesinn.diagnostics",
    "compare_runs": "bayesinn.cli.comparison",
    "diagnose": "bayesinn.diagnosis.diagnosis",
    "explain_unusual": "bayesinn.posterior.unusual",
    "from_arrays": "bayesinn.simulation.from_arrays",
    "get": "bayesinn.simulation.registry",
    "informative": "bayesinn.guidance.informative",
    "load": "bayesinn.estimators.loading",
    "methods_text": "bayesinn.diagnosis.methods",
    "misspecification": "bayesinn.diagnosis.diagnosis",
    "open_bank": "bayesinn.simulation.bank",
    "refine": "bayesinn.reference.refinement",
    "register": "bayesinn.simulation.registry",
    "register_check": "bayesinn.diagnosis.check",
    "simulate": "bayesinn.simulation.bank.simulate",
    "simulator": "bayesinn.simulation.simulator",
    "simulator_report": "bayesinn.guidance.simulator_report",
    "truncated_rounds": "bayesinn.guidance.rounds",
}

__all__ = [
    "AmortizedLikelihood",
    "AmortizedPosterior",
    "Bank",
    "Check",
    "Checkpoint",
    "Ensemble",
    "Estimator",
    "HierarchicalPosterior",
    "Labels",
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
    "Tolerances",
    "Trainable",
    "__version__",
    "advise",
    "available",
    "bijections",
    "command_simulator",
    "compare",
    "compare_runs",
    "comparison",
    "diagnose",
    "diagnosis",
    "diagnostics",
    "explain_unusual",
    "flows",
    "from_arrays",
    "get",
    "hierarchical",
    "informative",
    "inverse",
    "likelihood",
    "load",
    "methods_text",
    "misspecification",
    "open_bank",
    "plots",
    "points",
    "reference",
    "refine",
    "register",
    "register_check",
    "simulate",
    "simulator",
    "simulator_report",
    "summaries",
    "testing",
    "truncated_rounds",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
        globals()[name] = value
        return value
    if name in __all__:
        return importlib.import_module(f"bayesinn.{name}")
    raise AttributeError(f"module 'bayesinn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
