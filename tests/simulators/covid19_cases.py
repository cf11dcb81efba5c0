"""What several tests of the Covid-19 model start from."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from bayesinn.simulators.covid19_options import Covid19Options

PUBLISHED = Covid19Options()
SERIES = {"confirmed": "I", "recovered": "R", "deaths": "D"}
# Medians of the published posterior.
MEDIANS = {
    "t1": 7.222, "t2": 15.004, "t3": 22.088, "t4": 65.531, "dt1": 3.016, "dt2": 3.045, "dt3": 3.059, "dt4": 2.947,
    "lambda0": 2.987, "lambda1": 0.32, "lambda2": 0.31, "lambda3": 0.087, "lambda4": 0.125, "mu": 0.124,
    "A_I": 0.545, "phi_I": -0.39, "A_R": 0.491, "phi_R": -1.01, "A_D": 0.486, "phi_D": -1.333,
    "L_I": 5.516, "L_R": 12.89, "L_D": 11.276, "E0": 14.331, "sigma_I": 7.843, "sigma_R": 10.751, "sigma_D": 2.527,
    "alpha": 0.632, "beta": 0.263, "gamma": 0.154, "eta": 0.307, "theta": 0.218, "delta": 0.041, "d": 0.148,
}  # fmt: skip


def at_medians(dtype: type = np.float32, rows: int = 1, **changed: float) -> dict[str, tf.Tensor]:
    return {
        name: tf.fill([rows], tf.constant(value, dtype))
        for name, value in {**MEDIANS, **changed}.items()
    }


def rows_of(
    draws: dict[str, np.ndarray], rows: slice, dtype: type = np.float64
) -> dict[str, tf.Tensor]:
    return {name: tf.constant(draws[name][rows], dtype) for name in MEDIANS}
