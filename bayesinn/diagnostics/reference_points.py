"""Reference points for TARP that follow the data, learnt without the posterior under test."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

# A stream of its own; see bayesinn.diagnostics.ranks.
_JITTER = 20_230_207


def reference_points(features: np.ndarray, truth: np.ndarray, new_features: np.ndarray, *, seed: int) -> np.ndarray:
    """Rough estimates of the parameters from features of the data, by a forest of randomised trees.

    Geurts, Ernst & Wehenkel 2006, "Extremely randomized trees", Machine Learning 63. Trees need no scaling and no
    tuning, and bear hundreds of features. Each point is moved at random by about the error of the estimates, so that
    the points lie on all sides of the truths.

    Parameters
    ----------
    features : array (m, f)
        Of simulations that the diagnostics do not use otherwise: the points must not depend on the truths tested.
    truth : array (m, k)
        The parameters behind them.
    new_features : array (n, f)
        Of the simulations to make points for.
    seed : int

    Returns
    -------
    array (n, k)

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(1)
    >>> truth = generator.normal(size=(400, 1))
    >>> points = reference_points(truth[:200] + 0.1, truth[:200], truth[200:] + 0.1, seed=1)
    >>> bool(np.corrcoef(points[:, 0], truth[200:, 0])[0, 1] > 0.9)
    True
    """
    # Heavy-tailed parameters: as ranks, so that no single simulation decides where trees split.
    order = np.argsort(np.argsort(truth, axis=0), axis=0) / max(len(truth) - 1, 1)
    forest = ExtraTreesRegressor(n_estimators=100, bootstrap=True, oob_score=True, random_state=seed % 2**32)
    forest.fit(features, order if order.shape[1] > 1 else order[:, 0])
    estimate = forest.predict(new_features).reshape(len(new_features), -1)
    error = np.nanstd(forest.oob_prediction_.reshape(order.shape) - order, axis=0)
    noise = np.random.default_rng([seed, _JITTER]).normal(size=estimate.shape)
    position = np.clip(estimate + error * noise, 0.0, 1.0)
    sorted_truth = np.sort(truth, axis=0)
    grid = np.linspace(0.0, 1.0, len(truth))
    return np.stack(
        [np.interp(position[:, index], grid, sorted_truth[:, index]) for index in range(truth.shape[1])], axis=-1
    )
