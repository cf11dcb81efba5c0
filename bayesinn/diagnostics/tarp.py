"""TARP: expected coverage of balls around reference points, a joint test that needs only draws."""

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from bayesinn.core import seeds
from bayesinn.diagnostics.arrays import Arrays, by_column, paired
from bayesinn.diagnostics.uniformity import UniformityResult, pit, uniformity


def tarp(
    truth: Arrays,
    draws: Arrays,
    references: Arrays | None = None,
    *,
    seed: int,
    level: float = 0.99,
) -> UniformityResult:
    """Count draws nearer to a reference point than the truth: their share is uniform if correct.

    Lemos et al. 2023, "Sampling-based accuracy testing of posterior estimators for general
    inference", arXiv:2302.03026. The references (n, *event) are any function of the data and of
    random numbers, but not of the truth. By default they are random points in the box that truths
    and draws fill. If they do not depend on the data, a posterior that equals the prior passes.
    With points that follow the data (see :func:`reference_points`) it fails; only the correct
    posterior passes for all such points.
    """
    pairs = paired(truth, draws)
    # Nothing below treats truth and draws differently: the share is then exactly uniform.
    together = np.concatenate([pairs.truth[:, None], pairs.draws], axis=1)
    if references is None:
        low, high = np.quantile(together, [0.005, 0.995], axis=(0, 1))
        points = seeds.generator(seed, "tarp").uniform(low, high, size=pairs.truth.shape)
    else:
        points = by_column("references", references, truth, rows=len(pairs.truth))
    # Parameters have equal weight in units of the usual posterior width; the median, because of
    # single heavy tails.
    scale = np.median(together.std(axis=1), axis=0)
    scale[scale == 0.0] = 1.0
    distance = np.linalg.norm((together - points[:, None]) / scale, axis=-1)
    share = pit(distance[:, 0], distance[:, 1:], seed=seed)
    return uniformity(("joint",), share[:, None], level=level)


def reference_points(
    features: np.ndarray, truth: np.ndarray, new_features: np.ndarray, *, seed: int
) -> np.ndarray:
    """Estimate parameters (n, k) roughly from features, by a forest of randomised trees.

    The estimates are for data with ``new_features`` (n, f). The forest (Geurts, Ernst & Wehenkel
    2006, "Extremely randomized trees", Machine Learning 63) learns from features (m, f) and truths
    (m, k) of simulations that the diagnostics do not use otherwise: points must not depend on the
    truths tested. Each point is moved at random by about the error of the estimates, so that points
    lie on all sides of the truths.
    """
    # Ranks of heavy-tailed parameters, so that no single simulation decides where trees split.
    order = np.argsort(np.argsort(truth, axis=0), axis=0) / max(len(truth) - 1, 1)
    forest = ExtraTreesRegressor(
        n_estimators=100, bootstrap=True, oob_score=True, random_state=seed % 2**32
    )
    forest.fit(features, order if order.shape[1] > 1 else order[:, 0])
    estimate = forest.predict(new_features).reshape(len(new_features), -1)
    error = np.nanstd(forest.oob_prediction_.reshape(order.shape) - order, axis=0)
    noise = seeds.generator(seed, "reference points").normal(size=estimate.shape)
    position = np.clip(estimate + error * noise, 0.0, 1.0)
    grid = np.linspace(0.0, 1.0, len(truth))
    return np.stack(
        [
            np.interp(at, grid, values)
            for at, values in zip(position.T, np.sort(truth.T), strict=True)
        ],
        -1,
    )
