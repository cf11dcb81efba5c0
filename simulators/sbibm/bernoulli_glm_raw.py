"""Bernoulli GLM, raw (sbibm T.6): offset and filter of a neuron, from its spikes themselves.

The model of :mod:`simulators.sbibm.bernoulli_glm`; observed are the 100 zeros and ones.

Source: Lueckmann et al. (2021), Benchmarking simulation-based inference, arXiv:2101.04653.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

import bayesinn as bi

from .bernoulli_glm import LABELS, PRIOR, STEPS, draw_spikes, drive


def log_likelihood(
    parameters: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the log probability (n,) of spikes, (100,) or (n, 100), for n parameters."""
    log_odds = drive(parameters)
    spikes = np.asarray(data["spikes"], np.float64)
    return np.sum(spikes * log_odds - np.logaddexp(0.0, log_odds), axis=1)


@bi.simulator(
    prior=PRIOR,
    labels={**LABELS, "spikes": "spikes"},
    coordinates={"spikes": np.arange(STEPS)},
    log_likelihood=log_likelihood,
)
def bernoulli_glm_raw(parameters: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Draw a series of spikes."""
    return {"spikes": draw_spikes(parameters, seed)}
