"""A paragraph on methods for a paper, written from a posterior and its diagnosis."""

import platform
from functools import singledispatch
from importlib import metadata

from bayesinn._version import __version__
from bayesinn.core.errors import check_type
from bayesinn.diagnosis.report import say
from bayesinn.diagnosis.report.sections import shorten_numbers
from bayesinn.diagnosis.verdict import Verdict
from bayesinn.posterior.amortized import TrainedPosterior
from bayesinn.posterior.posterior import Posterior
from bayesinn.simulation.prior_text import prior_text
from bayesinn.simulation.simulator import Simulator

_PACKAGES = {
    "TensorFlow": "tensorflow",
    "Keras": "keras",
    "TensorFlow Probability": "tensorflow-probability",
}


def methods_text(posterior: Posterior, diagnosis: Verdict | None = None) -> str:
    """Return a paragraph for a paper: model, networks, simulations, steps, versions, verdict.

    A second paragraph has the citations. All text comes from the posterior and, if given, its
    diagnosis: read it, and leave out what your readers don't need.

    Examples
    --------
    >>> import bayesinn as bi
    >>> posterior = bi.AmortizedPosterior(
    ...     bi.get_simulator("linear"), flow=bi.flows.coupling(blocks=2, hidden=(16,))
    ... )
    >>> _ = posterior.fit(steps=20, batch_size=64, seed=1, progress=False)
    >>> "20 steps of 64 simulations" in methods_text(posterior)
    True
    """
    do = "pass a trained posterior"
    check_type("Argument 'posterior'", posterior, Posterior, "a posterior", do)
    check_type(
        "Argument 'diagnosis'", diagnosis, (Verdict, type(None)), "bi.diagnose(posterior)", do
    )
    packages = [f"{name} {metadata.version(key)}" for name, key in _PACKAGES.items()]
    used = ", ".join([*packages, f"Python {platform.python_version()}"])
    sentences = [
        _describe_model(posterior.simulator),
        say("software", __version__, used),
        *describe_fit(posterior),
        "" if diagnosis is None else describe_verdict(diagnosis),
    ]
    return "\n\n".join([" ".join(filter(None, sentences)), say("citations", __version__)])


def _describe_model(simulator: Simulator) -> str:
    data = [
        f"{name} ({' x '.join(map(str, shape)) if shape else 'a number'})"
        for name, shape in simulator.observable_shapes.items()
    ]
    units = {name: simulator.labels.unit(name) for name in simulator.prior.names}
    prior = shorten_numbers(prior_text(simulator.prior))
    context = "" if simulator.context is None else shorten_numbers(prior_text(simulator.context))
    told = [f"{unit} for {name}" for name, unit in units.items() if unit]
    return say("model", simulator, data, prior, told, context)


@singledispatch
def describe_fit(posterior: Posterior) -> list[str]:
    """Return sentences on networks and training, as far as the posterior knows them."""
    return [f"{heading}: {text}." for heading, text in posterior.about().items()]


@describe_fit.register(TrainedPosterior)
def _(posterior: TrainedPosterior) -> list[str]:
    _ = posterior.model  # which must be there
    count = posterior.configuration().get("networks", 1)
    failed = posterior.training.get("failed_simulations", 0)
    summaries = [f"{summary!r} for {name}" for name, summary in posterior.summaries.items()]
    return [
        say("networks", repr(posterior.flow), summaries, count),
        say("training", posterior),
        say("failed", failed) if failed else "",
    ]


def describe_verdict(diagnosis: Verdict) -> str:
    """Return a sentence on the verdict, with what each check found."""
    found = [
        f"{finding.check.name}: {finding.found}"
        for finding in diagnosis.findings
        if finding.grade and finding.found
    ]
    return say("diagnosed", diagnosis, found)
