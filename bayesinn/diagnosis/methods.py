"""A paragraph on methods for a paper, written from a posterior and its diagnosis."""

import platform
from collections.abc import Mapping
from functools import singledispatch
from importlib import metadata
from typing import Any

from bayesinn._version import __version__
from bayesinn.core.validation import check_type
from bayesinn.diagnosis.check import OUTSIDE, WITHIN
from bayesinn.diagnosis.report.sections import shorten_numbers
from bayesinn.diagnosis.verdict import Verdict, write_list
from bayesinn.posterior.amortized import TrainedPosterior
from bayesinn.posterior.posterior import Posterior
from bayesinn.simulation.prior_text import prior_text
from bayesinn.simulation.simulator import Simulator

_PACKAGES = {
    "TensorFlow": "tensorflow",
    "Keras": "keras",
    "TensorFlow Probability": "tensorflow-probability",
}
_CITATIONS = (
    "Software: bayesinn {} (see its CITATION.cff). Method: Radev et al. (2020), BayesFlow, "
    "arXiv:2003.06281. Checks: Talts et al. (2018), arXiv:1804.06788; Säilynoja et al. (2022), "
    "arXiv:2103.10522; Lemos et al. (2023), arXiv:2302.03026; Linhart et al. (2023), "
    "arXiv:2306.03580."
)
_TOO_FEW = "undecided: the data sets were too few to tell whether errors are within tolerance"
_UNTOLD = "undecided: it can't be told whether errors are within tolerance"
_ONLY_PRIOR = "undecided: {}it is no more than the prior, whose errors are within tolerance"
_GRADES = {WITHIN: "within tolerance", OUTSIDE: "outside tolerance"}


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
    used = ", ".join(f"{name} {metadata.version(key)}" for name, key in _PACKAGES.items())
    sentences = [
        _describe_model(posterior.simulator),
        "Its posterior was estimated by amortized simulation-based inference with bayesinn "
        f"{__version__} ({used}, Python {platform.python_version()}).",
        *describe_fit(posterior),
        _describe_verdict(diagnosis),
    ]
    return f"{' '.join(filter(None, sentences))}\n\n{_CITATIONS.format(__version__)}"


def _describe_model(simulator: Simulator) -> str:
    units = {name: simulator.labels.unit(name) for name in simulator.prior.names}
    told = write_list([f"{unit} for {name}" for name, unit in units.items() if unit] or [""])
    data = write_list(
        [
            f"{name} ({' x '.join(map(str, shape)) if shape else 'a number'})"
            for name, shape in simulator.observable_shapes.items()
        ]
    )
    text = f"The model {simulator.name!r} simulates {data} from {_count(simulator.prior.names)}"
    if not simulator.simulates:
        text = f"Simulations of {data} from {_count(simulator.prior.names)} were given as arrays"
    text += f", with the prior {shorten_numbers(prior_text(simulator.prior))}"
    text += f" (units: {told})" if told else ""
    if simulator.context is not None:
        text += f", given {shorten_numbers(prior_text(simulator.context))}"
    return f"{text}."


def _count(names: tuple[str, ...]) -> str:
    return "one parameter" if len(names) == 1 else f"{len(names)} parameters"


@singledispatch
def describe_fit(posterior: Posterior) -> list[str]:
    """Return sentences on networks and training, as far as the posterior knows them."""
    return [f"{heading}: {text}." for heading, text in posterior.about().items()]


@describe_fit.register(TrainedPosterior)
def _(posterior: TrainedPosterior) -> list[str]:
    _ = posterior.model  # which must be there
    settings = posterior.training["settings"]
    summaries = [f"{summary!r} for {name}" for name, summary in posterior.summaries.items()]
    networks = f"The density of parameters was the flow {posterior.flow!r}"
    if summaries:
        networks += f", given summaries of the data by {write_list(summaries)}"
    count = posterior.configuration().get("networks", 1)
    if count > 1:
        networks += f"; the posterior is the mean of {count} such networks"
    loss = "the mean of -log q(parameters | data)" if posterior.nats else "its loss"
    training = (
        f"It was trained for {posterior.steps_done:,} steps of {settings['batch_size']:,} "
        f"simulations, {_source(posterior.training, posterior.steps_done)}, to minimise {loss} "
        f"({_optimizer(posterior.training)}seed {posterior.training_seed})"
    )
    if posterior.steps_before:
        training += f", from networks that had been trained for {posterior.steps_before:,} steps"
    failed = posterior.training.get("failed_simulations", 0)
    counted = f"{failed:,} simulations failed." if failed else ""
    return [f"{networks}.", f"{training}.", counted]


def _source(training: Mapping[str, Any], steps: int) -> str:
    """Write where simulations came from."""
    settings = training["settings"]
    size = settings["batch_size"]
    if training.get("data") is not None:
        return _stored_source(training)
    passes = settings.get("passes", 0)
    if passes:
        return f"{-(-steps // passes) * size:,} of them, each used {passes} times"
    return f"{steps * size:,} in all, each used once"


def _stored_source(training: Mapping[str, Any]) -> str:
    """Write from how many stored simulations a training was, and how many of a step were new."""
    if "stored" in training:
        text = f"from {training['stored']:,} stored ones"
        fresh = training["fresh"]
        return f"{fresh:,} of each step new and the others {text}" if fresh else text
    # Posteriors of older versions know the number of arrays alone, by the length of a pass.
    settings = training["settings"]
    if ", from row " not in training["data"]:
        return f"from about {settings['steps_per_epoch'] * settings['batch_size']:,} stored ones"
    share = training["data"].partition(", fresh ")[2]
    return f"{'in part ' if float(share or 0) else ''}from a simulation bank"


def _optimizer(training: Mapping[str, Any]) -> str:
    """Write the default optimizer; nothing if the user chose another."""
    settings = training["settings"]
    if training.get("optimizer") is not None or settings.get("learning_rate") is None:
        return ""
    decay = settings.get("weight_decay", 0.0)
    name = f"AdamW, weight decay {decay:g}" if decay else "Adam"
    return f"{name}, largest learning rate {settings['learning_rate']:g}, "


def _describe_verdict(diagnosis: Verdict | None) -> str:
    if diagnosis is None:
        return ""
    simulations, draws = diagnosis.size
    only_prior = diagnosis.knows_nothing and not diagnosis.outside and not diagnosis.undecided
    undecided = _TOO_FEW if diagnosis.too_few else _UNTOLD
    if only_prior:
        undecided = _ONLY_PRIOR.format(diagnosis.scope)
    grade = _GRADES.get(diagnosis.grade, undecided)
    text = (
        f"On {simulations:,} further simulated data sets, with {draws:,} posterior draws each, the "
        f"posterior was {grade}"
    )
    found = [
        f"{finding.check.name}: {finding.found}"
        for finding in diagnosis.findings
        if finding.grade and finding.found
    ]
    return f"{text} ({'; '.join(found)})." if found else f"{text}."
