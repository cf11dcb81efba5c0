"""Reference points for TARP that follow the data, learnt without the posterior under test."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from bayesinn.core import seeds


def reference_points(features: np.ndarray, truth: np.ndarray, new_features: np.ndarray, *, seed: int) -> np.ndarray:
    """Estimate parameters roughly from features of the data, by a forest of randomised trees.

    Geurts, Ernst & Wehenkel 2006, "Extremely randomized trees", Machine Learning 63. Trees need no scaling and no
    tuning, and cope with hundreds of features. Each point is moved at random by about the error of the estimates, so
    that the points lie on all sides of the truths.

    The trees learn from features (m, f) and truths (m, k) of simulations that the diagnostics do not use otherwise, for
    the points must not depend on the truths tested. Points (n, k) are made for ``new_features`` (n, f).
    """
    # Heavy-tailed parameters: as ranks, so that no single simulation decides where trees split.
    order = np.argsort(np.argsort(truth, axis=0), axis=0) / max(len(truth) - 1, 1)
    forest = ExtraTreesRegressor(n_estimators=100, bootstrap=True, oob_score=True, random_state=seed % 2**32)
    forest.fit(features, order if order.shape[1] > 1 else order[:, 0])
    estimate = forest.predict(new_features).reshape(len(new_features), -1)
    error = np.nanstd(forest.oob_prediction_.reshape(order.shape) - order, axis=0)
    noise = seeds.generator(seed, "reference points").normal(size=estimate.shape)
    position = np.clip(estimate + error * noise, 0.0, 1.0)
    grid = np.linspace(0.0, 1.0, len(truth))
    return np.stack([np.interp(at, grid, values) for at, values in zip(position.T, np.sort(truth.T), strict=True)], -1)
