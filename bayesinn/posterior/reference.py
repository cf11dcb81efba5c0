"""Measure, on pilot simulations, what new observations are compared with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from bayesinn.posterior.damage import damaged_copies
from bayesinn.posterior.evaluator import Evaluator
from bayesinn.posterior.model import PosteriorModel
from bayesinn.posterior.typicality import Reference
from bayesinn.summaries.joint import observables_of


def measure_reference(model: PosteriorModel, evaluator: Evaluator, pilot: Mapping[str, np.ndarray]) -> Reference:
    """Measure typicality on simulations: dict of name to array (n, ...), at least observables and context."""
    data = {name: pilot[name] for name in model.data.scalings}
    sets, series = (
        [
            name
            for key, summary in model.network.summaries.items()
            if summary.order == order
            for name in observables_of(key)
        ]
        for order in ("set", "series")
    )
    damaged = {}
    for kind, copy in damaged_copies(data, series, model.data.lengths).items() if series else ():
        inputs = model.data.standardise({name: tf.convert_to_tensor(value) for name, value in copy.items()})
        damaged[kind] = {name: inputs[name].numpy() for name in series}
    condition, inputs = evaluator.condition(data)
    return Reference.fit(np.asarray(condition.flat()), inputs, pooled=sets, damaged=damaged)
