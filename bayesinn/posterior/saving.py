"""Saved posteriors: what of a posterior goes into a folder, and how it is put together again."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import tensorflow as tf

from bayesinn.core.configuration import building, rebuild
from bayesinn.core.storage import SavedModel, read_model, write_model
from bayesinn.core.validation import check_flag, check_type
from bayesinn.flows import Flow
from bayesinn.posterior import damage, format1, same_simulator
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.posterior.learner import Learner
from bayesinn.posterior.typicality import Reference
from bayesinn.simulation.registry import find
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.data import DataSpace, Scaling
from bayesinn.summaries import Summary
from bayesinn.summaries.joint import seen_raw

_KIND = "AmortizedPosterior"
_NUMBER_OR_NONE = (float, type(None))
_SCHEMA = {
    "simulator": {"name": str, "module": str, "object": str, "file": str},
    **same_simulator.SCHEMA,
    "network": {"summaries": {str: dict}, "flow": dict},
    "compression": {str: _NUMBER_OR_NONE},
    "training": {"settings": {"steps": int}},
    "history": {str: [_NUMBER_OR_NONE]},
}
#: Arrays of :class:`Reference` that are no float64 vectors.
_REFERENCE_TYPES = {
    "order_trees": damage.NODE,
    "gap_trees": damage.NODE,
    "pooled": "bool",
    "series": "bool",
    "ranks": "int64",
}
_REFERENCE_MATRICES = {"summary_axes", "inputs_axes", "order_trees", "gap_trees", "held_out"}


def save(posterior: AmortizedPosterior, folder: str | Path) -> Path:
    """Write a trained posterior into a folder; see :meth:`AmortizedPosterior.save`."""
    trained = posterior._require_trained()
    learner, scalings = trained.learner, trained.learner.data.scalings
    entries = {
        "simulator": posterior.simulator.reference(),
        **same_simulator.shared_entries(posterior.simulator),
        "network": posterior.network_configuration(),
        "compression": {name: scaling.compress for name, scaling in scalings.items()},
        "training": posterior.training,
        "history": posterior.history.to_dict(orient="list"),
    }
    arrays = {"parameters/mean": learner.parameters.mean, "parameters/scale": learner.parameters.scale}
    for name, scaling in scalings.items():
        arrays |= {f"data/{name}/mean": scaling.mean, f"data/{name}/scale": scaling.scale}
    arrays |= {f"reference/{name}": value for name, value in trained.reference.arrays().items()}
    return write_model(folder, _KIND, entries, arrays, learner.network)


def load(folder: str | Path, simulator: Simulator | None = None, trust_source: bool = False) -> AmortizedPosterior:
    """Read a posterior that :meth:`AmortizedPosterior.save` wrote.

    Parameters
    ----------
    folder : path
    simulator : Simulator
        Left out, it is found by its name: declared in this program, or installed by a package.
    trust_source : bool
        Whether a simulator that is not found so may be looked for by running the module or the source file that the
        folder names. Only for folders from people whose programs you would run.

    Returns
    -------
    AmortizedPosterior
        Its draws are equal to those of the posterior that was saved; as is its class, where the flow's decides it: a
        :class:`~bayesinn.inverse.SplitLatent` is one again.

    Raises
    ------
    SavedPosteriorError
        For a folder that is not a saved posterior, is damaged, or has a newer format, and for a simulator that has
        another prior, other parameters or observables than the saved one.
    """
    check_flag("Argument 'trust_source'", trust_source)
    if simulator is not None:
        check_type("Argument 'simulator'", simulator, Simulator, "a Simulator", "pass what @bi.simulator decorates")
    saved = read_model(folder, _KIND, _SCHEMA, format1.rewrite)
    simulator = simulator or find(saved.entries["simulator"], trust_source)
    same_simulator.check_same(saved.entries, simulator)
    network = saved.entries["network"]
    with saved.explained("network", "networks that this version can build"), building():
        posterior = posterior_of(rebuild(network["flow"]), simulator, rebuild(network["summaries"]))
        learner = _learner(posterior, saved)
    saved.assign(learner.network)
    reference = {}
    for name in Reference.__dataclass_fields__:
        shape = (None, None) if name in _REFERENCE_MATRICES else (None,)
        # Statistics of simulations that overflow are infinite.
        finite, kind = name != "held_out", _REFERENCE_TYPES.get(name, "float64")
        reference[name] = saved.array(f"reference/{name}", shape, kind, finite)
    with saved.explained("history", "columns of equal length"):
        history = pd.DataFrame(saved.entries["history"])
    posterior.adopt(learner, Reference(**reference), history, saved.entries["training"])
    return posterior


@functools.singledispatch
def posterior_of(flow: Flow, simulator: Simulator, summaries: Mapping[str, Summary]) -> AmortizedPosterior:
    """Return the posterior, not trained, that has such networks.

    A kind of posterior whose flow has a class of its own registers how it is made from it, where it is defined: the
    flow can't be rebuilt without importing that.
    """
    return AmortizedPosterior(simulator, summaries, flow)


def _learner(posterior: AmortizedPosterior, saved: SavedModel) -> Learner:
    """Return a learner with the spaces that were saved and a network that is built for them."""
    simulator = posterior.simulator
    shapes = {**simulator.shapes["observables"], **simulator.shapes["context"]}
    scalings = {}
    for name, shape in shapes.items():
        compress = saved.entries["compression"][name]
        if compress is not None and not 0.0 < compress < float("inf"):
            raise ValueError(f"compression {compress!r} of {name!r}")
        # One number for each channel, or for all steps of a series of varying length.
        own = () if name in simulator.lengths and len(shape) == 1 else shape[-1:]
        scalings[name] = Scaling(compress, *(saved.array(f"data/{name}/{part}", own) for part in ("mean", "scale")))
    raw = seen_raw(posterior.summaries)
    data = DataSpace(scalings, tuple(simulator.observable_shapes), simulator.context_names, simulator.lengths, raw)
    learner = posterior.build_learner(data, seed=0)
    dimension = (learner.parameters.dimension,)
    learner.parameters.mean = saved.array("parameters/mean", dimension)
    learner.parameters.scale = saved.array("parameters/scale", dimension)
    inputs, masks = learner.data.to_network({name: tf.ones((2, *shape)) for name, shape in shapes.items()})
    learner.network(tf.zeros((2, *dimension)), inputs, masks)
    return learner
