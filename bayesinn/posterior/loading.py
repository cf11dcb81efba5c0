"""Load posteriors that were saved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from bayesinn.core.configuration import building, rebuild, registered_class
from bayesinn.core.errors import SavedPosteriorError
from bayesinn.core.storage import SavedModel, read_model
from bayesinn.core.validation import check_flag, check_type
from bayesinn.posterior import moved
from bayesinn.posterior.amortized import AmortizedPosterior
from bayesinn.posterior.building import build_model
from bayesinn.posterior.evaluator import Evaluator
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.trained import KIND
from bayesinn.posterior.typicality import Reference
from bayesinn.simulation import identity
from bayesinn.simulation.identity_rows import once
from bayesinn.simulation.registry import find
from bayesinn.simulation.simulator import Simulator
from bayesinn.spaces.data import DataSpace, Scaling
from bayesinn.summaries.joint import seen_raw

_NUMBER_OR_NONE = (float, type(None))
_OWNER = identity.Owner(
    "a saved posterior",
    "this posterior was trained on",
    "load with the version of the simulator that the posterior was trained on, or train again; "
    "if it is the same: bi.load(folder, check_simulator=False)",
    SavedPosteriorError,
)
_SCHEMA = {
    "class": str,
    "simulator": {"name": str, "module": str, "object": str, "file": str},
    "packages": {str: str},
    **identity.SHAPES,
    "network": {"summaries": {str: dict}, "flow": dict},
    "compression": {str: _NUMBER_OR_NONE},
    "training": {"settings": {"steps": int}},
    "history": {str: [_NUMBER_OR_NONE]},
}


@once()
def load(
    folder: str | Path,
    simulator: Simulator | None = None,
    trust_source: bool = False,
    check_simulator: bool = True,
) -> AmortizedPosterior:
    """Read a posterior that :meth:`AmortizedPosterior.save` wrote; draws and class are equal.

    Parameters
    ----------
    folder : path
    simulator : Simulator
        Left out, it is found by its name: declared in this program, or installed by a package.
    trust_source : bool
        Whether a simulator that is not found so may be looked for by running the module or the
        source file that the folder names. Only for folders from people whose programs you would
        run.
    check_simulator : bool
        Whether the simulator must do what the one did that the posterior was trained on: a few rows
        are simulated again, one if that takes long, and compared, as are prior, units, and more.
        Without it, names and shapes alone must fit.

    Raises
    ------
    SavedPosteriorError
        For a folder that is no saved posterior, is damaged or newer, and for another simulator.
    """
    import pandas as pd

    check_flag("Argument 'trust_source'", trust_source)
    check_flag("Argument 'check_simulator'", check_simulator)
    if simulator is not None:
        check_type(
            "Argument 'simulator'",
            simulator,
            Simulator,
            "a Simulator",
            "pass what @bi.simulator decorates",
        )
    saved = read_model(folder, KIND, _SCHEMA)
    simulator = simulator or find(saved.entries["simulator"], trust_source)
    identity.check(saved.entries, simulator, _OWNER, check_simulator)
    with saved.explained("network", "networks that this version can build"), building():
        kind: Any = registered_class(saved.entries["class"])
        networks = rebuild(moved.rewrite(saved.entries["network"]))
        posterior: AmortizedPosterior = kind.from_networks(
            simulator, networks["summaries"], networks["flow"]
        )
        model = _model(posterior, saved)
    saved.assign(model.network)
    with saved.explained("history", "columns of equal length"):
        history = pd.DataFrame(saved.entries["history"])
    reference = _reference(saved, model, _ones(simulator))
    posterior.adopt(Evaluator(model), reference, history, saved.entries["training"])
    if "identity" in saved.entries:
        posterior.identity = {name: saved.entries[name] for name in (*identity.SHAPES, "identity")}
    return posterior


def _reference(
    saved: SavedModel, model: PosteriorModel, ones: Mapping[str, tf.Tensor]
) -> Reference:
    """Return what observations are compared with.

    Older posteriors have no trees for scale, and scores as integers.
    """
    arrays = {}
    # Any reference has the types and numbers of axes.
    for name, like in Reference.fit(np.zeros((2, 1)), {"x": np.zeros((2, 1))}).arrays().items():
        stored = f"reference/{name}"
        dtype = like.dtype
        if name == "scores" and stored not in saved.file:
            stored = "reference/ranks"
            dtype = np.dtype(int)
        absent = name == "scale_trees" and stored not in saved.file
        # Statistics of simulations that overflow are infinite.
        finite = name != "held_out"
        shape = (None,) * like.ndim
        arrays[name] = (
            like if absent else saved.array(stored, shape, dtype, finite).astype(like.dtype)
        )
    reference = Reference(**arrays)
    # What doesn't fit would fail with the first observation.
    with saved.explained_weights():
        inputs = {name: value.numpy() for name, value in model.data.standardise(ones).items()}
        condition = model.network.condition(*model.data.to_network(ones))
        reference.check(model.network.compared(condition).numpy(), inputs)
    return reference


def _model(posterior: AmortizedPosterior, saved: SavedModel) -> PosteriorModel:
    """Return a model with the spaces that were saved and a network that is built for them."""
    simulator = posterior.simulator
    shapes = {**simulator.shapes["observables"], **simulator.shapes["context"]}
    scalings = {}
    for name, shape in shapes.items():
        compress = saved.entries["compression"][name]
        if compress is not None and not 0.0 < compress < float("inf"):
            raise ValueError(f"compression {compress!r} of {name!r}")
        # One number for each channel, or for all steps of a series of varying length.
        own = () if name in simulator.lengths and len(shape) == 1 else shape[-1:]
        exact = f"data/{name}/exact_mean" in saved.file
        kind = np.float64 if exact else np.float32
        mean = saved.array(f"data/{name}/{'exact_' * exact}mean", own, kind)
        scalings[name] = Scaling(compress, mean, saved.array(f"data/{name}/scale", own))
    names = tuple(simulator.observable_shapes), simulator.context_names, simulator.lengths
    data = DataSpace(scalings, *names, seen_raw(posterior.summaries), simulator.missing is not None)
    model = build_model(simulator, posterior.summaries, posterior.flow, data, seed=0)
    dimension = (model.parameters.dimension,)
    model.parameters.mean = saved.array("parameters/mean", dimension)
    model.parameters.scale = saved.array("parameters/scale", dimension)
    model.network.build_weights(tf.zeros((2, *dimension)), *model.data.to_network(_ones(simulator)))
    return model


def _ones(simulator: Simulator) -> dict[str, tf.Tensor]:
    """Return two observations of ones."""
    shapes = {**simulator.shapes["observables"], **simulator.shapes["context"]}
    return {name: tf.ones((2, *shape)) for name, shape in shapes.items()}
