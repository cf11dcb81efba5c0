"""What new observations are compared with, measured on the pilot simulations of a trained learner."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from bayesinn.posterior.damage import damaged_copies
from bayesinn.posterior.learner import Learner
from bayesinn.posterior.sampling import Sampler
from bayesinn.posterior.typicality import Reference
from bayesinn.summaries import Summary
from bayesinn.summaries.joint import observables_of


def pilot_reference(
    learner: Learner, sampler: Sampler, summaries: Mapping[str, Summary], pilot: Mapping[str, np.ndarray]
) -> Reference:
    """Measure on simulations.

    Parameters
    ----------
    learner, sampler : trained
    summaries : dict of observable to summary network, which say what is a set and what a series
    pilot : dict of name to array (n, ...), with at least the observables and the context
    """
    data = {name: pilot[name] for name in learner.data.scalings}
    sets, series = (
        [name for key, summary in summaries.items() if summary.order == order for name in observables_of(key)]
        for order in ("set", "series")
    )
    damaged = {}
    for kind, copy in damaged_copies(data, series, learner.data.lengths).items() if series else ():
        inputs = learner.data.standardise({name: tf.convert_to_tensor(value) for name, value in copy.items()})
        damaged[kind] = {name: inputs[name].numpy() for name in series}
    return Reference.fit(*sampler.condition(data), pooled=sets, damaged=damaged)
